// SPDX-License-Identifier: Apache-2.0
//
// Expiry: when the messages of one queue expire (conformance 8.2). The queue's own TTL needs no
// index: whoever came first expires first. Messages with an expiration of their own may expire
// anywhere in the queue: those in memory stand in an exact index, those in the store in DueRanges.
// Owned by its queue, on the queue's thread; a queue whose messages never expire has none. It takes
// nothing out of the queue itself. All times are milliseconds since 1970.
#pragma once

#include <optional>
#include <set>
#include <utility>
#include <vector>

#include "broker/core/due_ranges.hpp"
#include "broker/core/ready_list.hpp"
#include "persistence/message_store.hpp"

namespace harrier::broker {

// The sweep of a stretch of the store. Not inside Expiry: clang 14 makes no optional of a nested
// class with initializers there.
struct ExpirySweep {
  DueRange range;
  Seq next = 0;             // where to read on
  Seq end = 0;              // what the page tells of; see FetchRequest
  Millis due = kNeverDue;   // of what has been read and is left
  std::uint64_t left = 0;   // messages of an own expiration among it
  std::uint64_t token = 0;  // of the page that is on its way; 0: none
};

class Expiry {
 public:
  // The time to live that the message asks for itself; nullopt if it does not.
  static std::optional<Millis> own_ttl(const protocol::Message& message);
  static std::optional<Millis> own_due(const protocol::Message& message, Millis enqueued_ms);
  static bool has_own(const protocol::Message& message) {
    return message.properties().has(protocol::kExpiration);
  }

  // Null: the queue gives messages as much time as they like.
  void set_ttl(std::optional<Millis> ttl_ms) { ttl_ms_ = ttl_ms; }
  bool has_ttl() const { return ttl_ms_.has_value(); }

  Millis due(const protocol::Message& message, Millis enqueued_ms) const;
  Millis due(const Ready& ready) const { return due(*ready.message, ready.enqueued_ms); }
  // By the queue's own TTL alone.
  Millis due_in_turn(Millis enqueued_ms) const {
    return ttl_ms_ ? enqueued_ms + *ttl_ms_ : kNeverDue;
  }

  // ---- ready messages in memory ----
  void came(const Ready& ready);
  void left(const Ready& ready);
  // Takes those that are due out of the index, but not that one.
  std::vector<Seq> take_due(Millis now, Seq spared);

  // ---- those in the store ----
  void stored(const protocol::Message& message, Seq seq, Millis enqueued_ms);
  // Out of memory.
  void went_to_store(const Ready& ready);
  // All that is stored, up to that position: what is in it has to be found out.
  void suspect(Seq up_to) { ranges_.put({0, up_to, 0, 0}); }
  DueRanges& ranges() { return ranges_; }
  void cleared();

  // The queue's next message is in the store, and expires then, if it is not fetched before.
  Millis head_due_ms = 0;  // 0: not known
  // When the next one is due whose place in the queue is not its head.
  Millis next_due() const;

  // ---- the sweep of a stretch of the store ----
  std::optional<ExpirySweep> sweep;
  Millis sweeps_from_ms = 0;  // not before

 private:
  std::optional<Millis> ttl_ms_;
  std::set<std::pair<Millis, Seq>> own_;
  DueRanges ranges_;
};

}  // namespace harrier::broker
