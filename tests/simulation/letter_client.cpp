// SPDX-License-Identifier: Apache-2.0
#include "tests/simulation/letter_client.hpp"

#include <algorithm>

#include "tests/simulation/ledger.hpp"

namespace harrier::simulation {

using protocol::Method;

namespace {

QueueIndex queue_of(std::string_view consumer_tag) {
  return static_cast<QueueIndex>(consumer_tag.at(0) - '0');
}

}  // namespace

LetterClient::LetterClient(World& world, Letters& letters, Dice& dice, Kind kind)
    : WireClient(world),
      world_(world),
      letters_(letters),
      dice_(dice),
      kind_(kind),
      serial_(letters.new_channel()) {}

void LetterClient::on_method(const Method& method) {
  if (std::holds_alternative<protocol::ConfirmSelectOk>(method)) {
    running_ = true;
  } else if (const auto* ack = std::get_if<protocol::BasicAck>(&method)) {
    confirm(ack->delivery_tag, ack->multiple, false);
  } else if (const auto* nack = std::get_if<protocol::BasicNack>(&method)) {
    confirm(nack->delivery_tag, nack->multiple, true);
  } else {
    const bool expected = std::holds_alternative<protocol::ChannelOpenOk>(method) ||
                          std::holds_alternative<protocol::BasicQosOk>(method) ||
                          std::holds_alternative<protocol::BasicConsumeOk>(method);
    require(expected, "unexpected " + protocol::print(method));
  }
}

void LetterClient::on_delivery(const Incoming& in) {
  const QueueIndex queue = queue_of(in.consumer);
  const MessageNumber message = Ledger::read_body(in.body);
  const bool no_ack = kind_ == Kind::Drain;
  letters_.delivered(message, queue, in.redelivered, serial_, no_ack);
  const auto properties = protocol::PropertiesView::parse(in.properties);
  require(properties.has_value(), "properties cannot be read");
  letters_.check_history(message, queue, properties->headers());
  if (!in.redelivered) letters_.check_order(message, queue, orders_[queue]);
  if (!no_ack) held_[in.tag] = {message, queue};
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
  send_content(properties, Ledger::body(message));
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
  lose_connection();
}

void LetterClient::check_at_rest() const {
  require(running_, "a client was never answered");
  require(between_contents(), "the broker sent part of a content");
  require(unconfirmed_.empty(), "a publish was never confirmed");
}

}  // namespace harrier::simulation
