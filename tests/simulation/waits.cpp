// SPDX-License-Identifier: Apache-2.0
#include "tests/simulation/waits.hpp"

#include <algorithm>

#include "broker/core/delayed_exchange.hpp"

namespace harrier::simulation {

MessageNumber Waits::publish(bool persistent, std::int64_t delay_ms, std::int64_t now) {
  Message message;
  message.persistent = persistent;
  message.delayed = delay_ms > 0;
  message.not_before = now + delay_ms;
  messages_.push_back(message);
  return messages_.size() - 1;
}

void Waits::confirmed(MessageNumber number) {
  Message& message = messages_.at(number);
  require(!message.confirmed, "message " + std::to_string(number) + " was confirmed twice");
  message.confirmed = true;
  ++confirms_;
}

void Waits::cancel_asked(const std::vector<MessageNumber>& messages) {
  for (const MessageNumber number : messages) {
    Message& message = messages_.at(number);
    message.cancel_asked = true;
    message.may_be_cancelled = !message.seen;
  }
}

void Waits::cancelled(const std::vector<MessageNumber>& messages, std::int64_t now) {
  for (const MessageNumber number : messages) {
    Message& message = messages_.at(number);
    if (message.seen || message.not_before <= now) continue;
    message.end = End::Certain;
    ++cancels_;
  }
}

void Waits::delivered(MessageNumber number, bool redelivered, ChannelSerial channel, bool no_ack,
                      std::int64_t now) {
  require(number < messages_.size(), "a message that nobody published");
  Message& message = messages_[number];
  const std::string text = "message " + std::to_string(number) + " was delivered ";
  require(message.not_before <= now,
          text + "at " + std::to_string(now) + ", before " + std::to_string(message.not_before));
  require(is_over(message.holder), text + "while another channel holds it");
  require(message.end != End::Certain, text + "after its end");
  require(message.end == End::None || is_over(message.settler), text + "after it was acknowledged");
  require(redelivered || !message.seen || message.survived,
          text + "again, but redelivered is false");
  message.seen = true;
  message.may_be_cancelled = false;
  message.holder = no_ack ? 0 : channel;
  message.end = no_ack ? End::Certain : End::None;
  message.settler = 0;
  ++deliveries_;
}

void Waits::acked(MessageNumber number, ChannelSerial channel) {
  Message& message = messages_[number];
  message.holder = 0;
  message.settler = channel;
  message.end = End::Doubtful;
}

void Waits::returned(MessageNumber number, std::int64_t now) {
  Message& message = messages_[number];
  message.holder = 0;
  message.not_before = now + kRetryMs;
  ++returns_;
}

void Waits::channel_over(ChannelSerial channel, std::int64_t now) {
  over_.insert(channel);
  for (Message& each : messages_) {
    if (each.holder == channel) each.not_before = now + kRetryMs;
  }
}

void Waits::check_at_rest(const std::vector<broker::QueueInfo>& infos, std::int64_t now) {
  std::uint64_t out = 0;
  std::uint64_t waiting = 0;
  for (const broker::QueueInfo& info : infos) {
    out += info.messages_ready + info.messages_unacknowledged;
    waiting += info.messages_delayed;
  }
  std::uint64_t least = 0;
  std::uint64_t most = 0;
  std::uint64_t due = 0;
  for (Message& each : messages_) {
    // A living client's acknowledgement has been read, and is durable.
    if (each.end == End::Doubtful && !is_over(each.settler)) each.end = End::Certain;
    if (each.end == End::Certain) continue;
    ++most;
    if (each.not_before <= now) ++due;
    if (each.confirmed && each.end == End::None && !each.may_be_lost && !each.may_be_cancelled)
      ++least;
  }
  const std::string text = std::to_string(out) + " are out or ready and " +
                           std::to_string(waiting) + " wait, of " + std::to_string(least) + " to " +
                           std::to_string(most);
  require(least <= out + waiting && out + waiting <= most, text);
  require(out <= due, text + ", but only " + std::to_string(due) + " are due");
}

// What clients have said need not have been read, or not be durable.
void Waits::crashed(std::int64_t now) {
  for (Message& each : messages_) {
    if (each.end == End::Certain) continue;
    // It was in the store of the exchange, if it was there at all.
    const bool waits = each.delayed && !each.seen && each.not_before > now;
    if (!each.persistent && !waits) each.may_be_lost = true;
    // It may wait again, and the cancel find it.
    if (each.cancel_asked) each.may_be_cancelled = true;
    if (each.seen) each.not_before = 0;
    each.survived = true;
  }
}

void Waits::check_at_end() const {
  for (MessageNumber number = 0; number < messages_.size(); ++number) {
    const Message& each = messages_[number];
    require(!each.confirmed || each.may_be_lost || each.may_be_cancelled || each.end != End::None,
            "message " + std::to_string(number) + " was confirmed, but is lost");
  }
}

std::string Waits::summary() const {
  return std::to_string(messages_.size()) + " messages, " + std::to_string(confirms_) +
         " confirmed, " + std::to_string(cancels_) + " cancelled, " + std::to_string(deliveries_) +
         " deliveries, " + std::to_string(returns_) + " returns";
}

}  // namespace harrier::simulation
