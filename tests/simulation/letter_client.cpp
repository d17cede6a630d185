// SPDX-License-Identifier: Apache-2.0
#include "tests/simulation/letter_client.hpp"

#include <algorithm>

#include "tests/simulation/ledger.hpp"

namespace harrier::simulation {

using protocol::Method;

namespace {

constexpr std::size_t kFrameMax = 4'096;
constexpr std::uint16_t kChannel = 1;

QueueIndex queue_of(std::string_view consumer_tag) {
  return static_cast<QueueIndex>(consumer_tag.at(0) - '0');
}

}  // namespace

LetterClient::LetterClient(World& world, Letters& letters, Dice& dice, Kind kind)
    : world_(world),
      letters_(letters),
      dice_(dice),
      kind_(kind),
      link_(world.connect()),
      serial_(letters.new_channel()) {
  link_->to_broker.assign(protocol::kProtocolHeader.begin(), protocol::kProtocolHeader.end());
}

void LetterClient::read(std::size_t size) {
  const auto end = link_->to_client.begin() +
                   static_cast<std::ptrdiff_t>(std::min(size, link_->to_client.size()));
  inbox_.insert(inbox_.end(), link_->to_client.begin(), end);
  link_->to_client.erase(link_->to_client.begin(), end);
  std::size_t used = 0;
  for (;;) {
    const auto result = protocol::read_frame(protocol::ByteView(inbox_).subspan(used), kFrameMax);
    if (result.status == protocol::FrameStatus::Incomplete) break;
    require(result.status == protocol::FrameStatus::Complete, "the broker sent a malformed frame");
    used += result.size;
    if (static_cast<protocol::FrameType>(result.frame.type) != protocol::FrameType::Method) {
      on_content(result.frame);
      continue;
    }
    Method method;
    require(protocol::decode_method(result.frame.payload, method) == protocol::DecodeStatus::Ok,
            "the broker sent a method that cannot be decoded");
    on_method(method);
  }
  inbox_.erase(inbox_.begin(), inbox_.begin() + static_cast<std::ptrdiff_t>(used));
}

void LetterClient::on_method(const Method& method) {
  if (std::holds_alternative<protocol::ConnectionStart>(method)) {
    protocol::ConnectionStartOk ok;
    ok.response = std::string_view("\0guest\0guest", 12);
    send(ok, 0);
  } else if (const auto* tune = std::get_if<protocol::ConnectionTune>(&method)) {
    protocol::ConnectionTuneOk ok;
    ok.channel_max = tune->channel_max;
    ok.frame_max = kFrameMax;
    send(ok, 0);
    send(protocol::ConnectionOpen{}, 0);
    set_up();
  } else if (std::holds_alternative<protocol::ConfirmSelectOk>(method)) {
    running_ = true;
  } else if (const auto* ack = std::get_if<protocol::BasicAck>(&method)) {
    confirm(ack->delivery_tag, ack->multiple, false);
  } else if (const auto* nack = std::get_if<protocol::BasicNack>(&method)) {
    confirm(nack->delivery_tag, nack->multiple, true);
  } else if (const auto* deliver = std::get_if<protocol::BasicDeliver>(&method)) {
    incoming_ = {true, queue_of(deliver->consumer_tag), deliver->delivery_tag,
                 deliver->redelivered};
  } else {
    const bool expected = std::holds_alternative<protocol::ConnectionOpenOk>(method) ||
                          std::holds_alternative<protocol::ChannelOpenOk>(method) ||
                          std::holds_alternative<protocol::BasicQosOk>(method) ||
                          std::holds_alternative<protocol::BasicConsumeOk>(method);
    require(expected, "unexpected " + protocol::print(method));
  }
}

void LetterClient::on_content(const protocol::Frame& frame) {
  require(incoming_.wanted, "content without a method that announced it");
  if (!incoming_.header_seen) {
    require(frame.payload.size() >= protocol::kContentHeaderSize + 2, "a content header is short");
    incoming_.header_seen = true;
    for (const std::uint8_t octet : frame.payload.subspan(4, 8))
      incoming_.size = incoming_.size << 8 | octet;
    const auto properties = frame.payload.subspan(protocol::kContentHeaderSize);
    incoming_.properties.assign(properties.begin(), properties.end());
  } else {
    incoming_.body.insert(incoming_.body.end(), frame.payload.begin(), frame.payload.end());
  }
  require(incoming_.body.size() <= incoming_.size, "a body is longer than announced");
  if (incoming_.body.size() == incoming_.size) on_delivery();
}

void LetterClient::on_delivery() {
  const Incoming in = std::exchange(incoming_, {});
  const MessageNumber message = Ledger::read_body(in.body);
  const bool no_ack = kind_ == Kind::Drain;
  letters_.delivered(message, in.queue, in.redelivered, serial_, no_ack);
  const auto properties = protocol::PropertiesView::parse(in.properties);
  require(properties.has_value(), "properties cannot be read");
  letters_.check_history(message, in.queue, properties->headers());
  if (!in.redelivered) letters_.check_order(message, in.queue, orders_[in.queue]);
  if (!no_ack) held_[in.tag] = {message, in.queue};
}

void LetterClient::confirm(std::uint64_t tag, bool multiple, bool refused) {
  const auto end = unconfirmed_.upper_bound(tag);
  auto at = multiple ? unconfirmed_.begin() : unconfirmed_.find(tag);
  require(at != unconfirmed_.end() && at != end, "a confirm of nothing");
  while (at != end) {
    if (refused) {
      letters_.refused(at->second);
    } else {
      letters_.confirmed(at->second);
      require(!letters_.persistent(at->second) || world_.vault().stored(at->second),
              "message " + std::to_string(at->second) + " was confirmed before it was durable");
    }
    at = unconfirmed_.erase(at);
  }
}

// All at once, and before the answers.
void LetterClient::set_up() {
  send(protocol::ChannelOpen{});
  if (kind_ == Kind::Declarer) declare();
  send(protocol::ConfirmSelect{});
  if (kind_ == Kind::Declarer) return;
  protocol::BasicQos qos;
  qos.prefetch_count = static_cast<std::uint16_t>(dice_.between(1, 6));
  send(qos);
  for (QueueIndex queue = 0; queue < kQueues; ++queue) {
    if (kind_ == Kind::Drain || (letters_.queue(queue).consumed && dice_.chance(40)))
      consume(queue);
  }
}

void LetterClient::declare() {
  protocol::ExchangeDeclare exchange;
  exchange.exchange = kDeadExchange;
  exchange.type = "fanout";
  exchange.durable = true;
  exchange.nowait = true;
  send(exchange);
  for (QueueIndex queue = 0; queue < kQueues; ++queue) {
    protocol::QueueDeclare method;
    method.queue = letters_.queue(queue).name;
    method.durable = true;
    method.nowait = true;
    method.arguments = letters_.queue(queue).arguments.view();
    send(method);
  }
  for (const QueueIndex grave : letters_.queue(0).targets) {
    protocol::QueueBind bind;
    bind.queue = letters_.queue(grave).name;
    bind.exchange = kDeadExchange;
    bind.nowait = true;
    send(bind);
  }
}

void LetterClient::consume(QueueIndex queue) {
  const std::string tag = std::to_string(queue);
  protocol::BasicConsume method;
  method.queue = letters_.queue(queue).name;
  method.consumer_tag = tag;
  method.no_ack = kind_ == Kind::Drain;
  send(method);
}

void LetterClient::act() {
  if (!running_ || kind_ == Kind::Drain) return;
  if (dice_.chance(1)) {
    cut();
  } else if (dice_.chance(50) && !held_.empty()) {
    settle();
  } else {
    for (std::size_t left = dice_.between(1, 4); left > 0; --left) publish();
  }
}

void LetterClient::publish() {
  const QueueIndex source = dice_.below(kSources);
  const MessageNumber message = letters_.publish(serial_, source, dice_.chance(75));
  unconfirmed_.emplace(++published_, message);
  protocol::BasicPublish method;
  method.routing_key = letters_.queue(source).name;
  send(method);
  protocol::Properties properties;
  if (letters_.persistent(message)) properties.delivery_mode = std::uint8_t{2};
  if (source == kMixed && dice_.chance(50))
    properties.expiration = std::to_string(dice_.below(kLivesEndMs));
  const Bytes encoded = properties.encode();
  const Bytes body = Ledger::body(message);
  Bytes header(protocol::kContentHeaderSize);
  protocol::put_content_header(header.data(), protocol::BasicPublish::kId.class_id, body.size());
  header.insert(header.end(), encoded.begin(), encoded.end());
  const auto frame = [&](protocol::FrameType type, protocol::ByteView payload) {
    Bytes out(payload.size() + protocol::kFrameOverhead);
    auto* at = protocol::put_frame_header(out.data(), type, kChannel, payload.size());
    protocol::put_u8(protocol::put_raw(at, payload), protocol::kFrameEnd);
    link_->to_broker.insert(link_->to_broker.end(), out.begin(), out.end());
  };
  frame(protocol::FrameType::Header, header);
  constexpr std::size_t kPieceMax = kFrameMax - protocol::kFrameOverhead;
  for (std::size_t at = 0; at < body.size(); at += kPieceMax) {
    const std::size_t size = std::min(kPieceMax, body.size() - at);
    frame(protocol::FrameType::Body, protocol::ByteView(body).subspan(at, size));
  }
}

void LetterClient::settle() {
  auto at = held_.begin();
  std::advance(at, static_cast<std::ptrdiff_t>(dice_.below(held_.size())));
  const std::uint64_t tag = at->first;
  const bool multiple = dice_.chance(30);
  const auto first = multiple ? held_.begin() : at;
  const auto end = std::next(at);
  const std::size_t how = dice_.below(3);
  if (how == 0) {
    send(protocol::BasicAck{tag, multiple});
  } else {
    send(protocol::BasicNack{tag, multiple, how == 1});
  }
  for (auto each = first; each != end; ++each) {
    const auto [message, queue] = each->second;
    if (how == 0) letters_.acked(message, queue, serial_);
    if (how == 1) letters_.requeued(message, queue);
    if (how == 2) letters_.rejected(message, queue, serial_);
  }
  held_.erase(first, end);
}

void LetterClient::cut() {
  letters_.channel_over(serial_);
  link_->cut = true;
}

void LetterClient::check_at_rest() const {
  require(running_, "a client was never answered");
  require(inbox_.empty() && !incoming_.wanted, "the broker sent part of a content");
  require(unconfirmed_.empty(), "a publish was never confirmed");
}

}  // namespace harrier::simulation
