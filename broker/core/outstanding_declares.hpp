// SPDX-License-Identifier: Apache-2.0
//
// OutstandingDeclares: the queue.declare of one channel that have been sent to the control shard
// and wait for their answers, in the order of the client. Pipelined ones are out together, so that
// they share a flush of the store; they are answered in order all the same. A reply finds its
// declare by the token that it carries. Owned by the channel, on its session's shard.
#pragma once

#include <algorithm>
#include <cstdint>
#include <deque>
#include <string>
#include <string_view>
#include <unordered_set>
#include <utility>
#include <variant>

#include "broker/core/shard_message.hpp"
#include "routing/registry.hpp"

namespace harrier::broker {

class OutstandingDeclares {
 public:
  // Enough for one flush to cost little each; a bound on what a connection can have under way.
  static constexpr std::size_t kMax = 1'024;

  struct Declare {
    routing::QueueEntry wanted;  // an empty name until the control shard has made one
    bool nowait = false;
    std::uint32_t token = 0;  // of the reply that is awaited
    std::variant<std::monostate, Counted, Refused> answer;
    bool answered() const { return !std::holds_alternative<std::monostate>(answer); }
  };

  bool empty() const { return declares_.empty(); }
  bool takes_more() const { return declares_.size() < kMax && !refused_; }
  bool contains(std::string_view name) const { return names_.contains(name); }

  Declare& add(routing::QueueEntry wanted, bool nowait) {
    Declare& declare = declares_.emplace_back();
    declare.wanted = std::move(wanted);
    declare.nowait = nowait;
    if (!declare.wanted.name.empty()) names_.insert(declare.wanted.name);
    return declare;
  }

  Declare& of_token(std::uint32_t token) {  // there is one
    return *std::ranges::find(declares_, token, &Declare::token);
  }

  void answer(Declare& declare, Counted counted) { declare.answer = counted; }
  void answer(Declare& declare, Refused refused) {
    declare.answer = std::move(refused);
    refused_ = true;
  }

  Declare& front() { return declares_.front(); }
  void pop() {
    names_.erase(declares_.front().wanted.name);
    declares_.pop_front();
  }
  void clear() {
    names_.clear();
    declares_.clear();
    refused_ = false;
  }

 private:
  std::deque<Declare> declares_;
  std::unordered_set<std::string_view> names_;  // of the declares' own strings, which stay in place
  bool refused_ = false;                        // one of them
};

}  // namespace harrier::broker
