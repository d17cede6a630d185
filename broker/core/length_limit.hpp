// SPDX-License-Identifier: Apache-2.0
//
// LengthLimit: how many messages, and bytes of their bodies, may wait in a queue, and what gives
// way (conformance 8.3). A value inside its queue, which tells it of every message that becomes
// ready or ceases to be; queues without a limit have none. Of what was there before a restart only
// the content's size is known, which is a little more than the body's.
#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>
#include <optional>

#include "broker/core/arguments.hpp"
#include "broker/core/ready_list.hpp"
#include "persistence/write_batch.hpp"

namespace harrier::broker {

class LengthLimit {
 public:
  LengthLimit(std::optional<std::int64_t> messages, std::optional<std::int64_t> bytes,
              Overflow overflow)
      : messages_max_(limit(messages)), bytes_max_(limit(bytes)), overflow_(overflow) {}

  // What the queue holds already, up to that position.
  void restore(std::uint64_t bytes, Seq up_to) {
    bytes_ = bytes;
    restored_to_ = up_to;
  }
  void came(Seq seq, const protocol::Message& message) { bytes_ += size(seq, message); }
  void left(Seq seq, const protocol::Message& message) {
    bytes_ -= std::min(size(seq, message), bytes_);
  }
  void emptied() { bytes_ = 0; }

  // A message must be refused (C-452).
  bool refuses(std::uint64_t count) const {
    const bool refusing =
        overflow_ == Overflow::RejectPublish || overflow_ == Overflow::RejectPublishDlx;
    return refusing && (count >= messages_max_ || bytes_ >= bytes_max_);
  }
  // Who publishes must wait; never for an empty queue, which nobody could empty further.
  bool blocks(std::uint64_t count) const {
    return overflow_ == Overflow::BlockPublisher && count > 0 &&
           (count >= messages_max_ || bytes_ >= bytes_max_);
  }
  // Not any more: an eighth is free, so that publishers do not come and go with every message.
  bool has_room(std::uint64_t count) const {
    return !blocks(count) &&
           (overflow_ != Overflow::BlockPublisher || count == 0 ||
            (count <= messages_max_ - messages_max_ / 8 && bytes_ <= bytes_max_ - bytes_max_ / 8));
  }
  bool may_block() const { return overflow_ == Overflow::BlockPublisher; }
  // Messages must go from the head (C-449).
  bool exceeded(std::uint64_t count) const {
    return overflow_ == Overflow::DropHead && count > 0 &&
           (count > messages_max_ || bytes_ > bytes_max_);
  }
  // So many of them, by their number alone.
  std::uint64_t excess(std::uint64_t count) const {
    return count > messages_max_ ? count - messages_max_ : 0;
  }
  bool keeps_refused() const { return overflow_ == Overflow::RejectPublishDlx; }
  std::uint64_t bytes() const { return bytes_; }

 private:
  static std::uint64_t limit(std::optional<std::int64_t> given) {
    return given ? static_cast<std::uint64_t>(*given) : std::numeric_limits<std::uint64_t>::max();
  }
  std::uint64_t size(Seq seq, const protocol::Message& message) const {
    const bool by_content = seq <= restored_to_ || is_delayed_position(seq);
    return by_content ? persistence::content_size(message) : message.body().size();
  }

  std::uint64_t messages_max_;
  std::uint64_t bytes_max_;
  Overflow overflow_;
  std::uint64_t bytes_ = 0;
  Seq restored_to_ = 0;
};

}  // namespace harrier::broker
