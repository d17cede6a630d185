// SPDX-License-Identifier: Apache-2.0
//
// PersistentMap: a hash trie of 32-way nodes (CHAMP layout: entries and children in two packed
// runs). A copy of the map is a copy of its root pointer; a change copies the nodes on its path
// unless nobody else refers to them, in which case it edits in place (see routing/ref.hpp). Any
// number of threads may read copies; each copy is changed by one thread only. A map is 8 bytes.
//
// Traits:  Entry                      copyable; a multiple of 8 bytes
//          Key                        a cheap view of a key
//          hash(Key), key(const Entry&), equal(Key, Key)
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <new>
#include <utility>

#include "protocol/check.hpp"
#include "routing/ref.hpp"

namespace harrier::routing {

template <class Traits>
class PersistentMap {
 public:
  using Entry = typename Traits::Entry;
  using Key = typename Traits::Key;

  PersistentMap() = default;
  PersistentMap(const PersistentMap& other) : root_(other.root_) {
    if (root_ != nullptr) root_->retain();
  }
  PersistentMap(PersistentMap&& other) noexcept : root_(std::exchange(other.root_, nullptr)) {}
  PersistentMap& operator=(PersistentMap other) noexcept {
    std::swap(root_, other.root_);
    return *this;
  }
  ~PersistentMap() { drop(root_); }

  bool empty() const { return root_ == nullptr; }

  // The entry if there is exactly one.
  const Entry* single() const {
    const bool one = root_ != nullptr && root_->child_map == 0 && root_->entry_count() == 1;
    return one ? root_->entries() : nullptr;
  }

  const Entry* find(const Key& key) const { return find(key, Traits::hash(key)); }

  const Entry* find(const Key& key, std::uint64_t hash) const { return find_where(hash, has(key)); }

  // The entry whose key has this hash and which `matches(entry)` says is the one.
  template <class Matches>
  const Entry* find_where(std::uint64_t hash, const Matches& matches) const {
    const Node* node = root_;
    for (unsigned shift = 0; node != nullptr; shift += kBitsPerLevel) {
      if (shift >= kHashBits) return find_colliding(node, matches);
      const std::uint32_t bit = bit_at(hash, shift);
      if ((node->entry_map & bit) != 0) {
        const Entry* entry = node->entries() + rank(node->entry_map, bit);
        return matches(*entry) ? entry : nullptr;
      }
      if ((node->child_map & bit) == 0) return nullptr;
      node = node->children()[rank(node->child_map, bit)];
    }
    return nullptr;
  }

  // The entry, on a path that nobody else sees: it may be written (but for its key) until the map
  // is copied. Null if there is none.
  Entry* edit(const Key& key) {
    const std::uint64_t hash = Traits::hash(key);
    if (find(key, hash) == nullptr) return nullptr;
    Node** slot = &root_;
    for (unsigned shift = 0;; shift += kBitsPerLevel) {
      Node* node = unique(*slot);
      if (shift >= kHashBits) {
        if (Entry* entry = const_cast<Entry*>(find_here(node, has(key)))) return entry;
        slot = node->children();
        continue;
      }
      const std::uint32_t bit = bit_at(hash, shift);
      if ((node->entry_map & bit) != 0) return node->entries() + rank(node->entry_map, bit);
      slot = node->children() + rank(node->child_map, bit);
    }
  }

  // Precondition: the key is not in the map.
  void insert(Entry entry) {
    const std::uint64_t hash = Traits::hash(Traits::key(entry));
    insert_at(root_, 0, hash, std::move(entry));
  }

  // False if there is no such key.
  bool erase(const Key& key) {
    const std::uint64_t hash = Traits::hash(key);
    if (find(key, hash) == nullptr) return false;
    erase_at(root_, 0, hash, key);
    return true;
  }

  template <class Visit>
  void for_each(Visit&& visit) const {
    visit_node(root_, visit);
  }

 private:
  static constexpr unsigned kBitsPerLevel = 5;
  static constexpr unsigned kHashBits = 64;  // below that depth nodes are plain lists of collisions
  static constexpr unsigned kWays = 1U << kBitsPerLevel;
  static_assert(sizeof(Entry) % sizeof(void*) == 0 && alignof(Entry) <= alignof(void*));

