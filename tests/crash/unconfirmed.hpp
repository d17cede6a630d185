// SPDX-License-Identifier: Apache-2.0
//
// Unconfirmed: what a publisher in confirm mode has sent and heard nothing of, by its place in the
// channel's sequence. A value inside an actor. A confirm of nothing is a Violation.
#pragma once

#include <cstdint>
#include <map>
#include <variant>
#include <vector>

#include "protocol/codec.hpp"
#include "tests/crash/message_form.hpp"
#include "tests/crash/violation.hpp"

namespace harrier::crash_tests {

class Unconfirmed {
 public:
  void sent(const MessageKey& key) { keys_.emplace(++sequence_, key); }
  bool empty() const { return keys_.empty(); }
  std::size_t size() const { return keys_.size(); }

  // What the broker has confirmed, in order.
  std::vector<MessageKey> take(const protocol::Method& method) {
    const auto* ack = std::get_if<protocol::BasicAck>(&method);
    require(ack != nullptr, "a publisher got " + protocol::print(method));
    const auto end = keys_.upper_bound(ack->delivery_tag);
    const auto begin = ack->multiple ? keys_.begin() : keys_.find(ack->delivery_tag);
    require(begin != keys_.end() && begin != end, "a confirm of nothing");
    std::vector<MessageKey> confirmed;
    for (auto at = begin; at != end; ++at) confirmed.push_back(at->second);
    keys_.erase(begin, end);
    return confirmed;
  }

 private:
  std::uint64_t sequence_ = 0;
  std::map<std::uint64_t, MessageKey> keys_;
};

}  // namespace harrier::crash_tests
