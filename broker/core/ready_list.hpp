// SPDX-License-Identifier: Apache-2.0
//
// ReadyList: the messages of one queue that wait for a consumer, in publish order. Owned by its
// queue. A requeued message returns to its original position (C-352): new ones append to a deque,
// returned ones wait in an ordered map beside it, and the lower position of the two heads goes
// first.
#pragma once

#include <deque>
#include <map>

#include "broker/core/ids.hpp"
#include "protocol/message.hpp"

namespace harrier::broker {

struct Ready {
  Seq seq = 0;
  protocol::MessagePtr message;
  std::uint32_t returns = 0;  // how often it came back undone; redelivered if ever
};

class ReadyList {
 public:
  std::size_t size() const { return fresh_.size() + returned_.size(); }
  bool empty() const { return fresh_.empty() && returned_.empty(); }

  void push(Ready ready) { fresh_.push_back(std::move(ready)); }
  void put_back(Ready ready) {
    const Seq seq = ready.seq;
    returned_.emplace(seq, std::move(ready));
  }

  const Ready& front() const {
    return returned_first() ? returned_.begin()->second : fresh_.front();
  }

  Ready pop() {
    if (returned_first()) return std::move(returned_.extract(returned_.begin()).mapped());
    Ready ready = std::move(fresh_.front());
    fresh_.pop_front();
    return ready;
  }

 private:
  bool returned_first() const {
    return !returned_.empty() && (fresh_.empty() || returned_.begin()->first < fresh_.front().seq);
  }

  std::deque<Ready> fresh_;
  std::map<Seq, Ready> returned_;
};

}  // namespace harrier::broker
