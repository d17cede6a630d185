// SPDX-License-Identifier: Apache-2.0
//
// What a shard does for exchanges that keep their last messages: it tells their queues by which
// bindings it routes, and brings copies of what they keep to where a new binding leads.
#include <utility>

#include "broker/core/dead_letters.hpp"
#include "broker/core/engine.hpp"
#include "broker/core/exchange_queues.hpp"
#include "protocol/private_headers.hpp"

namespace harrier::broker {

namespace {

// The same as when it was published; a dead letter was no duplicate then.
routing::DedupRule dedup_of(const routing::Topology& topology, const protocol::Message& message) {
  const routing::Exchange* const exchange = topology.find_exchange(message.exchange());
  if (exchange == nullptr || !exchange->dedup.any()) return {};
  const bool has_died = protocol::read_private_headers(message.properties()).has_died;
  return has_died ? routing::DedupRule() : exchange->dedup;
}

}  // namespace

void Engine::hand_over(HistoryCopy copy) { history_copies_.push_back(std::move(copy)); }

void Engine::handed_over(std::uint32_t number) { handed_over_.push_back(number); }

// Behind all that this shard has routed so far.
void Engine::begin_handovers(const NewTopology& news) {
  if (!news.handovers) return;
  for (const HandOver& each : *news.handovers) send_to_queue(each.history, each);
}

void Engine::on(HandOver& m, ShardId from) {
  if (Queue* queue = find_queue(m.history)) {
    queue->begin_handover(m, {from, self_, options_.shards}, *this);
  } else {
    handed_over(m.number);
  }
}

// Not inside the queue that hands over: the next one may be anybody's.
void Engine::send_history() {
  while (!history_copies_.empty()) {
    const HistoryCopy copy = std::move(history_copies_.front());
    history_copies_.pop_front();
    send_history(copy);
  }
  for (const std::uint32_t number : std::exchange(handed_over_, {}))
    send(kControlShard, HandedOver{number});
}

// As if it were published once more, by this shard: a full queue may refuse it, and one that
// deduplicates remembers it. The answers come to on(PublishSettled) below.
void Engine::send_history(const HistoryCopy& copy) {
  const HandOver& order = *copy.order;
  Queue* const history = find_queue(order.history);
  if (history == nullptr) return;
  const routing::TopologyPtr topology = find_vhost(history->vhost())->topology;
  const routing::Exchange* const source =
      topology->find_exchange(exchange_of_history(history->entry().name));
  history_routes_.clear();
  if (order.to_exchange.empty()) {
    history_routes_.push_back(order.to_queue);
  } else if (source != nullptr) {
    route_history(*topology, *source, order.to_exchange, *copy.message);
  }
  history->copies_sent(order.number, history_routes_.size(), *this);
  const ChannelRef from{as_publisher(self_, options_.shards), order.number, 0};
  const auto confirm = static_cast<std::uint64_t>(order.history);
  const routing::DedupRule dedup = dedup_of(*topology, *copy.message);
  for (const QueueId queue : history_routes_) publish({queue, copy.message, from, confirm, dedup});
}

void Engine::route_history(const routing::Topology& topology, const routing::Exchange& source,
                           const std::string& target, const protocol::Message& message) {
  const routing::Exchange* const exchange = topology.find_exchange(target);
  if (exchange == nullptr) return;
  const std::vector<std::string> extra_keys = sender_selected_keys(message);
  router_.route_onward(topology, routing::request_for(*exchange, message, extra_keys), source.id,
                       history_routes_);
}

// To no connection: one of ours has arrived.
void Engine::settle_history(const PublishSettled& settled) {
  if (settled.channel.connection != as_publisher(self_, options_.shards)) return;
  Queue* const history = find_queue(QueueId{settled.confirm});
  if (history != nullptr && history->is_history())
    history->copy_settled(settled.channel.generation, *this);
}

}  // namespace harrier::broker
