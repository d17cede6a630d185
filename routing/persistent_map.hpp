// SPDX-License-Identifier: Apache-2.0
//
// PersistentMap: a hash trie whose leaves hold up to 16 entries in a row, each with 8 bits of its
// hash in front of them all, so that a look-up in a large map takes two or three branches, one leaf
// and, if the key is there, its entry. A copy of the map is a copy of its root pointer; a change
// copies the nodes on its path unless nobody else refers to them, in which case it edits in place
// (see routing/ref.hpp). Any number of threads may read copies; each copy is changed by one thread
// only. A map is 8 bytes.
//
// Traits:  Entry                      copyable; a multiple of 8 bytes
//          Key                        a cheap view of a key
//          hash(Key), key(const Entry&), equal(Key, Key)
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <new>
#include <utility>

#include "routing/ref.hpp"
#include "routing/word_bytes.hpp"

namespace harrier::routing {

template <class Traits>
class PersistentMap {
  struct Node;
  struct Branch;

 public:
  using Entry = typename Traits::Entry;
  using Key = typename Traits::Key;

  // Where entries with a certain hash are, if there are any; valid as long as the map is.
  class Place {
    friend PersistentMap;
    const Node* leaf = nullptr;
  };

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
    const bool one = root_ != nullptr && !root_->is_branch() && root_->count == 1;
    return one ? root_->entries() : nullptr;
  }

  const Entry* find(const Key& key) const { return find(key, Traits::hash(key)); }

  const Entry* find(const Key& key, std::uint64_t hash) const { return find_where(hash, has(key)); }

  // The entry whose key has this hash and which `matches(entry)` says is the one.
  template <class Matches>
  const Entry* find_where(std::uint64_t hash, const Matches& matches) const {
    return find_in(leaf_of(hash), hash, matches);
  }

  // find_where() in two halves: the first asks the processor to fetch what the second will read.
  Place place_of(std::uint64_t hash) const {
    Place place;
    place.leaf = leaf_of(hash);
    constexpr std::size_t kLine = 64;
    if (place.leaf != nullptr) {
      __builtin_prefetch(place.leaf);
      __builtin_prefetch(reinterpret_cast<const char*>(place.leaf) + kLine);
    }
    return place;
  }
  template <class Matches>
  static const Entry* find_at(Place place, std::uint64_t hash, const Matches& matches) {
    return find_in(place.leaf, hash, matches);
  }

