// SPDX-License-Identifier: Apache-2.0
//
// DeliveryClock: how long one consumer has had each of its deliveries, and which of them have gone
// back to the queue because that was too long. All have the same time, so they are late in the
// order in which they were handed out: a list is enough. Owned by its QueueConsumer; consumers with
// all the time they like have none. A late one counts for the prefetch until the consumer settles
// it after all, so that one who is stuck gets nothing new. Pure; it moves no message.
#pragma once

#include <algorithm>
#include <cstdint>
#include <deque>
#include <set>
#include <utility>

#include "broker/core/due_ranges.hpp"
#include "broker/core/ids.hpp"

namespace harrier::broker {

class DeliveryClock {
 public:
  explicit DeliveryClock(Millis timeout_ms) : timeout_ms_(timeout_ms) {}

  // For the deliveries that are out already, too; kNeverDue: no limit.
  void set_timeout(Millis timeout_ms) { timeout_ms_ = timeout_ms; }
  // `returns` tells this delivery from others of the same message. `is_out` says whether a delivery
  // has not been settled: the others are forgotten when they are the most.
  template <class IsOut>
  void started(Seq seq, std::uint32_t returns, Millis now, IsOut&& is_out) {
    if (starts_.size() >= room_) {
      std::erase_if(starts_, [&](const Start& each) { return !is_out(each.seq, each.returns); });
      room_ = std::max(kRoomMin, 2 * starts_.size());
    }
    starts_.push_back({seq, returns, now});
  }

  // Takes those out whose time is over: late(seq, returns).
  template <class IsOut, class Late>
  void take_late(Millis now, IsOut&& is_out, Late&& late) {
    while (!starts_.empty()) {
      const Start first = starts_.front();
      const bool out = is_out(first.seq, first.returns);
      if (out && due(first) > now) return;
      starts_.pop_front();
      if (out) late(first.seq, first.returns);
    }
  }
  // Of the oldest one: never later than the next one's time is over.
  Millis next_due() const { return starts_.empty() ? kNeverDue : due(starts_.front()); }

  std::size_t late() const { return late_.size(); }
  void note_late(Seq seq, std::uint16_t attempt) { late_.emplace(seq, attempt); }
  // The consumer has settled it after all; false if it was not late.
  bool settle_late(Seq seq, std::uint16_t attempt) { return late_.erase({seq, attempt}) > 0; }

 private:
  struct Start {
    Seq seq = 0;
    std::uint32_t returns = 0;
    Millis at = 0;
  };
  static constexpr std::size_t kRoomMin = 64;

  Millis due(const Start& start) const {
    return timeout_ms_ == kNeverDue ? kNeverDue : start.at + timeout_ms_;
  }

  Millis timeout_ms_;
  std::deque<Start> starts_;  // in order of time
  std::size_t room_ = kRoomMin;
  std::set<std::pair<Seq, std::uint16_t>> late_;
};

}  // namespace harrier::broker
