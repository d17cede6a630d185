// SPDX-License-Identifier: Apache-2.0
//
// BindingTable: the registry's record of every binding, once each by identity (C-174), in lists by
// source and by destination. Records are 56 bytes in a slab and refer to each other by slot number:
// a broker may hold millions. Owned by the registry; not shared with readers.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <limits>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "protocol/field_table.hpp"
#include "routing/destination.hpp"
#include "routing/ref.hpp"
#include "routing/text.hpp"
#include "routing/topology.hpp"

namespace harrier::routing {

class BindingTable {
 public:
  using Slot = std::uint32_t;
  static constexpr Slot kNone = std::numeric_limits<Slot>::max();

  struct Record {
    ExchangeId source{};
    Destination destination;
    Ref<Text> key;        // null in free records
    Ref<Text> arguments;  // encoded as they came; null if there are none

    protocol::TableView table() const {
      return protocol::TableView(arguments ? protocol::as_bytes(arguments->view())
                                           : protocol::ByteView());
    }

    // The table's own: the lists that the record is in.
    std::uint32_t hash = 0;
    Slot same_bucket = kNone;  // next with the same hash bucket; in free records the next free one
    Slot next_from = kNone;
    Slot previous_from = kNone;
    Slot next_to = kNone;
    Slot previous_to = kNone;
  };

  Slot find(ExchangeId source, Destination destination, std::string_view key,
            protocol::TableView arguments) const;
  // Precondition: find() has nothing.
  const Record& insert(ExchangeId source, Destination destination, std::string_view key,
                       protocol::TableView arguments);
  void erase(Slot slot);

  const Record& at(Slot slot) const { return records_[slot]; }
  std::size_t size() const { return size_; }

  // The first of a list, kNone at its end.
  Slot first_from(ExchangeId source) const;
  Slot first_to(Destination destination) const;
  Slot next_from(Slot slot) const { return records_[slot].next_from; }
  Slot next_to(Slot slot) const { return records_[slot].next_to; }

  template <class Visit>
  void for_each(Visit&& visit) const {
    for (const Record& record : records_) {
      if (record.key) visit(record);
    }
  }

 private:
  using Heads = std::unordered_map<std::uint64_t, Slot>;
  using Link = Slot Record::*;

  static std::uint32_t hash_of(ExchangeId source, Destination destination, std::string_view key,
                               protocol::TableView arguments);
  void link(Heads& heads, std::uint64_t id, Slot slot, Link next, Link previous);
  void unlink(Heads& heads, std::uint64_t id, Slot slot, Link next, Link previous);
  void grow_buckets();
  Slot take_slot();

  std::deque<Record> records_;
  std::vector<Slot> buckets_;  // a power of two
  Heads from_;                 // by source
  Heads to_;                   // by packed destination
  Slot first_free_ = kNone;
  std::size_t size_ = 0;
};

}  // namespace harrier::routing
