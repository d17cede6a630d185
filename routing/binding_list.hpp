// SPDX-License-Identifier: Apache-2.0
//
// BindingList: the destinations of an exchange that picks one of them by a number: one entry per
// binding, in the order of the hashes of their names, which neither the order of the bindings nor a
// restart changes. A persistent value of 8 bytes: copies share one block, and a change costs as
// much as copying it. For exchanges with thousands of bindings, not millions.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "routing/destination.hpp"
#include "routing/ref.hpp"

namespace harrier::routing {

class BindingList {
 public:
  // `name_hash` is of the destination's name and always the same for one destination.
  void add(Destination destination, std::uint64_t name_hash);
  // One binding's worth; false if there is none.
  bool remove(Destination destination, std::uint64_t name_hash);

  bool empty() const { return !block_; }
  std::size_t size() const { return block_ ? block_->entries.size() : 0; }
  Destination at(std::size_t index) const { return block_->entries[index].destination; }

  // Appends the entry that `number` falls on, modulo the size. Returns the number of entries
  // appended, 0 or 1.
  std::size_t pick(std::uint64_t number, std::vector<Destination>& out) const;

 private:
  struct Entry {
    std::uint64_t name_hash = 0;
    Destination destination;
  };
  struct Block : RefCounted {
    static Block* clone(const Block& block) { return new Block(block); }
    static void destroy(Block* block) { delete block; }
    std::vector<Entry> entries;
  };

  static bool before(const Entry& a, const Entry& b);

  Ref<Block> block_;  // null if there are none
};

}  // namespace harrier::routing
