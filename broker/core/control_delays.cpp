// SPDX-License-Identifier: Apache-2.0
//
// The hidden queues where exchanges delay messages (conformance 8.15): made in the same change as
// the exchange, or when a policy says `delayed`; deleted with the exchange. One that an exchange
// has had for a policy stays when that is no more, for what waits there.
#include <utility>
#include <vector>

#include "broker/core/arguments.hpp"
#include "broker/core/control.hpp"
#include "broker/core/definition_records.hpp"
#include "broker/core/engine.hpp"
#include "broker/core/exchange_queues.hpp"

namespace harrier::broker {

bool Control::is_delaying(const Vhost& vhost, const routing::Exchange& exchange) {
  if (exchange.name.empty()) return false;
  if (exchange.type == routing::ExchangeType::Delayed) return true;
  if (vhost.policies.empty()) return false;
  const EffectivePolicyPtr found = vhost.policies.of_exchange(exchange.name);
  const auto value = found ? found->definition.view().find("delayed") : std::nullopt;
  return value && value->as_bool().value_or(false);
}

// Makes it, unless it is there.
QueueId Control::own_queue(Vhost& vhost, const std::string& exchange, const std::string& name,
                           const protocol::Table& arguments) {
  if (const routing::QueueEntry* known = vhost.registry.find_queue(name)) return known->id;
  routing::QueueEntry made;
  made.name = name;
  made.hidden = true;
  made.durable = vhost.registry.find_exchange(exchange)->durable;
  made.id = new_queue_id(static_cast<ShardId>(own_queues_made_++ % engine_.shards()));
  made.arguments = stored_queue_arguments(arguments);
  if (made.durable) engine_.record(define(vhost.name, made));
  const routing::QueueEntryPtr queue = vhost.registry.add_queue(std::move(made));
  engine_.send_first(shard_of(queue->id, engine_.shards()),
                     CreateQueue{vhost.name, queue, nullptr});
  return queue->id;
}

void Control::begin_delays(Vhost& vhost, const std::string& exchange) {
  const QueueId queue = own_queue(vhost, exchange, delayed_queue_name(exchange), {});
  if (vhost.registry.set_delay_queue(exchange, queue)) vhost.changed = true;
}

// After a restart the queues are there already, and their exchanges do not know yet.
void Control::update_delays(Vhost& vhost) {
  std::vector<std::pair<std::string, bool>> exchanges;
  vhost.registry.for_each_exchange([&](const routing::Exchange& exchange) {
    const bool delays = is_delaying(vhost, exchange);
    if (delays != (exchange.delay_queue != QueueId{}))
      exchanges.emplace_back(exchange.name, delays);
  });
  for (const auto& [exchange, delays] : exchanges) {
    if (delays) {
      begin_delays(vhost, exchange);
    } else if (vhost.registry.set_delay_queue(exchange, {})) {
      vhost.changed = true;
    }
  }
}

// The definition goes at once, so that an exchange of the same name gets a queue of its own.
void Control::drop_own_queues(Vhost& vhost, const std::string& exchange) {
  for (const std::string& name : {delayed_queue_name(exchange), history_queue_name(exchange)}) {
    const routing::QueueEntry* const queue = vhost.registry.find_queue(name);
    if (queue == nullptr) continue;
    const QueueId id = queue->id;
    remove_queue(vhost, *queue);
    start_deletion(vhost, {}, {id}, {}, false);
  }
}

}  // namespace harrier::broker
