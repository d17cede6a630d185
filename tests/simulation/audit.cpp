// SPDX-License-Identifier: Apache-2.0
#include "tests/simulation/audit.hpp"

#include <algorithm>
#include <tuple>
#include <utility>

#include "broker/core/definition_records.hpp"
#include "routing/router.hpp"

namespace harrier::simulation {

using persistence::Define;

namespace {

using Definitions =
    std::map<std::tuple<persistence::Kind, std::string, std::string>, std::vector<std::uint8_t>>;

void add(Definitions& to, const Define& definition) {
  const bool fresh =
      to.emplace(std::tuple(definition.kind, definition.vhost, definition.name), definition.value)
          .second;
  require(fresh, definition.name + " is defined twice");
}

// Every binding that a simulated client may have made: asked of the router, one by one.
void add_bindings(const routing::Topology& topology, Definitions& to) {
  routing::Router router;
  for (const routing::Binding& binding : possible_bindings()) {
    const routing::Exchange* exchange = topology.find_exchange(binding.source);
    const routing::QueueEntry* queue = topology.find_queue(binding.destination);
    if (exchange == nullptr || queue == nullptr) continue;
    std::vector<routing::QueueId> reached;
    router.route(topology, {exchange, binding.routing_key, {}, {}}, reached);
    if (std::ranges::find(reached, queue->id) == reached.end()) continue;
    if (exchange->durable && queue->durable)
      add(to, std::get<Define>(broker::define(kVhost, binding)));
  }
}

void audit_definitions(const routing::Topology& topology,
                       const std::vector<broker::QueueInfo>& infos, const Definitions& stored) {
  Definitions expected;
  for (const std::string& name : {std::string(kFanout), std::string(kChanging)}) {
    const routing::Exchange* exchange = topology.find_exchange(name);
    if (exchange != nullptr && exchange->durable)
      add(expected, std::get<Define>(broker::define(kVhost, *exchange)));
  }
  for (const broker::QueueInfo& info : infos) {
    const routing::QueueEntry* queue = topology.find_queue(info.id);
    require(queue != nullptr && queue->name == info.name, info.name + " exists, undefined");
    if (queue->durable) add(expected, std::get<Define>(broker::define(kVhost, *queue)));
  }
  add_bindings(topology, expected);
  for (const auto& [key, value] : expected) {
    const auto at = stored.find(key);
    require(at != stored.end(), "the definition of " + std::get<2>(key) + " is not stored");
    require(at->second == value, "the stored definition of " + std::get<2>(key) + " is another");
  }
  for (const auto& [key, value] : stored) {
    if (std::get<0>(key) == persistence::Kind::Counter) continue;
    require(expected.contains(key), "the store still defines " + std::get<2>(key));
  }
}

std::vector<Stored> messages_of(const persistence::RecoveredQueue& queue,
                                const broker::QueueInfo& info) {
  require(!queue.next && queue.messages == queue.head.size(), "a recovered head is incomplete");
  require(queue.seq_max <= info.messages_published, info.name + " has stored what it never had");
  require(queue.messages <= info.messages_ready + info.messages_unacknowledged,
          info.name + " has more messages in the store than it holds");
  std::vector<Stored> messages;
  persistence::Seq last = 0;
  for (const persistence::StoredMessage& stored : queue.head) {
    require(stored.seq > last && stored.seq <= queue.seq_max, info.name + " recovers out of order");
    last = stored.seq;
    require(stored.message->persistent(), info.name + " recovers a transient message");
    messages.push_back({Ledger::read_body(stored.message->body()), stored.delivery_count > 0,
                        static_cast<unsigned>(broker::part_of(queue.queue))});
  }
  return messages;
}

void append(std::vector<Stored>& all, const std::vector<Stored>& part) {
  all.insert(all.end(), part.begin(), part.end());
}

}  // namespace

StoredByQueue recovered(World& world) {
  const auto infos = world.queues();
  StoredByQueue stored;
  for (const persistence::RecoveredQueue& queue : world.vault().recover().queues) {
    if (broker::part_of(queue.queue) == broker::QueuePart::Dedup) continue;
    const broker::QueueId id = broker::queue_of(queue.queue);
    const auto info = std::ranges::find(infos, id, &broker::QueueInfo::id);
    if (info != infos.end()) append(stored[info->name], messages_of(queue, *info));
  }
  return stored;
}

StoredByQueue audit(World& world, const Ledger& ledger) {
  const auto infos = world.queues();
  const routing::TopologyPtr topology = world.topology();
  const persistence::Recovery recovery = world.vault().recover();
  Definitions definitions;
  for (const Define& definition : recovery.definitions) add(definitions, definition);
  audit_definitions(*topology, infos, definitions);

  StoredByQueue stored;
  for (const broker::QueueInfo& info : infos) {
    if (topology->find_queue(info.id)->durable) stored[info.name];
  }
  for (const persistence::RecoveredQueue& queue : recovery.queues) {
    const broker::QueueId id = broker::queue_of(queue.queue);
    const auto info = std::ranges::find(infos, id, &broker::QueueInfo::id);
    require(info != infos.end(),
            "queue " + std::to_string(static_cast<std::uint64_t>(id)) + " has gone, but is stored");
    const auto at = stored.find(info->name);
    require(at != stored.end(), info->name + " is transient, but is stored");
    if (broker::part_of(queue.queue) == broker::QueuePart::Dedup) continue;
    append(at->second, messages_of(queue, *info));
  }
  for (const auto& [name, messages] : stored) ledger.check_stored(name, messages);
  return stored;
}

}  // namespace harrier::simulation
