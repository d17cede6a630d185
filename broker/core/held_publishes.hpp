// SPDX-License-Identifier: Apache-2.0
//
// HeldPublishes: what a connection has published since one of its queues is full, in order, until
// that has room (`x-overflow`: block-publisher). A value inside its session. Publishes are taken
// off the stream so that acknowledgements behind them can be read: without these the queue might
// never get room. Bounded: beyond, nothing more is read.
#pragma once

#include <algorithm>
#include <cstdint>
#include <deque>
#include <utility>

#include "broker/core/ids.hpp"
#include "protocol/content.hpp"

namespace harrier::broker {

class HeldPublishes {
 public:
  struct Held {
    ChannelRef channel;
    protocol::Publish publish;
  };

  bool empty() const { return held_.empty(); }
  bool full() const { return bytes_ >= kBytesMax || held_.size() >= kCountMax; }
  bool has(std::uint16_t channel) const {
    return std::ranges::any_of(held_,
                               [&](const Held& each) { return each.channel.number == channel; });
  }
  void push(const ChannelRef& channel, protocol::Publish publish) {
    bytes_ += bytes(publish);
    held_.push_back({channel, std::move(publish)});
  }
  Held pop() {
    Held first = std::move(held_.front());
    held_.pop_front();
    bytes_ -= bytes(first.publish);
    return first;
  }
  void clear() {
    held_.clear();
    bytes_ = 0;
  }

 private:
  // More than a client sends before it acknowledges what it has handled, and little enough for
  // thousands of blocked connections.
  static constexpr std::uint64_t kBytesMax = 128 * 1024;
  static constexpr std::size_t kCountMax = 1'000;
  static std::uint64_t bytes(const protocol::Publish& publish) {
    return publish.message ? publish.message->footprint() : 0;
  }

  std::deque<Held> held_;
  std::uint64_t bytes_ = 0;
};

}  // namespace harrier::broker
