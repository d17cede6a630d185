// SPDX-License-Identifier: Apache-2.0
//
// StreamReader: one consumer of a stream: what it asked for, where it is, and what it has and has
// not settled. Owned by the stream, on the stream's thread. A message that is settled returns
// credit and nothing else (C-482), so only positions are kept. A cancelled one stays until its last
// message is settled, because those messages stay outstanding on its channel.
// StreamSubscription: what basic.consume says about a stream; immutable, it crosses shards.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "broker/core/arguments.hpp"
#include "broker/core/consumer.hpp"
#include "broker/core/window.hpp"

namespace harrier::broker {

struct StreamSubscription {
  std::string tag;  // empty: the server's choice, which nobody can come back with
  std::optional<StreamOffset> offset;
  std::vector<std::string> filters;  // empty: none
  bool match_unfiltered = false;
  std::optional<bool> tracks;  // x-stream-automatic-offset-tracking

  // Exactly by message, where others decide by chunk (C-484).
  bool wants(const protocol::Message& message) const;
  // How far it has come is remembered under its tag.
  bool is_tracked() const { return !tag.empty() && tracks.value_or(!offset.has_value()); }
};

// A search for the first message of a time or later: the answer is in [from, up_to], or it is the
// next one.
struct StreamSeek {
  Seq from = 0;
  Seq up_to = 0;
  Millis ms = 0;
};

struct StreamReader {
  ConsumerRef ref;
  std::shared_ptr<const StreamSubscription> wish;
  std::uint32_t slot = 0;
  std::uint32_t prefetch = 0;
  bool exclusive = false;
  bool cancelled = false;
  bool listed = false;  // waits for the next message
  bool due = false;     // may be able to take more
  bool asking = false;  // waits for what the store has
  bool behind = false;  // of what is in memory
  std::uint32_t unsent_messages = 0;
  std::uint64_t unsent_bytes = 0;
  Seq next = 0;
  std::optional<StreamSeek> seek;
  // What is older than that, below that position, is passed over.
  Millis skip_older_ms = 0;
  Seq skip_below = 0;
  Window<Millis> unsettled;

  bool can_take(const UnsentLimits& limits) const {
    if (cancelled || (prefetch != 0 && unsettled.size() >= prefetch)) return false;
    return unsent_messages < limits.messages_max && unsent_bytes < limits.bytes_max;
  }
  // Everything below is done with.
  Seq done_to() const { return unsettled.empty() ? next : unsettled.first_key(); }
};

}  // namespace harrier::broker
