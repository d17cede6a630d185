// SPDX-License-Identifier: Apache-2.0
//
// Frames of a running connection, and what closes channels and connections (conformance 1.7 to 1.10
// and section 2).
#include <utility>

#include "broker/core/engine.hpp"
#include "broker/core/session.hpp"

namespace harrier::broker {

using protocol::AmqpError;
using protocol::ByteView;
using protocol::Frame;
using protocol::FrameStatus;
using protocol::FrameType;
using protocol::MethodId;
using protocol::ReplyCode;

namespace {

constexpr Millis kHangUpMaxMs =
    30'000;  // how long we wait for a client to close TCP after close-ok (C-105)

bool is(const Frame& frame, FrameType type) {
  return frame.type == static_cast<std::uint8_t>(type);
}

bool is_known_type(const Frame& frame) {
  return is(frame, FrameType::Method) || is(frame, FrameType::Header) ||
         is(frame, FrameType::Body) || is(frame, FrameType::Heartbeat);
}

}  // namespace

std::string_view Session::phase_name(Phase phase) {
  switch (phase) {
    case Phase::Header:
    case Phase::Starting:
      return "starting";
    case Phase::Tuning:
      return "tuning";
    case Phase::Opening:
      return "opening";
    case Phase::Running:
      return "running";
    case Phase::Closing:
      return "closing";
    case Phase::Draining:
    case Phase::Gone:
      return "closed";
  }
  return "";
}

void Session::frame_error(const std::string& text) {
  const bool running = phase_ == Phase::Running || phase_ == Phase::Opening;
  if (!running) {  // before that nothing is said (C-023); after it nothing more
    stream_broken_ = true;
    if (phase_ != Phase::Closing) close_silently();
    return;
  }
  close_connection(ReplyCode::FrameError, text, {});
  stream_broken_ = true;
}

void Session::on_running_frame(const Frame& frame) {
  if (!is_known_type(frame)) {
    // The frame is whole, but who sends such a thing cannot be trusted with the next one.
    close_connection(ReplyCode::FrameError, protocol::malformed_frame_text(frame), {});
    stream_broken_ = true;
    return;
  }
  if (is(frame, FrameType::Heartbeat)) {
    if (frame.channel != 0) {
      close_connection(ReplyCode::UnexpectedFrame,
                       "heartbeat frame on channel " + std::to_string(frame.channel), {});
    } else if (!frame.payload.empty()) {
      close_connection(ReplyCode::FrameError, "heartbeat frame with a payload", {});
    }
    return;
  }
  if (frame.channel != 0) {
    on_channel_frame(frame);
  } else if (is(frame, FrameType::Method)) {
    on_connection_method(frame);
  } else {
    close_connection(ReplyCode::UnexpectedFrame, "content frame on channel 0", {});
  }
}

protocol::Method Session::decode(const Frame& frame) {
  protocol::Method method;
  const protocol::DecodeStatus status = protocol::decode_method(frame.payload, method);
  if (status == protocol::DecodeStatus::Ok) return method;
  throw AmqpError(status == protocol::DecodeStatus::UnknownMethod ? ReplyCode::CommandInvalid
                                                                  : ReplyCode::FrameError,
                  protocol::decode_error_text(status, frame.payload),
                  status == protocol::DecodeStatus::BadUtf8 ? AmqpError::kNoMethod : MethodId{});
}

void Session::on_connection_method(const Frame& frame) {
  const MethodId id = protocol::peek_method(frame.payload).value_or(MethodId{});
  guarded(0, id, [&] {
    const protocol::Method method = decode(frame);
    if (std::holds_alternative<protocol::ConnectionClose>(method)) {
      close_by_peer();
    } else if (std::holds_alternative<protocol::ConnectionUpdateSecret>(method)) {
      on_update_secret();
    } else {
      throw AmqpError(ReplyCode::ChannelError,
                      "unexpected method in connection state " + std::string(phase_name(phase_)));
    }
  });
}

// A password that is right once is right for the whole connection; but whether the user may still
// be here is looked at again (C-038, C-039).
void Session::on_update_secret() {
  on_new_users();
  if (!engine_.authenticator().may_access_vhost(user_, vhost_->name)) {
    throw AmqpError(ReplyCode::NotAllowed,
                    "access to vhost '" + vhost_->name + "' refused for user '" + user_.name + "'");
  }
  send(0, protocol::ConnectionUpdateSecretOk{});
}

Claim Session::claim_channel() const {
  const Quota quota = engine_.authenticator().quotas(user_).channels;
  auto claim = quota.claim();
  if (claim) return *std::move(claim);
  throw AmqpError(ReplyCode::NotAllowed,  // C-051
                  "number of channels opened for user '" + user_.name +
                      "' has reached the maximum allowed user limit of (" +
                      std::to_string(*quota.max) + ")");
}

void Session::on_channel_frame(const Frame& frame) {
  Channel* channel = find_channel(frame.channel);
  if (channel == nullptr) {
    on_unopened_channel(frame);
  } else if (channel->assembler().state() != protocol::ContentAssembler::State::Idle) {
    on_content(*channel, frame);
  } else if (!is(frame, FrameType::Method)) {
    close_connection(ReplyCode::UnexpectedFrame,
                     "expected method frame, got non method frame instead", {});
  } else {
    on_channel_method(*channel, frame);
  }
}

void Session::on_unopened_channel(const Frame& frame) {
  const MethodId id = protocol::peek_method(frame.payload).value_or(MethodId{});
  guarded(0, id, [&] {
    if (!is(frame, FrameType::Method))
      throw AmqpError(ReplyCode::ChannelError, "expected 'channel.open'");
    if (id == protocol::BasicPublish::kId) {
      // Answered once its content is complete, like any publish (C-129 as corrected in 0.3).
      Channel& unopened = add_channel(frame.channel);
      unopened.set_state(Channel::State::Unopened);
      on_channel_method(unopened, frame);
      return;
    }
    const protocol::Method method = decode(frame);
    if (!std::holds_alternative<protocol::ChannelOpen>(method)) {
      throw AmqpError(ReplyCode::ChannelError, "expected 'channel.open'");
    }
    if (channel_max_ != 0 && channels_.size() >= channel_max_) {
      throw AmqpError(ReplyCode::NotAllowed, "number of channels opened (" +
                                                 std::to_string(channels_.size()) +
                                                 ") has reached the negotiated channel_max (" +
                                                 std::to_string(channel_max_) + ")");
    }
    Claim claim = claim_channel();
    add_channel(frame.channel).hold(std::move(claim));
    send(frame.channel, protocol::ChannelOpenOk{});
  });
}

void Session::on_channel_method(Channel& channel, const Frame& frame) {
  const MethodId id = protocol::peek_method(frame.payload).value_or(MethodId{});
  guarded(channel.number(), id, [&] {
    if (id == protocol::BasicPublish::kId) {
      protocol::BasicPublish publish;
      if (protocol::decode_as(frame.payload, publish) != protocol::DecodeStatus::Ok) decode(frame);
      channel.assembler().begin(publish, channel.state() != Channel::State::Open);
      return;
    }
    if (channel.state() == Channel::State::Closing) {
      if (id == protocol::ChannelClose::kId) {
        send(channel.number(),
             protocol::ChannelCloseOk{});  // crossing closes; theirs is still awaited
      } else if (id == protocol::ChannelCloseOk::kId) {
        erase_channel(channel.number());
      }
      return;  // all else came before the client could know (C-134)
    }
    if (id == protocol::BasicAck::kId) {
      protocol::BasicAck ack;
      if (protocol::decode_as(frame.payload, ack) != protocol::DecodeStatus::Ok) decode(frame);
      channel.on(ack);
      return;
    }
    const protocol::Method method = decode(frame);
    if (std::holds_alternative<protocol::ChannelOpen>(method)) {
      throw AmqpError(ReplyCode::ChannelError, "second 'channel.open' seen");
    }
    if (std::holds_alternative<protocol::ChannelClose>(method)) {
      const std::uint16_t number = channel.number();
      release_channel(channel, [this, number] {
        erase_channel(number);
        send(number, protocol::ChannelCloseOk{});
      });
      return;
    }
    channel.handle(method);
  });
}

// While a channel waits for answers to its declares, binds and deletes of queues, another one may
// be taken, so that they share a flush. Everything else waits until all are answered.
bool Session::may_follow(const protocol::FrameResult& result) {
  const Frame& frame = result.frame;
  if (result.status != FrameStatus::Complete || phase_ != Phase::Running) return false;
  if (!is(frame, FrameType::Method) || frame.channel != current_channel_) return false;
  const Channel* channel = find_channel(frame.channel);
  if (channel == nullptr) return false;
  const auto id = protocol::peek_method(frame.payload);
  const auto follows = [&](auto method) {
    return id == method.kId &&
           protocol::decode_as(frame.payload, method) == protocol::DecodeStatus::Ok &&
           channel->may_follow(method);
  };
  return follows(protocol::QueueDeclare{}) || follows(protocol::QueueBind{}) ||
         follows(protocol::QueueDelete{});
}

// Mistakes in the order of frames are the connection's, also on a channel that is closing (C-135).
void Session::on_content(Channel& channel, const Frame& frame) {
  bool complete = false;
  guarded(0, protocol::MethodId{}, [&] {
    complete = channel.assembler().on_frame(frame, engine_.options().message_size_max);
  });
  if (complete) on_whole_content(channel);
}

void Session::on_whole_content(Channel& channel) {
  guarded(channel.number(), protocol::BasicPublish::kId, [&] {
    if (channel.state() == Channel::State::Unopened) {
      throw AmqpError(ReplyCode::ChannelError, "expected 'channel.open'");
    }
    if (channel.assembler().discarding()) {
      channel.assembler().reset();
    } else if (holding_) {
      hold(channel);
    } else {
      channel.publish(channel.assembler().take());
    }
  });
}

// ---- closing ----

void Session::close_channel(Channel& channel, const AmqpError& error, MethodId method) {
  engine_.log(1, name() + " channel " + std::to_string(channel.number()) + ": " +
                     protocol::reply_text(error.code(), error.explanation()));
  channel.set_state(Channel::State::Closing);
  channel.assembler().discard();
  abandon_wait();
  const std::uint16_t number = channel.number();
  release_channel(channel,
                  [this, number, code = error.code(), explanation = error.explanation(), method] {
                    const std::string text = protocol::reply_text(code, explanation);
                    protocol::ChannelClose close;
                    close.reply_code = static_cast<std::uint16_t>(code);
                    close.reply_text = text;
                    close.class_id = method.class_id;
                    close.method_id = method.method_id;
                    send(number, close);
                  });
}

void Session::close_connection(ReplyCode code, std::string_view explanation, MethodId method) {
  if (phase_ == Phase::Closing || phase_ == Phase::Draining || phase_ == Phase::Gone) return;
  std::string text = protocol::reply_text(code, explanation);
  engine_.log(code == ReplyCode::ConnectionForced ? 1 : 2, name() + ": " + text);
  phase_ = Phase::Closing;
  blocked_ = waiting_for_window_ = false;
  stop_holding();
  abandon_wait();
  release_all([this, code, text = std::move(text), method] {
    forget_channels();
    protocol::ConnectionClose close;
    close.reply_code = static_cast<std::uint16_t>(code);
    close.reply_text = text;
    close.class_id = method.class_id;
    close.method_id = method.method_id;
    send(0, close);
    set_phase_deadline(engine_.options().close_grace_ms);
  });
}

// Before the peer can know: what it opens next finds its place free.
void Session::forget_channels() {
  channels_.clear();
  last_channel_ = nullptr;
  vhost_claim_.release();
  user_claim_.release();
}

void Session::close_by_peer() {
  phase_ = Phase::Closing;
  release_all([this] {
    forget_channels();
    send(0, protocol::ConnectionCloseOk{});
    const Millis heartbeat_ms = Millis{heartbeat_s_} * 1000;
    drain(heartbeat_ms == 0 ? kHangUpMaxMs : std::min(heartbeat_ms, kHangUpMaxMs));
  });
}

void Session::on_closing_frame(const Frame& frame) {
  if (frame.channel != 0 || !is(frame, FrameType::Method)) return;
  const auto id = protocol::peek_method(frame.payload);
  if (id == protocol::ConnectionClose::kId) send(0, protocol::ConnectionCloseOk{});
  if (id == protocol::ConnectionCloseOk::kId) close_tcp();
}

void Session::drain(Millis delay) {
  phase_ = Phase::Draining;
  next_send_look_ = next_receive_look_ = 0;
  heartbeat_s_ = 0;
  set_phase_deadline(delay);
}

void Session::close_silently() { drain(engine_.options().close_grace_ms); }

void Session::force_close(const std::string& reason) {
  // On its way out already: its release is under way, and has its deadline.
  if (phase_ == Phase::Closing || phase_ == Phase::Gone) return;
  abandon_wait();  // the cleanup finds what came of it
  if (phase_ == Phase::Running) {
    close_connection(ReplyCode::ConnectionForced, reason, {});
  } else {
    close_tcp();
  }
  engine_.mark_dirty(*this);
}

void Session::peer_gone() {
  if (phase_ == Phase::Gone) return;
  phase_ = Phase::Gone;
  abandon_wait();
  output_.clear();
  phase_deadline_ = next_send_look_ = next_receive_look_ = 0;
  heartbeat_s_ = 0;
  blocked_ = blocked_told_ = waiting_for_window_ = false;
  stop_holding();
  credit_due_.clear();
  arm_timers();
  release_all([this] {
    forget_channels();
    released_ = true;
    engine_.mark_dirty(*this);
  });
}

}  // namespace harrier::broker
