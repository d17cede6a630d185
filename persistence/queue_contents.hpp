// SPDX-License-Identifier: Apache-2.0
//
// QueueContents: the messages of one queue in memory, by position, with their counters. A value
// inside its owner, whose lock guards it.
#pragma once

#include <optional>
#include <vector>

#include "persistence/message_store.hpp"
#include "persistence/seq_slots.hpp"

namespace harrier::persistence {

class QueueContents {
 public:
  std::size_t size() const { return slots_.size(); }
  std::uint64_t bytes() const { return bytes_; }  // content_size of all
  Seq seq_max() const { return seq_max_; }
  std::optional<Seq> first() const { return slots_.first(); }
  std::size_t slot_count() const { return slots_.slot_count(); }  // for tests of the memory bound

  void insert(StoredMessage message);             // replaces the one at this position
  void erase(Seq seq) { erase_range(seq, seq); }  // unknown positions are ignored, here and below
  void set_delivery_count(Seq seq, std::uint32_t delivery_count);
  void erase_range(Seq from, Seq up_to);  // both included

  // Appends messages from `from` on, see MessageStore::fetch; returns the first that did not fit.
  std::optional<Seq> read(Seq from, std::size_t bytes_max, std::vector<StoredMessage>& out) const;

 private:
  struct Slot : StoredMessage {
    bool filled() const { return static_cast<bool>(message); }
    void clear() { message = {}; }
  };

  SeqSlots<Slot> slots_;
  std::uint64_t bytes_ = 0;
  Seq seq_max_ = 0;
};

}  // namespace harrier::persistence
