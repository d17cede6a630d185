// SPDX-License-Identifier: Apache-2.0
#include "tests/simulation/client.hpp"

#include <algorithm>
#include <utility>

namespace harrier::simulation {

using protocol::Frame;
using protocol::FrameType;
using protocol::Method;

namespace {

constexpr std::size_t kFrameMax = 4'096;

}  // namespace

Client::Client(World& world, Ledger& ledger, Dice& dice)
    : world_(world), ledger_(ledger), dice_(dice), link_(world.connect()) {
  link_->to_broker.assign(protocol::kProtocolHeader.begin(), protocol::kProtocolHeader.end());
}

bool Client::read(std::size_t size) {
  if (state_ == State::Gone || link_->to_client.empty()) return false;
  const auto end = link_->to_client.begin() +
                   static_cast<std::ptrdiff_t>(std::min(size, link_->to_client.size()));
  inbox_.insert(inbox_.end(), link_->to_client.begin(), end);
  link_->to_client.erase(link_->to_client.begin(), end);
  std::size_t used = 0;
  while (state_ != State::Gone) {
    const auto result = protocol::read_frame(protocol::ByteView(inbox_).subspan(used), kFrameMax);
    if (result.status == protocol::FrameStatus::Incomplete) break;
    require(result.status == protocol::FrameStatus::Complete, "the broker sent a malformed frame");
    require(result.size <= kFrameMax, "the broker sent a frame larger than agreed");
    on_frame(result.frame);
    used += result.size;
  }
  inbox_.erase(inbox_.begin(), inbox_.begin() + static_cast<std::ptrdiff_t>(used));
  return true;
}

void Client::on_frame(const Frame& frame) {
  const auto type = static_cast<FrameType>(frame.type);
  if (type == FrameType::Heartbeat) return;
  const auto at = channels_.find(frame.channel);
  const bool in_content = at != channels_.end() && at->second.content;
  if (type != FrameType::Method) {
    require(in_content, "content without a method that announced it");
    on_content(at->second, frame);
    return;
  }
  require(!in_content, "a method interrupts a content on its channel");
  Method method;
  require(protocol::decode_method(frame.payload, method) == protocol::DecodeStatus::Ok,
          "the broker sent a method that cannot be decoded");
  on_method(frame.channel, method);
}

void Client::on_method(std::uint16_t number, const Method& method) {
  if (on_answer(number, method)) return;
  if (number == 0) {
    on_connection_method(method);
    return;
  }
  const auto at = channels_.find(number);
  require(at != channels_.end(),
          "a method on a channel that is not open: " + protocol::print(method));
  Channel& channel = at->second;
  if (const auto* deliver = std::get_if<protocol::BasicDeliver>(&method)) {
    on_deliver(channel, *deliver);
  } else if (const auto* ack = std::get_if<protocol::BasicAck>(&method)) {
    on_confirm(channel, ack->delivery_tag, ack->multiple);
  } else if (const auto* cancel = std::get_if<protocol::BasicCancel>(&method)) {
    const auto consumer = channel.consumers.find(std::string(cancel->consumer_tag));
    require(consumer != channel.consumers.end(), "an unknown consumer was cancelled");
    require(ledger_.queue_kind(consumer->second.queue) == QueueKind::Volatile,
            "the broker cancelled a consumer of a queue that nobody deleted");
    channel.consumers.erase(consumer);
  } else if (const auto* close = std::get_if<protocol::ChannelClose>(&method)) {
    on_channel_close(channel, *close);
  } else if (std::holds_alternative<protocol::BasicReturn>(method)) {
    channel.content = Content{[](std::uint64_t) {}};
  } else {
    throw Violation("unexpected " + protocol::print(method));
  }
}

bool Client::on_answer(std::uint16_t number, const Method& method) {
  if (!request_ || request_->channel != number) return false;
  if (std::ranges::find(request_->answers, protocol::id_of(method)) == request_->answers.end()) {
    return false;
  }
  const Request request = *std::exchange(request_, std::nullopt);
  for (std::size_t i = 0; i < request.settlements; ++i) {
    Ledger::settled_for_certain(*settlements_[i].first);
  }
  settlements_.erase(settlements_.begin(),
                     settlements_.begin() + static_cast<std::ptrdiff_t>(request.settlements));
  request.done(method);
  return true;
}

void Client::on_connection_method(const Method& method) {
  if (std::holds_alternative<protocol::ConnectionStart>(method)) {
    protocol::Table capabilities;
    capabilities.add_bool("consumer_cancel_notify", true);
    protocol::Table properties;
    properties.add_table("capabilities", capabilities);
    protocol::ConnectionStartOk ok;
    ok.client_properties = properties.view();
    ok.response = std::string_view("\0guest\0guest", 12);
    send(0, ok);
  } else if (const auto* tune = std::get_if<protocol::ConnectionTune>(&method)) {
    protocol::ConnectionTuneOk ok;
    ok.channel_max = tune->channel_max;
    ok.frame_max = kFrameMax;
    send(0, ok);
    ask(0, protocol::ConnectionOpen{}, {protocol::ConnectionOpenOk::kId},
        [this](const Method&) { state_ = State::Running; });
  } else {
    throw Violation("unexpected " + protocol::print(method));
  }
}

void Client::on_deliver(Channel& channel, const protocol::BasicDeliver& method) {
  const std::string tag(method.consumer_tag);
  require(method.delivery_tag == channel.last_tag + 1, "delivery tags are not consecutive");
  channel.last_tag = method.delivery_tag;
  const auto at = channel.consumers.find(tag);
  require(at != channel.consumers.end() || channel.closing,
          "a delivery to a consumer that does not exist: " + tag);
  if (channel.gives_back()) {
    channel.content = Content{[](std::uint64_t) {}};
    return;
  }
  Consumer& consumer = at->second;
  require(consumer.started, "a delivery before consume-ok");
  const auto deliver = [this, &channel, &consumer, tag, delivery_tag = method.delivery_tag,
                        redelivered = method.redelivered](std::uint64_t message) {
    if (channel.gives_back()) return;
    Copy& copy =
        ledger_.delivered(message, consumer.queue, redelivered, channel.serial, consumer.no_ack);
    if (!consumer.leaving) ledger_.served(consumer.queue, channel.serial, tag);
    check_level(message, consumer.queue, redelivered);
    // Groups have an order each, and the ledger knows it.
    if (!redelivered && ledger_.queue_name(consumer.queue) != kGroups) {
      std::uint64_t& last =
          consumer
              .last_fresh[{ledger_.publisher_of(message), ledger_.level(message, consumer.queue)}];
      require(last <= message, "message " + std::to_string(message) + " came after " +
                                   std::to_string(last) + " of the same channel");
      last = message;
    }
    if (consumer.no_ack) return;
    hold(channel, delivery_tag, {&copy, tag});
  };
  channel.content = Content{deliver};
}

// What one connection reads of one queue is in the order in which the queue gave it out. What has
// never been out, and was there at the last rest, was ready all the time (C-457).
void Client::check_level(std::uint64_t message, QueueNumber queue, bool redelivered) {
  const unsigned level = ledger_.level(message, queue);
  unsigned& lowest = lowest_since_rest_.try_emplace(queue, level).first->second;
  require(redelivered || !ledger_.ready_since_rest(message) || level <= lowest,
          "message " + std::to_string(message) + " of level " + std::to_string(level) + " in " +
              ledger_.queue_name(queue) + " had to wait for one of level " +
              std::to_string(lowest));
  lowest = std::min(lowest, level);
}

void Client::hold(Channel& channel, std::uint64_t tag, Held held) {
  if (const auto at = channel.consumers.find(held.consumer); at != channel.consumers.end()) {
    Consumer& consumer = at->second;
    ++consumer.held;
    ++channel.outstanding;
    require(consumer.prefetch == 0 || consumer.held <= consumer.prefetch,
            "a consumer of prefetch " + std::to_string(consumer.prefetch) + " holds " +
                std::to_string(consumer.held));
    require(channel.global_limit == 0 || channel.outstanding <= channel.global_limit,
            "a channel of limit " + std::to_string(channel.global_limit) + " holds " +
                std::to_string(channel.outstanding));
  }
  channel.held.emplace(tag, std::move(held));
}

void Client::drop_hold(Channel& channel, std::uint64_t tag) {
  const auto held = channel.held.extract(tag);
  const std::string& consumer = held.mapped().consumer;
  if (consumer.empty()) return;
  --channel.outstanding;
  if (const auto at = channel.consumers.find(consumer); at != channel.consumers.end())
    --at->second.held;
}

void Client::on_confirm(Channel& channel, std::uint64_t tag, bool multiple) {
  require(channel.confirms, "a confirm on a channel that did not ask for confirms");
  require(tag <= channel.published, "a confirm for " + std::to_string(tag) + ", but only " +
                                        std::to_string(channel.published) + " were published");
  auto at = multiple ? channel.unconfirmed.begin() : channel.unconfirmed.find(tag);
  require(channel.unconfirmed.contains(tag), std::to_string(tag) + " was confirmed twice");
  while (at != channel.unconfirmed.end() && at->first <= tag) {
    confirmed(at->second);
    at = channel.unconfirmed.erase(at);
  }
}

void Client::confirmed(std::uint64_t message) {
  ledger_.confirmed(message);
  world_.vault().confirmed(message, ledger_.stored_copies(message));
}

void Client::on_channel_close(Channel& channel, const protocol::ChannelClose& method) {
  require(channel.may_fail || channel.closing,
          "a channel was closed without a reason: " + std::string(method.reply_text));
  send(channel.number, protocol::ChannelCloseOk{});
  if (channel.closing) return;  // ours is answered too
  if (request_ && request_->channel == channel.number) request_.reset();
  channel_over(channel.number);
}

void Client::on_content(Channel& channel, const Frame& frame) {
  Content& content = *channel.content;
  if (!content.header_seen) {
    require(frame.type == static_cast<std::uint8_t>(FrameType::Header), "a body without a header");
    require(frame.payload.size() >= protocol::kContentHeaderSize + 2, "a content header is short");
    content.header_seen = true;
    for (const std::uint8_t octet : frame.payload.subspan(4, 8))
      content.size = content.size << 8 | octet;
  } else {
    require(frame.type == static_cast<std::uint8_t>(FrameType::Body), "a body frame is missing");
    content.body.insert(content.body.end(), frame.payload.begin(), frame.payload.end());
  }
  require(content.body.size() <= content.size, "a body is longer than announced");
  if (content.body.size() < content.size) return;
  const Content complete = *std::exchange(channel.content, std::nullopt);
  complete.done(Ledger::read_body(complete.body));
}

void Client::channel_over(std::uint16_t number) {
  const ChannelSerial serial = channels_.at(number).serial;
  ledger_.channel_over(serial);
  const std::size_t before_request = request_ ? request_->settlements : 0;
  std::size_t index = 0;
  std::size_t dropped = 0;
  std::erase_if(settlements_, [&](const auto& settlement) {
    const bool mine = settlement.second == serial;
    if (mine && index < before_request) ++dropped;
    ++index;
    return mine;
  });
  if (request_) request_->settlements -= dropped;
  channels_.erase(number);
}

void Client::everything_over() {
  for (const auto& [number, channel] : channels_) ledger_.channel_over(channel.serial);
  channels_.clear();
  settlements_.clear();
  request_.reset();
  for (const QueueNumber queue : own_queues_) ledger_.queue_deleted(queue);
  state_ = State::Gone;
  link_->cut = true;
}

void Client::cut() { everything_over(); }

void Client::close() {
  state_ = State::Closing;
  for (auto& [number, channel] : channels_) {
    channel.closing = true;
    ledger_.channel_over(channel.serial);
  }
  ask(0, protocol::ConnectionClose{200, "bye", 0, 0}, {protocol::ConnectionCloseOk::kId},
      [this](const Method&) { everything_over(); });
}

void Client::check_at_rest(const std::vector<broker::QueueInfo>& infos) const {
  if (state_ == State::Gone) return;
  require(!request_, "a request was never answered");
  require(inbox_.empty(), "the broker sent part of a frame");
  for (const auto& [number, channel] : channels_) {
    require(channel.unconfirmed.empty(), "a publish was never confirmed");
    for (const auto& [tag, consumer] : channel.consumers) {
      const std::string& name = ledger_.queue_name(consumer.queue);
      const auto info = std::ranges::find(infos, name, &broker::QueueInfo::name);
      require(info != infos.end(), "a consumer of " + name + " outlives it");
      if (name == kSingle) continue;  // messages may wait for another consumer
      const bool full = (consumer.prefetch != 0 && consumer.held >= consumer.prefetch) ||
                        (channel.global_now != 0 && channel.outstanding >= channel.global_now);
      if (name == kGroups) {
        require(full || !ledger_.has_for_anybody(consumer.queue, info->consumers == 1),
                name + " keeps messages back that " + tag + " could take");
        continue;
      }
      require(full || info->messages_ready == 0,
              name + " has " + std::to_string(info->messages_ready) + " messages ready, and " +
                  tag + " holds " + std::to_string(consumer.held) + " of " +
                  std::to_string(consumer.prefetch) + ", its channel " +
                  std::to_string(channel.outstanding) + " of " +
                  std::to_string(channel.global_now));
    }
  }
}

}  // namespace harrier::simulation
