// SPDX-License-Identifier: Apache-2.0
//
// What makes publishers wait: alarms, and queues that are full (`x-overflow`: block-publisher).
#include <algorithm>

#include "broker/core/engine.hpp"
#include "broker/core/session.hpp"

namespace harrier::broker {

using protocol::Frame;
using protocol::FrameType;

namespace {

bool is_content(const Frame& frame) {
  return frame.type == static_cast<std::uint8_t>(FrameType::Header) ||
         frame.type == static_cast<std::uint8_t>(FrameType::Body);
}

template <class... Methods>
bool is_one_of(protocol::MethodId id) {
  return ((id == Methods::kId) || ...);
}

// What has nothing to do with publishes of its channel.
bool overtakes(protocol::MethodId id) {
  return is_one_of<protocol::BasicAck, protocol::BasicNack, protocol::BasicReject,
                   protocol::BasicQos, protocol::BasicCancel>(id);
}

// What may lead to room in a queue.
bool makes_room(protocol::MethodId id) {
  return is_one_of<protocol::BasicGet, protocol::BasicConsume, protocol::BasicRecover,
                   protocol::BasicRecoverAsync, protocol::QueuePurge, protocol::QueueDelete>(id);
}

}  // namespace

// A publisher meets an alarm at its next content frame; who only consumes never notices (C-118).
bool Session::must_block(const Frame& frame) {
  const Alarm& alarm = engine_.alarm();
  if (phase_ != Phase::Running || (!alarm.memory && !alarm.disk && !holding_)) return false;
  if (holding_ && must_wait(frame)) {
    stopped_ = !parked_;  // a parked one reads on when it is answered, and asks again
    engine_.mark_dirty(*this);
    return true;
  }
  if ((!alarm.memory && !alarm.disk) || !is_content(frame)) return false;
  blocked_ = true;
  tell_blocked(alarm.memory && alarm.disk ? "low on memory & disk"
               : alarm.memory             ? "low on memory"
                                          : "low on disk");
  return true;
}

void Session::on_alarm() {
  const Alarm& alarm = engine_.alarm();
  if (alarm.memory || alarm.disk || !blocked_) return;
  blocked_ = false;
  tell_unblocked();
}

void Session::tell_blocked(std::string_view reason) {
  engine_.mark_dirty(*this);
  if (!can_be_blocked_ || std::exchange(blocked_told_, true)) return;
  protocol::ConnectionBlocked blocked;
  blocked.reason = reason;
  send(0, blocked);
}

// Not while there is another reason.
void Session::tell_unblocked() {
  engine_.mark_dirty(*this);
  if (blocked_ || !held_.empty() || phase_ != Phase::Running) return;
  if (std::exchange(blocked_told_, false)) send(0, protocol::ConnectionUnblocked{});
}

// ---- full queues ----

// While publishes are held: further ones join them, acknowledgements and other channels overtake
// them, and all else waits for those of its channel. But who might make the room that they wait for
// never waits: they are carried out before that method, beyond the limit.
bool Session::must_wait(const Frame& frame) {
  const bool is_method = frame.type == static_cast<std::uint8_t>(FrameType::Method);
  if (!is_method && !is_content(frame)) return false;
  const auto id = is_method ? protocol::peek_method(frame.payload).value_or(protocol::MethodId{})
                            : protocol::BasicPublish::kId;
  if (id == protocol::BasicPublish::kId) {
    if (!held_.full()) return false;
  } else {
    if (held_.empty() || overtakes(id)) return false;
    if (frame.channel != 0 && !held_.has(frame.channel)) return false;
  }
  if (!makes_room(id) && !consumes()) return true;
  publish_held(true);
  return !held_.empty() || parked_;
}

// What it has been given, or will be, may be what fills the queue.
bool Session::consumes() const {
  return std::ranges::any_of(channels_, [](const auto& each) { return each.second->consumes(); });
}

void Session::hold(Channel& channel) {
  held_.push(channel.ref(), channel.assembler().take());
  if (full_queues_.empty()) return;  // they only wait for their turn
  const routing::QueueEntry* const queue = vhost_->topology->find_queue(full_queues_.front());
  tell_blocked(queue == nullptr
                   ? std::string("a queue is full")
                   : "queue '" + queue->name + "' in vhost '" + vhost_->name + "' is full");
}

void Session::on_queue_full(QueueId queue) {
  if (phase_ != Phase::Running) {
    engine_.send_to_queue(queue, PublisherGone{queue, id_});
    return;
  }
  full_queues_.push_back(queue);
  holding_ = true;
}

void Session::on_queue_has_room(QueueId queue) {
  std::erase(full_queues_, queue);
  if (holding_) engine_.publish_held_later(id_);
}

// A parked session has a method to finish first, whose channel it is that is spoken of.
void Session::publish_held(bool though_full) {
  while (!held_.empty() && (though_full || full_queues_.empty()) && !parked_ &&
         phase_ == Phase::Running) {
    HeldPublishes::Held next = held_.pop();
    stopped_ = false;
    Channel* const channel = find_channel(next.channel);
    if (channel == nullptr) continue;
    guarded(next.channel.number, protocol::BasicPublish::kId,
            [&] { channel->publish(std::move(next.publish)); });
  }
  holding_ = !held_.empty() || !full_queues_.empty();
  if (!holding_) stopped_ = false;
  tell_unblocked();
}

void Session::stop_holding() {
  for (const QueueId queue : std::exchange(full_queues_, {}))
    engine_.send_to_queue(queue, PublisherGone{queue, id_});
  held_.clear();
  holding_ = stopped_ = false;
}

}  // namespace harrier::broker
