// SPDX-License-Identifier: Apache-2.0
//
// QueueConsumer: one consumer as its queue sees it: what it may still be given, and what it has and
// has not settled. Owned by the queue, on the queue's shard. A cancelled consumer stays until its
// last message is settled, because those messages stay outstanding on its channel (C-297).
// basic.get uses one per channel too, which is never offered anything.
#pragma once

#include <memory>

#include "broker/core/delivery_clock.hpp"
#include "broker/core/due_ranges.hpp"
#include "broker/core/shard_message.hpp"
#include "broker/core/window.hpp"

namespace harrier::broker {

// How much a consumer may have on its way to a socket that does not take it, before its queue stops
// sending: the bound on what a slow or dead peer costs (C-294).
struct UnsentLimits {
  std::uint32_t messages_max = 8'000;
  std::uint64_t bytes_max = 512 * 1024;
};

struct Unsettled {
  MessagePtr message;
  std::uint32_t returns = 0;
  std::uint8_t level = 0;  // of the lane that it came from
  Millis enqueued_ms = 0;
};

struct QueueConsumer {
  ConsumerRef ref;
  std::int64_t priority = 0;
  std::uint64_t arrival = 0;  // who came earlier has the lower one
  std::uint32_t slot = 0;
  std::uint32_t prefetch = 0;  // 0 = no limit
  bool no_ack = false;
  bool exclusive = false;
  bool getter = false;  // basic.get's stand-in
  bool cancelled = false;
  bool gated = false;      // each delivery needs a grant
  bool wanted = false;     // a grant has been asked for
  bool available = false;  // listed as able to take a message
  std::uint32_t grants = 0;
  std::uint32_t unsent_messages = 0;
  std::uint64_t unsent_bytes = 0;
  Window<Unsettled> unsettled;
  Millis timeout_ms = kNeverDue;         // of its own, for each delivery
  std::unique_ptr<DeliveryClock> clock;  // null: it has all the time it likes

  std::size_t late() const { return clock ? clock->late() : 0; }
  // The delivery of that position that had come back so often before.
  bool has(Seq seq, std::uint32_t returns) {
    const Unsettled* const held = unsettled.find(seq);
    return held != nullptr && held->returns == returns;
  }

  // Room of every kind but grants.
  bool has_room(const UnsentLimits& limits) const {
    if (cancelled || getter) return false;
    if (!no_ack && prefetch != 0 && unsettled.size() + late() >= prefetch) return false;
    return unsent_messages < limits.messages_max && unsent_bytes < limits.bytes_max;
  }
  bool can_take(const UnsentLimits& limits) const {
    return has_room(limits) && (!gated || grants > 0);
  }
};

}  // namespace harrier::broker
