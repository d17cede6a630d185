// SPDX-License-Identifier: Apache-2.0
//
// OutstandingChanges: the queue.declare, queue.bind and queue.delete of one channel that have been
// sent to the control shard and wait for their answers, in the order of the client. Pipelined ones
// are out together, so that they share a flush of the store; they are answered in order all the
// same. A reply finds its change by the token that it carries. Owned by the channel, on its
// session's shard.
#pragma once

#include <algorithm>
#include <cstdint>
#include <deque>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <variant>

#include "broker/core/shard_message.hpp"
#include "routing/registry.hpp"

namespace harrier::broker {

class OutstandingChanges {
 public:
  // Enough for one flush to cost little each; a bound on what a connection can have under way.
  static constexpr std::size_t kMax = 1'024;

  enum class Kind : std::uint8_t { Declare, Bind, Delete };
  struct Change {
    Kind kind{};
    // Of a declare, as it is wanted: without a name until the control shard has made one. Of a
    // delete the name only, of a bind nothing.
    routing::QueueEntry queue;
    bool nowait = false;
    std::uint32_t token = 0;  // of the reply that is awaited
    std::variant<std::monostate, Done, Counted, Refused> answer;
    bool answered() const { return !std::holds_alternative<std::monostate>(answer); }
  };

  bool empty() const { return changes_.empty(); }
  bool takes_more() const { return changes_.size() < kMax && !refused_; }
  bool declares_any() const { return declares_ > 0; }
  bool deletes_any() const { return !deleted_.empty(); }
  bool deletes(std::string_view name) const { return deleted_.contains(name); }
  // As it is wanted; null: not among them.
  const routing::QueueEntry* declared(std::string_view name) const {
    const auto at = declared_.find(name);
    return at == declared_.end() ? nullptr : at->second;
  }

  Change& add(Kind kind, routing::QueueEntry queue, bool nowait) {
    Change& change = changes_.emplace_back();
    change.kind = kind;
    change.queue = std::move(queue);
    change.nowait = nowait;
    if (kind == Kind::Declare) {
      ++declares_;
      if (!change.queue.name.empty()) declared_.emplace(change.queue.name, &change.queue);
    } else if (kind == Kind::Delete) {
      deleted_.insert(change.queue.name);
    }
    return change;
  }

  Change& of_token(std::uint32_t token) {  // there is one
    return *std::ranges::find(changes_, token, &Change::token);
  }

  void answer(Change& change, Done done) { change.answer = done; }
  void answer(Change& change, Counted counted) { change.answer = counted; }
  void answer(Change& change, Refused refused) {
    change.answer = std::move(refused);
    refused_ = true;
  }

  Change& front() { return changes_.front(); }
  void pop() {
    const Change& change = changes_.front();
    if (change.kind == Kind::Declare) {
      --declares_;
      declared_.erase(change.queue.name);
    } else if (change.kind == Kind::Delete) {
      deleted_.erase(change.queue.name);
    }
    changes_.pop_front();
  }
  void clear() { *this = OutstandingChanges(); }

 private:
  std::deque<Change> changes_;
  std::size_t declares_ = 0;  // those without a name, too
  // By the changes' own names, which stay in place.
  std::unordered_map<std::string_view, const routing::QueueEntry*> declared_;
  std::unordered_set<std::string_view> deleted_;
  bool refused_ = false;  // one of them
};

}  // namespace harrier::broker