  // Followed in memory by the entries and then the children, each in the order of their bits.
  struct alignas(void*) Node : RefCounted {
    Node(std::uint32_t entry_bits, std::uint32_t child_bits)
        : entry_map(entry_bits), child_map(child_bits) {}
    unsigned entry_count() const { return static_cast<unsigned>(std::popcount(entry_map)); }
    unsigned child_count() const { return static_cast<unsigned>(std::popcount(child_map)); }
    Entry* entries() { return reinterpret_cast<Entry*>(this + 1); }
    const Entry* entries() const { return reinterpret_cast<const Entry*>(this + 1); }
    Node** children() { return reinterpret_cast<Node**>(entries() + entry_count()); }
    Node* const* children() const {
      return reinterpret_cast<Node* const*>(entries() + entry_count());
    }
    std::uint32_t entry_map;
    std::uint32_t child_map;
  };

  static std::uint32_t bit_at(std::uint64_t hash, unsigned shift) {
    return std::uint32_t{1} << ((hash >> shift) & (kWays - 1));
  }
  static std::size_t rank(std::uint32_t map, std::uint32_t bit) {
    return static_cast<std::size_t>(std::popcount(map & (bit - 1)));
  }

  static Node* allocate(std::uint32_t entry_map, std::uint32_t child_map) {
    const auto entries = static_cast<std::size_t>(std::popcount(entry_map));
    const auto children = static_cast<std::size_t>(std::popcount(child_map));
    void* block = ::operator new(sizeof(Node) + entries * sizeof(Entry) + children * sizeof(Node*));
    return new (block) Node(entry_map, child_map);
  }
  static void deallocate(Node* node) {
    node->~Node();
    ::operator delete(node);
  }
  static void drop(Node* node) {
    if (node == nullptr || !node->release()) return;
    for (unsigned i = 0; i < node->entry_count(); ++i) node->entries()[i].~Entry();
    for (unsigned i = 0; i < node->child_count(); ++i) drop(node->children()[i]);
    deallocate(node);
  }

  // Replaces the node in `slot` by one with these bits. What both have is moved over (copied, if
  // others see the old node); places that are new are left raw for the caller to construct.
  // Children whose bit goes must have been taken out by the caller.
  static Node* reshape(Node*& slot, std::uint32_t entry_map, std::uint32_t child_map) {
    Node* old = slot;
    const bool ours = old->is_unique();
    Node* made = allocate(entry_map, child_map);
    for (std::uint32_t bits = old->entry_map; bits != 0; bits &= bits - 1) {
      const std::uint32_t bit = bits & (~bits + 1);
      Entry* from = old->entries() + rank(old->entry_map, bit);
      if ((entry_map & bit) != 0) {
        Entry* to = made->entries() + rank(entry_map, bit);
        if (ours) {
          new (to) Entry(std::move(*from));
        } else {
          new (to) Entry(*from);
        }
      }
      if (ours) from->~Entry();
    }
    for (std::uint32_t bits = old->child_map & child_map; bits != 0; bits &= bits - 1) {
      const std::uint32_t bit = bits & (~bits + 1);
      Node* child = old->children()[rank(old->child_map, bit)];
      if (!ours) child->retain();
      made->children()[rank(child_map, bit)] = child;
    }
    if (ours) {
      deallocate(old);
    } else {
      drop(old);
    }
    slot = made;
    return made;
  }

  static Node* unique(Node*& slot) {
    return slot->is_unique() ? slot : reshape(slot, slot->entry_map, slot->child_map);
  }

  static void add_entry(Node*& slot, std::uint32_t bit, Entry&& entry) {
    Node* node = reshape(slot, slot->entry_map | bit, slot->child_map);
    new (node->entries() + rank(node->entry_map, bit)) Entry(std::move(entry));
  }
  static void remove_entry(Node*& slot, std::uint32_t bit) {
    if (slot->entry_map == bit && slot->child_map == 0) {
      drop(slot);
      slot = nullptr;
    } else {
      reshape(slot, slot->entry_map & ~bit, slot->child_map);
    }
  }

  // Precondition: the node in `slot` is ours, and its child of that bit has gone.
  static void remove_child(Node*& slot, std::uint32_t bit) {
    if (slot->child_map == bit && slot->entry_map == 0) {
      deallocate(slot);
      slot = nullptr;
    } else {
      reshape(slot, slot->entry_map, slot->child_map & ~bit);
    }
  }

