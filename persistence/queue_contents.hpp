// SPDX-License-Identifier: Apache-2.0
//
// QueueContents: the messages of one queue in memory, by position. Made for what queues do: append
// at the end, settle near the front, both without an allocation per message. A settled message in
// the middle leaves an empty slot; when more than half of the slots are empty they are closed up,
// so memory stays proportional to what is held. Not synchronised: its owner's lock guards it.
#pragma once

#include <deque>
#include <optional>
#include <vector>

#include "persistence/message_store.hpp"

namespace harrier::persistence {

class QueueContents {
 public:
  std::size_t size() const { return slots_.size() - empty_slots_; }
  std::uint64_t bytes() const { return bytes_; }  // content_size of all
  Seq seq_max() const { return seq_max_; }
  std::optional<Seq> first() const {
    return slots_.empty() ? std::nullopt : std::optional<Seq>(slots_.front().seq);
  }
  std::size_t slot_count() const { return slots_.size(); }  // for tests of the memory bound

  void insert(StoredMessage message);  // replaces the one at this position
  void erase(Seq seq);                 // unknown positions are ignored, here and below
  void set_delivery_count(Seq seq, std::uint32_t delivery_count);
  void erase_range(Seq from, Seq up_to);  // both included

  // Appends messages from `from` on, see MessageStore::fetch; returns the first that did not fit.
  std::optional<Seq> read(Seq from, std::size_t bytes_max, std::vector<StoredMessage>& out) const;

 private:
  using Slots = std::deque<StoredMessage>;  // ascending; empty if message is null

  Slots::iterator lower_bound(Seq seq);
  StoredMessage* find(Seq seq);
  void empty(StoredMessage& slot);
  void close_up();

  Slots slots_;
  std::size_t empty_slots_ = 0;  // the first and the last slot are never empty
  std::uint64_t bytes_ = 0;
  Seq seq_max_ = 0;
};

}  // namespace harrier::persistence
