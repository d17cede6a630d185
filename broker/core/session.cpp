// SPDX-License-Identifier: Apache-2.0
#include "broker/core/session.hpp"

#include <algorithm>
#include <bit>

#include "broker/core/engine.hpp"
#include "protocol/private_headers.hpp"

namespace harrier::broker {

using protocol::ByteView;
using protocol::Frame;
using protocol::FrameStatus;
using protocol::ReplyCode;

Session::Session(ConnectionId id, Peer peer, Engine& engine)
    : id_(id),
      peer_(std::move(peer)),
      engine_(engine),
      frame_max_(engine.options().handshake_frame_max) {
  set_phase_deadline(engine_.options().handshake_timeout_ms);
}

Session::~Session() { engine_.schedule(id_, armed_, 0); }

std::string Session::name() const {
  return peer_.address + ":" + std::to_string(peer_.port) + " -> " + peer_.local_address + ":" +
         std::to_string(peer_.local_port);
}

std::size_t Session::receive(ByteView input) {
  const std::size_t used = receive_frames(input);
  if (used > 0) engine_.mark_dirty(*this);
  return used;
}

std::size_t Session::receive_frames(ByteView input) {
  std::size_t used = 0;
  if (phase_ == Phase::Header) used = receive_header(input);
  while (phase_ != Phase::Header && wants_input()) {
    if (stream_broken_ || phase_ == Phase::Draining) return input.size();
    const ByteView rest = input.subspan(used);
    if (open_body_) {
      if (rest.empty()) break;
      used += continue_body(rest);
      continue;
    }
    const protocol::FrameResult result = protocol::read_frame(rest, payload_max());
    if (result.status == FrameStatus::Incomplete) {
      if (open_body(rest, result)) used = input.size();
      break;
    }
    if (parked_ && !may_follow(result)) {
      followed_ = false;  // it waits, and all behind it
      break;
    }
    if (result.status != FrameStatus::Complete) {
      frame_error(protocol::frame_error_text(rest, result.status, frame_max_));
      continue;
    }
    if (must_block(result.frame)) break;
    used += result.size;
    ++frames_received_;
    on_frame(result.frame);
  }
  return used;
}

bool Session::wants_input() const {
  return phase_ != Phase::Gone && (!parked_ || followed_) && !blocked_ && !stopped_ &&
         !waiting_for_window_ && output_.size() < engine_.options().output_high_bytes;
}

std::size_t Session::payload_max() const { return frame_max_; }

bool Session::wants_close() const { return close_now_ && output_.empty(); }

void Session::flushed() {
  // Credit goes back when little is left to write, in one go, so that a slow socket costs its own
  // queues only.
  if (!credit_due_.empty() && output_.size() <= OutputBuffer::kBlockSize) return_credit();
}

void Session::return_credit() {
  for (const auto& [number, consumer] : std::exchange(credit_due_, {})) {
    if (Channel* channel = find_channel(number)) channel->return_credit(consumer);
  }
}

void Session::list_for_credit(std::uint16_t channel, std::uint32_t consumer) {
  credit_due_.emplace_back(channel, consumer);
  engine_.mark_dirty(*this);
}

void Session::on_frame(const Frame& frame) {
  switch (phase_) {
    case Phase::Starting:
    case Phase::Tuning:
    case Phase::Opening:
      on_handshake_frame(frame);
      return;
    case Phase::Running:
      on_running_frame(frame);
      return;
    case Phase::Closing:
      on_closing_frame(frame);
      return;
    case Phase::Header:
    case Phase::Draining:
    case Phase::Gone:
      return;
  }
}

void Session::on_error(std::uint16_t channel, protocol::MethodId method,
                       const protocol::AmqpError& error) {
  Channel* at_fault = channel == 0 ? nullptr : find_channel(channel);
  if (protocol::is_hard(error.code()) || at_fault == nullptr) {
    close_connection(error.code(), error.explanation(), error.method_or(method));
  } else {
    close_channel(*at_fault, error, error.method_or(method));
  }
}

void Session::on_failure(protocol::MethodId method, const std::exception& failure) {
  engine_.log(3, name() + ": internal error while handling " +
                     std::string(protocol::name_of(method)) + ": " + failure.what());
  close_connection(ReplyCode::InternalError, "", method);
}

// ---- waiting for other shards ----

ReplyTo Session::park(unsigned answers, OnReply then) {
  parked_ = true;
  followed_ = false;
  outstanding_ = answers;
  on_reply_ = std::move(then);
  return {id_, first_token_ = ++token_};
}

ReplyTo Session::park_followed(OnReply then) {
  if (parked_) {
    ++outstanding_;
    return {id_, ++token_};
  }
  const ReplyTo to = park(1, std::move(then));
  followed_ = true;
  return to;
}

void Session::unpark() {
  abandon_wait();
  engine_.mark_dirty(*this);
  if (holding_) engine_.publish_held_later(id_);
}

// What was asked is no longer waited for; the replies that are still to come find nobody.
void Session::abandon_wait() {
  parked_ = followed_ = false;
  outstanding_ = 0;
  on_reply_ = nullptr;
}

void Session::on_reply(Reply& reply) {
  const bool awaited = reply.to.token - first_token_ <= token_ - first_token_;
  if (outstanding_ == 0 || !awaited) return;  // asked before the peer went
  engine_.mark_dirty(*this);
  // Not run in place: it may park anew, or close all.
  const OnReply then = outstanding_ > 1 ? on_reply_ : std::exchange(on_reply_, nullptr);
  if (--outstanding_ == 0) abandon_wait();
  guarded(current_channel_, current_method_, [&] { then(reply); });
  if (holding_ && !parked_) engine_.publish_held_later(id_);
}

void Session::await_window() {
  waiting_for_window_ = true;
  engine_.wait_for_window(id_);
}

void Session::on_window_open() {
  waiting_for_window_ = false;
  engine_.mark_dirty(*this);
}

void Session::touch(QueueId queue, Channel& channel) {
  channel.touch(shard_of(queue, engine_.shards()));
}

// Every shard that knows the channel lets go of it, then `then` runs.
void Session::release_channel(Channel& channel, std::function<void()> then) {
  channel.forget_consumers();
  const std::uint64_t shards = channel.touched_shards();
  if (shards == 0) {
    then();
    return;
  }
  const ReplyTo to =
      park(static_cast<unsigned>(std::popcount(shards)), [this, then = std::move(then)](Reply&) {
        if (outstanding_ == 0) then();
      });
  const ChannelRef ref = channel.ref();
  channel.clear_touched();
  for (unsigned shard = 0; shard < engine_.shards(); ++shard) {
    if (shards >> shard & 1) engine_.send(static_cast<ShardId>(shard), ReleaseChannel{ref, to});
  }
}

void Session::release_all(std::function<void()> then) {
  std::vector<std::pair<ShardId, ChannelRef>> known;
  for (const auto& [number, channel] : channels_) {
    channel->forget_consumers();
    for (unsigned shard = 0; shard < engine_.shards(); ++shard) {
      if (channel->touched_shards() >> shard & 1)
        known.emplace_back(static_cast<ShardId>(shard), channel->ref());
    }
    channel->clear_touched();
  }
  auto exclusive = [this, then = std::move(then)] {
    if (!owns_exclusive_) {
      then();
      return;
    }
    owns_exclusive_ = false;
    const ReplyTo to = park(1, [then](Reply&) { then(); });
    engine_.send(kControlShard, ControlRequest{to, vhost_->name, DeleteExclusive{id_}});
  };
  if (known.empty()) {
    exclusive();
    return;
  }
  const ReplyTo to =
      park(static_cast<unsigned>(known.size()), [this, exclusive = std::move(exclusive)](Reply&) {
        if (outstanding_ == 0) exclusive();
      });
  for (const auto& [shard, ref] : known) engine_.send(shard, ReleaseChannel{ref, to});
}

// ---- channels ----

Channel* Session::find_channel(std::uint16_t number) {
  if (last_channel_ != nullptr && last_channel_->number() == number) return last_channel_;
  const auto at = channels_.find(number);
  if (at == channels_.end()) return nullptr;
  return last_channel_ = at->second.get();
}

Channel* Session::find_channel(const ChannelRef& ref) {
  if (phase_ == Phase::Gone) return nullptr;  // nobody is left to be told
  Channel* channel = find_channel(ref.number);
  if (channel == nullptr || !(channel->ref() == ref) || channel->state() != Channel::State::Open)
    return nullptr;
  return channel;
}

Channel& Session::add_channel(std::uint16_t number) {
  auto& slot = channels_[number];
  slot = std::make_unique<Channel>(*this, ChannelRef{id_, ++last_generation_, number});
  return *slot;
}

void Session::erase_channel(std::uint16_t number) {
  last_channel_ = nullptr;
  channels_.erase(number);
}

void Session::on_delivery(Delivery& delivery) {
  if (Channel* channel = find_channel(delivery.consumer.channel)) channel->on_delivery(delivery);
}

void Session::on_publish_settled(const PublishSettled& settled) {
  if (Channel* channel = find_channel(settled.channel)) channel->on_publish_settled(settled);
}

void Session::on_consumer_cancelled(const ConsumerCancelled& cancelled) {
  if (Channel* channel = find_channel(cancelled.consumer.channel)) {
    channel->on_consumer_cancelled(cancelled.consumer.consumer, can_cancel_notify_);
  }
}

void Session::on_grant_wanted(const GrantWanted& wanted) {
  if (Channel* channel = find_channel(wanted.consumer.channel))
    channel->on_grant_wanted(wanted.consumer.consumer);
}

void Session::on_grant_returned(const GrantReturned& returned) {
  if (Channel* channel = find_channel(returned.consumer.channel)) {
    channel->on_grant_returned(returned.consumer.consumer, returned.count);
  }
}

void Session::on_direct_reply(const DirectReply& reply) {
  if (Channel* channel = find_channel(reply.channel)) channel->on_direct_reply(reply);
}

bool Session::has_reply_consumer(const ChannelRef& ref, const std::string& reply_name) const {
  const auto at = channels_.find(ref.number);
  return phase_ == Phase::Running && at != channels_.end() && at->second->ref() == ref &&
         at->second->state() == Channel::State::Open &&
         at->second->direct_reply_name() == reply_name;
}

void Session::end_turn() {
  for (const std::uint16_t number : std::exchange(settled_channels_, {})) {
    Channel* channel = find_channel(number);
    // Nothing follows our own channel.close, nor the end of TCP.
    if (phase_ != Phase::Gone && channel && channel->state() == Channel::State::Open) {
      channel->flush_confirms();
    }
  }
}

void Session::send_content(std::uint16_t channel, const protocol::MessagePtr& message,
                           std::uint32_t returns, std::optional<std::int64_t> stream_offset) {
  std::vector<std::uint8_t> edited;
  if (returns > 0 || stream_offset || message->has_private_headers())
    edited = protocol::visible_properties(message->properties(), returns, stream_offset);
  const ByteView properties = edited.empty() ? message->property_bytes() : ByteView(edited);
  const ByteView body = message->body();
  const std::size_t header_size = protocol::kContentHeaderSize + properties.size();
  std::uint8_t* out = output_.reserve(header_size + protocol::kFrameOverhead);
  out = protocol::put_frame_header(out, protocol::FrameType::Header, channel, header_size);
  out = protocol::put_content_header(out, protocol::kClassBasic, body.size());
  out = protocol::put_raw(out, properties);
  output_.commit(protocol::put_u8(out, protocol::kFrameEnd));

  const std::size_t chunk_max =
      frame_max_ == 0 ? body.size() : frame_max_ - protocol::kFrameOverhead;
  for (std::size_t at = 0; at < body.size(); at += chunk_max) {
    const ByteView chunk = body.subspan(at, std::min(chunk_max, body.size() - at));
    const bool copy = chunk.size() <= OutputBuffer::kCopyMax;
    out = output_.reserve(protocol::kFrameOverhead + (copy ? chunk.size() : 0));
    out = protocol::put_frame_header(out, protocol::FrameType::Body, channel, chunk.size());
    if (copy) out = protocol::put_raw(out, chunk);
    if (!copy) {
      output_.commit(out);
      output_.append(message, chunk);
      out = output_.reserve(1);
    }
    output_.commit(protocol::put_u8(out, protocol::kFrameEnd));
  }
}

// ---- timers ----

void Session::set_phase_deadline(Millis delay) {
  phase_deadline_ = engine_.now() + delay;
  arm_timers();
}

void Session::arm_timers() {
  Millis next = 0;
  for (const Millis deadline : {phase_deadline_, next_send_look_, next_receive_look_}) {
    if (deadline != 0 && (next == 0 || deadline < next)) next = deadline;
  }
  engine_.schedule(id_, armed_, next);
  armed_ = next;
}

void Session::on_deadline() {
  engine_.mark_dirty(*this);
  armed_ = 0;
  if (phase_deadline_ != 0 && engine_.now() >= phase_deadline_) {
    // Handshake not done in time, no close-ok, or the client does not hang up: TCP goes, without a
    // frame (C-008, C-105).
    phase_deadline_ = 0;
    output_.clear();  // who has not read it by now never will
    close_tcp();
  }
  if (heartbeat_s_ != 0 && phase_ != Phase::Gone) look_at_heartbeats();
  arm_timers();
}

// Sending: every half interval, unless something was sent anyway (C-067). Receiving: two looks in a
// row without a byte end the connection (C-068); while we do not read, silence proves nothing
// (C-071).
void Session::look_at_heartbeats() {
  const Millis now = engine_.now();
  if (now >= next_send_look_) {
    next_send_look_ = now + Millis{heartbeat_s_} * 500;
    if (output_.appended_total() == appended_seen_ && phase_ != Phase::Draining) {
      std::uint8_t* out = output_.reserve(protocol::kFrameOverhead);
      out = protocol::put_frame_header(out, protocol::FrameType::Heartbeat, 0, 0);
      output_.commit(protocol::put_u8(out, protocol::kFrameEnd));
    }
    appended_seen_ = output_.appended_total();
  }
  if (now >= next_receive_look_) {
    next_receive_look_ = now + Millis{heartbeat_s_} * 1000;
    // Silence while we do not read proves nothing; where we stopped because too much is unsent, the
    // peer lives as long as it takes some of it.
    const std::uint64_t consumed = output_.consumed_total();
    const bool drained = std::exchange(consumed_seen_, consumed) != consumed;
    const bool excused = parked_ || blocked_ || stopped_ || waiting_for_window_;
    const bool heard = std::exchange(heard_, false);
    const bool backed_up = !excused && !wants_input();
    silent_looks_ = heard || excused || (backed_up && drained) ? 0 : silent_looks_ + 1;
    if (silent_looks_ >= 2) {
      engine_.log(
          2, name() + ": no heartbeat for " + std::to_string(2 * heartbeat_s_) + " s, closing");
      output_.clear();
      close_tcp();
    }
  }
}

void Session::close_tcp() {
  close_now_ = true;
  phase_ = phase_ == Phase::Gone ? Phase::Gone : Phase::Draining;
}

}  // namespace harrier::broker
