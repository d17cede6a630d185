// SPDX-License-Identifier: Apache-2.0
//
// Window: entries in increasing key order that mostly come in at the back and leave near the front:
// what a consumer has not acknowledged, by delivery tag or by queue position. A value inside one
// owner. Leaving in any order is cheap; holes are squeezed out when they outnumber the living, so
// one entry that stays for ever costs nothing.
#pragma once

#include <algorithm>
#include <cstdint>
#include <deque>
#include <optional>
#include <utility>

namespace harrier::broker {

template <class Value>
class Window {
 public:
  std::size_t size() const { return live_; }
  bool empty() const { return live_ == 0; }
  std::uint64_t first_key() const { return slots_.front().key; }  // of the first one that lives

  void insert(std::uint64_t key, Value value) {
    if (slots_.empty() || slots_.back().key < key) {
      slots_.push_back({key, std::move(value)});
    } else {
      const auto at = lower(key);
      if (at->key == key) {
        at->value = std::move(value);  // a hole of the same key: it has come back
      } else {
        slots_.insert(at, {key, std::move(value)});
      }
    }
    ++live_;
  }

  Value* find(std::uint64_t key) {
    const auto at = lower(key);
    return at != slots_.end() && at->key == key && at->value ? &*at->value : nullptr;
  }

  std::optional<Value> take(std::uint64_t key) {
    const auto at = lower(key);
    if (at == slots_.end() || at->key != key || !at->value) return std::nullopt;
    std::optional<Value> value = std::exchange(at->value, std::nullopt);
    --live_;
    tidy();
    return value;
  }

  // visit(key, Value&) for each living entry with key <= last, in order.
  template <class Visit>
  void for_each_to(std::uint64_t last, Visit&& visit) {
    for (Slot& slot : slots_) {
      if (slot.key > last) return;
      if (slot.value) visit(slot.key, *slot.value);
    }
  }

  // Takes out every living entry with key <= last, in order.
  template <class Visit>
  void take_to(std::uint64_t last, Visit&& visit) {
    while (!slots_.empty() && slots_.front().key <= last) {
      Slot slot = std::move(slots_.front());
      slots_.pop_front();
      if (!slot.value) continue;
      --live_;
      visit(slot.key, std::move(*slot.value));
    }
  }

 private:
  struct Slot {
    std::uint64_t key = 0;
    std::optional<Value> value;
  };
  static constexpr std::size_t kHolesMin = 64;

  typename std::deque<Slot>::iterator lower(std::uint64_t key) {
    if (!slots_.empty() && slots_.front().key == key) return slots_.begin();
    return std::lower_bound(
        slots_.begin(), slots_.end(), key,
        [](const Slot& slot, std::uint64_t wanted) { return slot.key < wanted; });
  }

  void tidy() {
    while (!slots_.empty() && !slots_.front().value) slots_.pop_front();
    while (!slots_.empty() && !slots_.back().value) slots_.pop_back();
    if (slots_.size() < kHolesMin || slots_.size() < 2 * live_) return;
    std::erase_if(slots_, [](const Slot& slot) { return !slot.value; });
  }

  std::deque<Slot> slots_;
  std::size_t live_ = 0;
};

}  // namespace harrier::broker