  static void insert_at(Node*& slot, unsigned shift, std::uint64_t hash, Entry&& entry) {
    if (slot == nullptr) {
      slot = allocate(shift >= kHashBits ? 1U : bit_at(hash, shift), 0);
      new (slot->entries()) Entry(std::move(entry));
      return;
    }
    if (shift >= kHashBits) return insert_colliding(slot, std::move(entry));
    const std::uint32_t bit = bit_at(hash, shift);
    if ((slot->child_map & bit) != 0) {
      Node* node = unique(slot);
      insert_at(node->children()[rank(node->child_map, bit)], shift + kBitsPerLevel, hash,
                std::move(entry));
    } else if ((slot->entry_map & bit) != 0) {
      Node* node = unique(slot);
      Entry pushed = std::move(node->entries()[rank(node->entry_map, bit)]);
      const std::uint64_t pushed_hash = Traits::hash(Traits::key(pushed));
      Node* child = nullptr;
      insert_at(child, shift + kBitsPerLevel, pushed_hash, std::move(pushed));
      insert_at(child, shift + kBitsPerLevel, hash, std::move(entry));
      node = reshape(slot, node->entry_map & ~bit, node->child_map | bit);
      node->children()[rank(node->child_map, bit)] = child;
    } else {
      add_entry(slot, bit, std::move(entry));
    }
  }

  static void erase_at(Node*& slot, unsigned shift, std::uint64_t hash, const Key& key) {
    if (shift >= kHashBits) return erase_colliding(slot, key);
    const std::uint32_t bit = bit_at(hash, shift);
    if ((slot->entry_map & bit) != 0) return remove_entry(slot, bit);
    Node* node = unique(slot);
    Node*& child = node->children()[rank(node->child_map, bit)];
    erase_at(child, shift + kBitsPerLevel, hash, key);
    if (child == nullptr) return remove_child(slot, bit);
    // A lone entry moves up, so that equal contents always have the same shape and no empty path
    // stays. Its last sibling is gone, so the child is a copy or was ours before: nobody else sees
    // it.
    if (child->child_map == 0 && child->entry_count() == 1) {
      HARRIER_CHECK(child->is_unique());
      Entry lone = std::move(*child->entries());
      drop(child);
      node = reshape(slot, node->entry_map | bit, node->child_map & ~bit);
      new (node->entries() + rank(node->entry_map, bit)) Entry(std::move(lone));
    }
  }

  // Nodes of entries whose hashes are equal to the last bit: entries in no order, the 33rd and
  // following in a chain of further nodes.
  static auto has(const Key& key) {
    return [&key](const Entry& entry) { return Traits::equal(Traits::key(entry), key); };
  }
  template <class Matches>
  static const Entry* find_here(const Node* node, const Matches& matches) {
    for (unsigned i = 0; i < node->entry_count(); ++i) {
      if (matches(node->entries()[i])) return node->entries() + i;
    }
    return nullptr;
  }
  template <class Matches>
  static const Entry* find_colliding(const Node* node, const Matches& matches) {
    for (;;) {
      if (const Entry* entry = find_here(node, matches)) return entry;
      if (node->child_map == 0) return nullptr;
      node = node->children()[0];
    }
  }
  static void insert_colliding(Node*& slot, Entry&& entry) {
    const std::uint32_t free_bits = ~slot->entry_map;
    if (free_bits != 0) return add_entry(slot, free_bits & (~free_bits + 1), std::move(entry));
    if (slot->child_map == 0) {
      Node* node = reshape(slot, slot->entry_map, 1);
      node->children()[0] = nullptr;
    }
    Node* node = unique(slot);
    insert_at(node->children()[0], kHashBits, 0, std::move(entry));
  }
  static void erase_colliding(Node*& slot, const Key& key) {
    if (const Entry* entry = find_here(slot, has(key))) {
      auto skip = entry - slot->entries();
      std::uint32_t bits = slot->entry_map;
      for (; skip > 0; --skip) bits &= bits - 1;
      return remove_entry(slot, bits & (~bits + 1));
    }
    Node* node = unique(slot);
    erase_colliding(node->children()[0], key);
    if (node->children()[0] == nullptr) remove_child(slot, 1);
  }

  template <class Visit>
  static void visit_node(const Node* node, Visit& visit) {
    if (node == nullptr) return;
    for (unsigned i = 0; i < node->entry_count(); ++i) visit(node->entries()[i]);
    for (unsigned i = 0; i < node->child_count(); ++i) visit_node(node->children()[i], visit);
  }

  Node* root_ = nullptr;
};

}  // namespace harrier::routing
