// SPDX-License-Identifier: Apache-2.0
//
// Ref<T>: an intrusive, atomically counted pointer to a node of the persistent structures of this
// folder. Nodes that a published snapshot may share are never written: edit() hands out the node
// itself only while nobody else refers to it, and a fresh copy otherwise. So several changes
// between two snapshots copy a path once, and the first change after a snapshot leaves the old one
// alone. Readers on any thread may drop references; only the owner of the newest version calls
// edit().
#pragma once

#include <atomic>
#include <cstdint>
#include <utility>

namespace harrier::routing {

class RefCounted {
 public:
  RefCounted() = default;
  RefCounted(const RefCounted&) {}  // a copy is a new node with a count of its own
  RefCounted& operator=(const RefCounted&) = delete;

  void retain() const { refs_.fetch_add(1, std::memory_order_relaxed); }
  // True for the last reference: the caller destroys the node.
  bool release() const { return refs_.fetch_sub(1, std::memory_order_acq_rel) == 1; }
  // Acquire: what readers did before they let go happened before the edit that follows.
  bool is_unique() const { return refs_.load(std::memory_order_acquire) == 1; }

 protected:
  ~RefCounted() = default;

 private:
  mutable std::atomic<std::uint32_t> refs_{1};
};

// T derives from RefCounted and has static destroy(T*); for edit() also static T* clone(const T&).
template <class T>
class Ref {
 public:
  Ref() = default;
  static Ref adopt(T* node) {
    Ref ref;
    ref.node_ = node;
    return ref;
  }
  Ref(const Ref& other) : node_(other.node_) {
    if (node_ != nullptr) node_->retain();
  }
  Ref(Ref&& other) noexcept : node_(std::exchange(other.node_, nullptr)) {}
  Ref& operator=(Ref other) noexcept {
    std::swap(node_, other.node_);
    return *this;
  }
  ~Ref() {
    if (node_ != nullptr && node_->release()) T::destroy(node_);
  }

  const T* get() const { return node_; }
  const T* operator->() const { return node_; }
  const T& operator*() const { return *node_; }
  explicit operator bool() const { return node_ != nullptr; }

  T& edit() {
    if (!node_->is_unique()) *this = adopt(T::clone(*node_));
    return *node_;
  }

 private:
  T* node_ = nullptr;
};

}  // namespace harrier::routing
