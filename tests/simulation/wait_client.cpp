// SPDX-License-Identifier: Apache-2.0
#include "tests/simulation/wait_client.hpp"

#include <algorithm>
#include <iterator>

#include "tests/simulation/ledger.hpp"

namespace harrier::simulation {

using protocol::Method;

WaitClient::WaitClient(World& world, Waits& waits, Dice& dice, Kind kind)
    : WireClient(world),
      world_(world),
      waits_(waits),
      dice_(dice),
      kind_(kind),
      serial_(waits.new_channel()) {}

void WaitClient::on_method(const Method& method) {
  if (std::holds_alternative<protocol::ConfirmSelectOk>(method)) {
    running_ = true;
  } else if (const auto* ack = std::get_if<protocol::BasicAck>(&method)) {
    confirm(ack->delivery_tag, ack->multiple);
  } else {
    const bool expected = std::holds_alternative<protocol::ChannelOpenOk>(method) ||
                          std::holds_alternative<protocol::BasicQosOk>(method) ||
                          std::holds_alternative<protocol::BasicConsumeOk>(method);
    require(expected, "unexpected " + protocol::print(method));
  }
}

void WaitClient::on_delivery(const Incoming& delivery) {
  const MessageNumber message = Ledger::read_body(delivery.body);
  const bool no_ack = kind_ == Kind::Drain;
  waits_.delivered(message, delivery.redelivered, serial_, no_ack, world_.now());
  if (!no_ack) held_[delivery.tag] = message;
}

void WaitClient::confirm(std::uint64_t tag, bool multiple) {
  const auto end = unconfirmed_.upper_bound(tag);
  auto at = multiple ? unconfirmed_.begin() : unconfirmed_.find(tag);
  require(at != unconfirmed_.end() && at != end, "a confirm of nothing");
  while (at != end) {
    const Sent& sent = at->second;
    waits_.cancelled(sent.cancels, world_.now());
    if (sent.message) {
      waits_.confirmed(*sent.message);
      require(!waits_.is_stored(*sent.message) || world_.vault().stored(*sent.message),
              "message " + std::to_string(*sent.message) + " was confirmed before it was durable");
    }
    at = unconfirmed_.erase(at);
  }
}

// All at once, and before the answers.
void WaitClient::set_up() {
  send(protocol::ChannelOpen{});
  if (kind_ == Kind::Declarer) declare();
  send(protocol::ConfirmSelect{});
  protocol::BasicQos qos;
  qos.prefetch_count = static_cast<std::uint16_t>(dice_.between(1, 6));
  send(qos);
  if (kind_ != Kind::Drain && !dice_.chance(60)) return;
  protocol::BasicConsume consume;
  consume.queue = kWaits;
  consume.no_ack = kind_ == Kind::Drain;
  send(consume);
}

void WaitClient::declare() {
  const auto type = protocol::Table().add("x-delayed-type", "fanout");
  protocol::ExchangeDeclare exchange;
  exchange.exchange = kDelays;
  exchange.type = "x-delayed-message";
  exchange.durable = true;
  exchange.nowait = true;
  exchange.arguments = type.view();
  send(exchange);
  protocol::Table arguments;
  arguments.add("x-delayed-retry-type", "all").add("x-delayed-retry-strategy", "fixed");
  arguments.add_int64("x-delayed-retry-min", kRetryMs);
  if (dice_.chance(50)) arguments.add_int64("x-max-priority", 3);
  protocol::QueueDeclare queue;
  queue.queue = kWaits;
  queue.durable = true;
  queue.nowait = true;
  queue.arguments = arguments.view();
  send(queue);
  protocol::QueueBind bind;
  bind.queue = kWaits;
  bind.exchange = kDelays;
  bind.nowait = true;
  send(bind);
}

void WaitClient::act() {
  if (!running_ || kind_ == Kind::Drain) return;
  if (dice_.chance(1)) {
    cut();
  } else if (dice_.chance(50) && !held_.empty()) {
    settle();
  } else if (dice_.chance(15) && !ids_.empty()) {
    cancel(dice_.chance(40));
  } else {
    for (std::size_t left = dice_.between(1, 4); left > 0; --left) publish();
  }
}

void WaitClient::publish() {
  const bool delays = dice_.chance(80);
  const auto delay =
      static_cast<std::int64_t>(delays ? dice_.between(1, dice_.chance(50) ? 30 : kDelayMaxMs) : 0);
  const MessageNumber message = waits_.publish(dice_.chance(60), delay, world_.now());
  protocol::Properties properties;
  if (waits_.persistent(message)) properties.delivery_mode = std::uint8_t{2};
  if (dice_.chance(30)) properties.priority = static_cast<std::uint8_t>(dice_.below(4));
  if (delays) properties.headers = protocol::Table().add_int64("x-delay", delay);
  if (delays && dice_.chance(60)) {
    properties.message_id = std::to_string(message);
    ids_[message].push_back(message);
  }
  send_message(properties, Ledger::body(message), {message, {}});
}

// All that it has published under one of its ids; with `replaces` one more takes their place.
void WaitClient::cancel(bool replaces) {
  auto at = ids_.begin();
  std::advance(at, static_cast<std::ptrdiff_t>(dice_.below(ids_.size())));
  protocol::Properties properties;
  properties.message_id = std::to_string(at->first);
  if (dice_.chance(50)) properties.delivery_mode = std::uint8_t{2};
  Sent sent{std::nullopt, at->second};
  waits_.cancel_asked(sent.cancels);
  if (!replaces) {
    ids_.erase(at);
    properties.headers = protocol::Table().add_bool("x-delay-cancel", true);
    send_message(properties, {}, std::move(sent));
    return;
  }
  const auto delay = static_cast<std::int64_t>(dice_.between(1, kDelayMaxMs));
  sent.message = waits_.publish(properties.delivery_mode.has_value(), delay, world_.now());
  at->second.push_back(*sent.message);
  properties.headers =
      protocol::Table().add_int64("x-delay", delay).add_bool("x-delay-replace", true);
  send_message(properties, Ledger::body(*sent.message), std::move(sent));
}

void WaitClient::send_message(const protocol::Properties& properties, const Bytes& body,
                              Sent sent) {
  unconfirmed_.emplace(++published_, std::move(sent));
  protocol::BasicPublish method;
  method.exchange = kDelays;
  method.mandatory = true;
  send(method);
  send_content(properties, body);
}

void WaitClient::settle() {
  auto at = held_.begin();
  std::advance(at, static_cast<std::ptrdiff_t>(dice_.below(held_.size())));
  const std::uint64_t tag = at->first;
  const std::size_t how = dice_.below(4);
  const bool multiple = how != 1 && dice_.chance(30);
  if (how == 0) {
    send(protocol::BasicNack{tag, multiple, true});
  } else if (how == 1) {
    send(protocol::BasicReject{tag, true});
  } else {
    send(protocol::BasicAck{tag, multiple});
  }
  const auto first = multiple ? held_.begin() : at;
  const auto end = std::next(at);
  for (auto each = first; each != end; ++each) {
    if (how < 2) {
      waits_.returned(each->second, world_.now());
    } else {
      waits_.acked(each->second, serial_);
    }
  }
  held_.erase(first, end);
}

void WaitClient::cut() {
  waits_.channel_over(serial_, world_.now());
  lose_connection();
}

void WaitClient::check_at_rest() const {
  require(running_, "a client was never answered");
  require(between_contents(), "the broker sent part of a content");
  require(unconfirmed_.empty(), "a publish was never confirmed");
}

}  // namespace harrier::simulation