  // The entry, on a path that nobody else sees: it may be written (but for its key) until the map
  // is copied. Null if there is none.
  Entry* edit(const Key& key) {
    const std::uint64_t hash = Traits::hash(key);
    if (find(key, hash) == nullptr) return nullptr;
    Node** slot = &root_;
    for (unsigned shift = 0;; shift += kBitsPerLevel) {
      Node* node = unique(*slot);
      if (!node->is_branch()) return const_cast<Entry*>(find_in(node, hash, has(key)));
      slot = node->branch()->children() + run_of(node->branch()->runs, way(hash, shift)).child;
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
  using Bits = std::uint32_t;                // one for each way of a branch
  static constexpr unsigned kHashBits = 64;  // below that depth a leaf takes whatever comes
  static constexpr unsigned kWays = 1U << kBitsPerLevel;
  static constexpr unsigned kLeafMax = 16;  // then it is split
  static constexpr unsigned kJoinMax = 8;   // neighbours that hold so few together become one
  static_assert(sizeof(Entry) % sizeof(void*) == 0 && alignof(Entry) <= alignof(void*));
  static_assert(sizeof(Bits) * 8 == kWays);

  // A leaf is followed by its tags, padded to whole words, and its entries, in no order. It is
  // never empty.
  struct alignas(void*) Node : RefCounted {
    explicit Node(std::uint32_t entries) : count(entries) {}
    bool is_branch() const { return count == 0; }
    Branch* branch() { return static_cast<Branch*>(this); }
    const Branch* branch() const { return static_cast<const Branch*>(this); }

    std::uint8_t* tags() { return reinterpret_cast<std::uint8_t*>(this + 1); }
    const std::uint8_t* tags() const { return reinterpret_cast<const std::uint8_t*>(this + 1); }
    Entry* entries() { return reinterpret_cast<Entry*>(tags() + tags_size(count)); }
    const Entry* entries() const {
      return reinterpret_cast<const Entry*>(tags() + tags_size(count));
    }

    std::uint32_t count;
  };

  // A branch sends 32 ways by 5 bits of the hash. Neighbouring ways may lead to the same child: a
  // child takes a run of 1, 2, 4, ... ways, as in a binary trie of which only the leaves are there.
  // The children follow in memory in the order of their runs. One that is null has no entries.
  struct Branch : Node {
    explicit Branch(Bits run_bits) : Node(0), runs(run_bits) {}
    unsigned child_count() const { return ones(runs); }
    Node** children() { return reinterpret_cast<Node**>(this + 1); }
    Node* const* children() const { return reinterpret_cast<Node* const*>(this + 1); }

    Bits runs;      // where one begins, so the lowest is always set
    Bits deep = 0;  // of these, where the child is a branch: known without a look at the child
  };

  // std::popcount is a call into a library on processors that do without the instruction.
  [[gnu::always_inline]] static unsigned ones(Bits bits) {
    constexpr Bits kAll = ~Bits{0};
    bits -= bits >> 1 & kAll / 3;
    bits = (bits & kAll / 5) + (bits >> 2 & kAll / 5);
    return static_cast<unsigned>(((bits + (bits >> 4)) & kAll / 17) * (kAll / 255) >> (kWays - 8));
  }
  static std::size_t tags_size(std::size_t count) {
    return (count + kWordBytes - 1) / kWordBytes * kWordBytes;
  }
  static std::uint8_t tag(std::uint64_t hash) { return static_cast<std::uint8_t>(hash >> 56); }
  static unsigned way(std::uint64_t hash, unsigned shift) {
    return static_cast<unsigned>(hash >> shift) & (kWays - 1);
  }
  // The ways that one child of a branch has.
  struct Run {
    unsigned child = 0;
    unsigned first = 0;
    unsigned ways = 0;
  };
  static Bits up_to(unsigned way) { return ~Bits{0} >> (kWays - 1 - way); }
  static unsigned highest(Bits bits) {
    return kWays - 1 - static_cast<unsigned>(std::countl_zero(bits));
  }
  static Run run_of(Bits runs, unsigned way) {
    const Bits below = runs & up_to(way);
    const Bits above = runs ^ below;
    Run run;
    run.child = ones(below) - 1;
    run.first = highest(below);
    run.ways = (above == 0 ? kWays : static_cast<unsigned>(std::countr_zero(above))) - run.first;
    return run;
  }

  static auto has(const Key& key) {
    return [&key](const Entry& entry) { return Traits::equal(Traits::key(entry), key); };
  }

  // Does not touch the leaf.
  const Node* leaf_of(std::uint64_t hash) const {
    const Node* node = root_;
    if (node == nullptr || !node->is_branch()) return node;
    for (unsigned shift = 0;; shift += kBitsPerLevel) {
      const Branch* branch = node->branch();
      const Bits below = branch->runs & up_to(way(hash, shift));
      node = branch->children()[ones(below) - 1];
      if ((branch->deep >> highest(below) & 1) == 0) return node;
    }
  }

  template <class Matches>
  static const Entry* find_in(const Node* leaf, std::uint64_t hash, const Matches& matches) {
    if (leaf == nullptr) return nullptr;
    const unsigned count = leaf->count;
    const Entry* entries = leaf->entries();
    for (unsigned begin = 0; begin < count; begin += kWordBytes) {
      const std::uint64_t tags = load_word(leaf->tags() + begin);
      // `matches` is the one to say.
      for (std::uint64_t hits = bytes_equal_to(tag(hash), tags); hits != 0; hits &= hits - 1) {
        const unsigned i = begin + byte_of(hits);
        if (i < count && matches(entries[i])) return entries + i;
      }
    }
    return nullptr;
  }

  static Branch* allocate_branch(Bits runs) {
    void* block = ::operator new(sizeof(Branch) + ones(runs) * sizeof(Node*));
    return new (block) Branch(runs);
  }
  // The entries are left raw for the caller to construct. Null for none.
  static Node* allocate_leaf(unsigned count) {
    if (count == 0) return nullptr;
    const std::size_t tags = tags_size(count);
    void* block = ::operator new(sizeof(Node) + tags + count * sizeof(Entry));
    Node* leaf = new (block) Node(count);
    std::memset(leaf->tags(), 0, tags);
    return leaf;
  }
  static void deallocate(Node* node) { ::operator delete(node); }
  static void drop(Node* node) {
    if (node == nullptr || !node->release()) return;
    if (node->is_branch()) {
      Branch* branch = node->branch();
      for (unsigned i = 0; i < branch->child_count(); ++i) drop(branch->children()[i]);
    } else {
      for (unsigned i = 0; i < node->count; ++i) node->entries()[i].~Entry();
    }
    deallocate(node);
  }

  // Takes a leaf apart: its entries are moved, or copied if others see the leaf.
  class Taking {
   public:
    explicit Taking(Node* leaf) : leaf_(leaf), ours_(leaf->is_unique()) {}
    void put(unsigned from, Node* to, unsigned at) {
      to->tags()[at] = leaf_->tags()[from];
      if (ours_) {
        new (to->entries() + at) Entry(std::move(leaf_->entries()[from]));
      } else {
        new (to->entries() + at) Entry(leaf_->entries()[from]);
      }
    }
    ~Taking() { drop(leaf_); }
    Taking(const Taking&) = delete;
    Taking& operator=(const Taking&) = delete;

   private:
    Node* leaf_;
    bool ours_;
  };

  static Node* clone(Node* node) {
    if (node->is_branch()) {
      const Branch* branch = node->branch();
      Branch* copy = allocate_branch(branch->runs);
      copy->deep = branch->deep;
      for (unsigned i = 0; i < branch->child_count(); ++i) {
        copy->children()[i] = branch->children()[i];
        if (copy->children()[i] != nullptr) copy->children()[i]->retain();
      }
      drop(node);
      return copy;
    }
    Node* copy = allocate_leaf(node->count);
    Taking taking(node);
    for (unsigned i = 0; i < copy->count; ++i) taking.put(i, copy, i);
    return copy;
  }
  static Node* unique(Node*& slot) {
    if (!slot->is_unique()) slot = clone(slot);
    return slot;
  }

  static void add_entry(Node*& slot, std::uint64_t hash, Entry&& entry) {
    const unsigned count = slot == nullptr ? 0 : slot->count;
    Node* made = allocate_leaf(count + 1);
    if (slot != nullptr) {
      Taking taking(slot);
      for (unsigned i = 0; i < count; ++i) taking.put(i, made, i);
    }
    made->tags()[count] = tag(hash);
    new (made->entries() + count) Entry(std::move(entry));
    slot = made;
  }

  static void remove_entry(Node*& slot, unsigned index) {
    const unsigned count = slot->count;
    Node* made = allocate_leaf(count - 1);
    Taking taking(slot);
    for (unsigned i = 0; i < count; ++i) {
      if (i != index) taking.put(i, made, i < index ? i : i - 1);
    }
    slot = made;
  }

  static bool is_full(const Node* node, unsigned shift) {
    return node != nullptr && !node->is_branch() && node->count >= kLeafMax && shift < kHashBits;
  }

  // Replaces the branch in `slot`, which is ours, by one in which a run more (or less) begins, with
  // its children; the one behind `child` is left raw (or left out).
  static Branch* reshape(Node*& slot, Bits runs, unsigned child) {
    Branch* old = slot->branch();
    Branch* made = allocate_branch(runs);
    made->deep = old->deep & runs;
    const unsigned size = made->child_count();
    const bool more = size > old->child_count();
    for (unsigned to = 0, from = 0; to < size; ++to, ++from) {
      if (to == child + 1) {
        if (more) {
          --from;
          continue;
        }
        ++from;
      }
      made->children()[to] = old->children()[from];
    }
    deallocate(old);
    slot = made;
    return made;
  }
  // A child of the branch, which is ours, has changed.
  static void note_depth(Branch* branch, Run run) {
    const Node* child = branch->children()[run.child];
    const Bits bit = Bits{1} << run.first;
    const bool deep = child != nullptr && child->is_branch();
    branch->deep = deep ? branch->deep | bit : branch->deep & ~bit;
  }

  // Precondition: the branch in `slot` is ours, the run has a full leaf and more than one way.
  static Branch* split(Node*& slot, Run run, unsigned shift) {
    const unsigned middle = run.first + run.ways / 2;
    Node* leaf = slot->branch()->children()[run.child];
    std::uint32_t goes_up = 0;
    for (unsigned i = 0; i < kLeafMax; ++i) {
      const std::uint64_t hash = Traits::hash(Traits::key(leaf->entries()[i]));
      if (way(hash, shift) >= middle) goes_up |= std::uint32_t{1} << i;
    }
    Node* upper = allocate_leaf(ones(goes_up));
    Node* lower = allocate_leaf(kLeafMax - ones(goes_up));
    {
      Taking taking(leaf);
      unsigned ups = 0;
      for (unsigned i = 0; i < kLeafMax; ++i) {
        if ((goes_up >> i & 1) != 0) {
          taking.put(i, upper, ups++);
        } else {
          taking.put(i, lower, i - ups);
        }
      }
    }
    Branch* branch = reshape(slot, slot->branch()->runs | Bits{1} << middle, run.child);
    branch->children()[run.child] = lower;
    branch->children()[run.child + 1] = upper;
    return branch;
  }

  static void insert_at(Node*& slot, unsigned shift, std::uint64_t hash, Entry&& entry) {
    if (is_full(slot, shift)) {
      Branch* branch = allocate_branch(1);
      branch->children()[0] = std::exchange(slot, branch);
    }
    if (slot == nullptr || !slot->is_branch()) return add_entry(slot, hash, std::move(entry));
    Branch* branch = unique(slot)->branch();
    Run run = run_of(branch->runs, way(hash, shift));
    while (run.ways > 1 && is_full(branch->children()[run.child], shift)) {
      branch = split(slot, run, shift);
      run = run_of(branch->runs, way(hash, shift));
    }
    insert_at(branch->children()[run.child], shift + kBitsPerLevel, hash, std::move(entry));
    note_depth(branch, run);
  }

  static void erase_at(Node*& slot, unsigned shift, std::uint64_t hash, const Key& key) {
    if (!slot->is_branch()) {
      const Entry* entry = find_in(slot, hash, has(key));
      return remove_entry(slot, static_cast<unsigned>(entry - slot->entries()));
    }
    Branch* branch = unique(slot)->branch();
    const Run run = run_of(branch->runs, way(hash, shift));
    erase_at(branch->children()[run.child], shift + kBitsPerLevel, hash, key);
    note_depth(branch, run);
    join_around(slot, way(hash, shift));
  }

  static bool may_join(const Node* a, const Node* b) {
    unsigned count = 0;
    for (const Node* node : {a, b}) {
      if (node == nullptr) continue;
      if (node->is_branch()) return false;
      count += node->count;
    }
    return count <= kJoinMax;
  }

  static Node* join(Node* a, Node* b) {
    if (a == nullptr || b == nullptr) return a == nullptr ? b : a;
    Node* made = allocate_leaf(a->count + b->count);
    unsigned to = 0;
    for (Node* node : {a, b}) {
      const unsigned count = node->count;
      Taking taking(node);
      for (unsigned i = 0; i < count; ++i) taking.put(i, made, to++);
    }
    return made;
  }

  // Undoes the splits that the entry which is gone was the reason for, so that nothing stays of
  // what is removed. Precondition: the branch in `slot` is ours, and its child of that way too.
  static void join_around(Node*& slot, unsigned way) {
    for (;;) {
      Branch* branch = slot->branch();
      const Run run = run_of(branch->runs, way);
      if (run.ways == kWays) {
        slot = branch->children()[0];
        deallocate(branch);
        return;
      }
      const Run other = run_of(branch->runs, run.first ^ run.ways);
      if (other.ways != run.ways) return;
      const unsigned lower = run.child < other.child ? run.child : other.child;
      if (!may_join(branch->children()[lower], branch->children()[lower + 1])) return;
      Node* joined = join(branch->children()[lower], branch->children()[lower + 1]);
      const unsigned middle = run.first | run.ways;
      branch = reshape(slot, branch->runs & ~(Bits{1} << middle), lower);
      branch->children()[lower] = joined;
    }
  }

  template <class Visit>
  static void visit_node(const Node* node, Visit& visit) {
    if (node == nullptr) return;
    if (node->is_branch()) {
      const Branch* branch = node->branch();
      for (unsigned i = 0; i < branch->child_count(); ++i) visit_node(branch->children()[i], visit);
    } else {
      for (unsigned i = 0; i < node->count; ++i) visit(node->entries()[i]);
    }
  }

  Node* root_ = nullptr;
};

}  // namespace harrier::routing
