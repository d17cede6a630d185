// SPDX-License-Identifier: Apache-2.0
//
// StreamTail: the last messages of a stream, in memory for all readers that keep up. A value inside
// its stream. Positions in it have no gaps, so a message is found by counting.
#pragma once

#include <cstdint>
#include <deque>
#include <utility>

#include "broker/core/ids.hpp"
#include "protocol/message.hpp"

namespace harrier::broker {

class StreamTail {
 public:
  struct Entry {
    protocol::MessagePtr message;
    Millis enqueued_ms = 0;
  };

  bool empty() const { return entries_.empty(); }
  std::size_t size() const { return entries_.size(); }
  std::uint64_t bytes() const { return bytes_; }  // of memory
  Seq first() const { return first_; }

  void push(Seq seq, protocol::MessagePtr message, Millis enqueued_ms) {
    if (entries_.empty()) first_ = seq;
    bytes_ += message->footprint();
    entries_.push_back({std::move(message), enqueued_ms});
  }
  void pop() {
    bytes_ -= entries_.front().message->footprint();
    entries_.pop_front();
    ++first_;
  }
  void drop_below(Seq seq) {
    while (!entries_.empty() && first_ < seq) pop();
  }
  void clear() {
    entries_ = {};
    bytes_ = 0;
  }
  const Entry* find(Seq seq) const {
    if (seq < first_ || seq - first_ >= entries_.size()) return nullptr;
    return &entries_[seq - first_];
  }

 private:
  std::deque<Entry> entries_;
  Seq first_ = 0;
  std::uint64_t bytes_ = 0;
};

}  // namespace harrier::broker
