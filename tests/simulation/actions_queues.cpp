// SPDX-License-Identifier: Apache-2.0
//
// What a simulated client does to queues, exchanges and bindings.
#include "tests/simulation/client.hpp"

namespace harrier::simulation {

using protocol::Method;

namespace {

constexpr std::size_t kQueuesMax = 24;  // of a whole run

protocol::Table arguments_of(unsigned priority_max) {
  protocol::Table arguments;
  if (priority_max > 0)
    arguments.add_int32("x-max-priority", static_cast<std::int32_t>(priority_max));
  return arguments;
}

}  // namespace

unsigned Client::pick_priority_max() {
  return static_cast<unsigned>(dice_.chance(30) ? dice_.between(1, 5) : 0);
}

void Client::purge(Channel& channel) {
  const QueueNumber queue = pick_queue(
      [&](QueueNumber number) { return ledger_.queue_kind(number) == QueueKind::Purged; });
  if (ledger_.queue_kind(queue) != QueueKind::Purged) return;
  protocol::QueuePurge method;
  const std::string& name = ledger_.queue_name(queue);
  method.queue = name;
  ledger_.purging(queue);
  ask(channel.number, method, {protocol::QueuePurgeOk::kId}, [this, queue](const Method& answer) {
    ledger_.purged(queue, std::get<protocol::QueuePurgeOk>(answer).message_count);
  });
}

void Client::declare_exclusive(Channel& channel) {
  if (ledger_.queue_count() >= kQueuesMax) return;
  protocol::QueueDeclare method;
  method.exclusive = true;
  const unsigned highest = pick_priority_max();
  const protocol::Table arguments = arguments_of(highest);
  method.arguments = arguments.view();
  ask(channel.number, method, {protocol::QueueDeclareOk::kId},
      [this, highest](const Method& answer) {
        const std::string name(std::get<protocol::QueueDeclareOk>(answer).queue);
        own_queues_.push_back(ledger_.add_queue(name, QueueKind::Exclusive, false, highest));
      });
}

// As soon as the answer is read every client may publish to it: no shard may not know it then.
void Client::declare_fresh(Channel& channel) {
  if (ledger_.queue_count() >= kQueuesMax) return;
  protocol::QueueDeclare method;
  method.durable = dice_.chance(60);
  const unsigned highest = pick_priority_max();
  const protocol::Table arguments = arguments_of(highest);
  method.arguments = arguments.view();
  const auto done = [this, durable = method.durable, highest](const Method& answer) {
    const std::string name(std::get<protocol::QueueDeclareOk>(answer).queue);
    require(!durable || world_.vault().defines_queue(name),
            "declare-ok of " + name + " came before it was durable");
    ledger_.add_queue(name, QueueKind::Strict, durable, highest);
  };
  ask(channel.number, method, {protocol::QueueDeclareOk::kId}, done);
}

void Client::change_volatile(Channel& channel) {
  if (!channel.clean()) return;
  const bool automatic = dice_.chance(40);
  channel.may_fail = true;
  const auto done = [&channel](const Method&) { channel.may_fail = false; };
  if (dice_.chance(50)) {
    protocol::QueueDeclare method;
    method.queue = automatic ? "sim.auto" : "sim.volatile.0";
    method.auto_delete = automatic;
    method.durable = dice_.chance(60);  // as it was, or it will be refused
    ask(channel.number, method, {protocol::QueueDeclareOk::kId}, done);
  } else {
    protocol::QueueDelete method;
    method.queue = automatic ? "sim.auto" : "sim.volatile.0";
    method.if_unused = dice_.chance(30);
    method.if_empty = dice_.chance(20);
    ask(channel.number, method, {protocol::QueueDeleteOk::kId}, done);
  }
}

// An exchange that comes and goes, and bindings of it to queues that stay and queues that don't.
void Client::change_bindings(Channel& channel) {
  if (!channel.clean()) return;
  channel.may_fail = true;
  const auto done = [&channel](const Method&) { channel.may_fail = false; };
  const auto& bindings = possible_bindings();
  const routing::Binding& binding = bindings[dice_.below(bindings.size())];
  const bool changing = binding.source == kChanging;
  switch (dice_.below(6)) {
    case 0: {
      protocol::ExchangeDelete method;
      method.exchange = kChanging;
      method.if_unused = dice_.chance(40);
      ask(channel.number, method, {protocol::ExchangeDeleteOk::kId}, done);
      return;
    }
    case 1:
    case 2: {
      protocol::ExchangeDeclare method;
      method.exchange = kChanging;
      method.durable = dice_.chance(70);
      method.auto_delete = dice_.chance(40);
      ask(channel.number, method, {protocol::ExchangeDeclareOk::kId}, done);
      return;
    }
    case 3:
      if (changing) {  // those of the fanout stay
        protocol::QueueUnbind method;
        method.exchange = binding.source;
        method.queue = binding.destination;
        method.routing_key = binding.routing_key;
        ask(channel.number, method, {protocol::QueueUnbindOk::kId}, done);
        return;
      }
      [[fallthrough]];
    default: {
      protocol::QueueBind method;
      method.exchange = binding.source;
      method.queue = binding.destination;
      method.routing_key = binding.routing_key;
      ask(channel.number, method, {protocol::QueueBindOk::kId}, done);
    }
  }
}

// Those that are not there: all of them at first, fewer after a crash.
void Client::declare_shared() {
  open_channel();
  protocol::ExchangeDeclare exchange;
  exchange.exchange = kFanout;
  exchange.type = "fanout";
  exchange.durable = ledger_.fanout_durable();
  exchange.nowait = true;
  send(1, exchange);
  for (QueueNumber number = 0; number < shared_queues().size(); ++number) {
    const SharedQueue& queue = shared_queues()[number];
    if (world_.has_queue(queue.name)) continue;
    protocol::QueueDeclare method;
    method.durable = ledger_.queue_durable(number);
    method.queue = queue.name;
    method.auto_delete = queue.auto_delete;
    method.nowait = true;
    protocol::Table arguments = arguments_of(ledger_.queue_priority_max(number));
    if (queue.name == kGroups) arguments.add("x-message-group-header", kGroupHeader);
    if (queue.name == kSingle) arguments.add_bool("x-single-active-consumer", true);
    if (number == kDedupQueue) arguments.add_bool("x-message-deduplication", true);
    method.arguments = arguments.view();
    send(1, method);
  }
  for (const QueueNumber queue : {0u, 1u}) {
    protocol::QueueBind method;
    method.queue = shared_queues()[queue].name;
    method.exchange = kFanout;
    method.nowait = true;
    send(1, method);
  }
}

// One queue after another, so that each is asked for when the one before has answered.
bool Client::drain_next(QueueNumber& next) {
  for (; next < ledger_.queue_count(); ++next) {
    const QueueKind kind = ledger_.queue_kind(next);
    if (kind == QueueKind::Exclusive) continue;
    if (kind == QueueKind::Volatile && !world_.has_queue(ledger_.queue_name(next))) continue;
    start_consumer(channels_.begin()->second, next++, true, false);
    return true;
  }
  return false;
}

}  // namespace harrier::simulation
