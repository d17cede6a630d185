// SPDX-License-Identifier: Apache-2.0
#include "routing/router.hpp"

#include <algorithm>

#include "protocol/check.hpp"
#include "routing/route_cache.hpp"
#include "routing/scratch_set.hpp"
#include "routing/topology_data.hpp"

namespace harrier::routing {

struct Router::Impl {
  RouteCache cache;
  TopicScratch topic_scratch;
  HeadersScratch headers_scratch;
  std::vector<ExchangeId> pending;  // exchanges still to be evaluated
  ScratchSet seen;                  // exchanges that are or were pending (C-189)
  std::vector<Destination> found;   // by the exchange that is being evaluated
  std::size_t sets = 0;             // of destinations that were found, by all exchanges together
  bool saw_headers_exchange = false;

  void match(const ExchangeNode& node, const RouteRequest& request);
  void match_key(const ExchangeNode& node, std::string_view key);
  void visit(ExchangeId exchange) {
    if (seen.insert(static_cast<std::uint64_t>(exchange))) pending.push_back(exchange);
  }
  void resolve(const TopologyData& data, const RouteRequest& request, std::vector<QueueId>& out);
};

void Router::Impl::match_key(const ExchangeNode& node, std::string_view key) {
  if (const auto* direct = std::get_if<DirectMatcher>(&node.matcher)) {
    sets += direct->match(key, found);
  } else if (const auto* topic = std::get_if<TopicMatcher>(&node.matcher)) {
    sets += topic->match(key, topic_scratch, found);
  }
}

void Router::Impl::match(const ExchangeNode& node, const RouteRequest& request) {
  if (const auto* fanout = std::get_if<FanoutMatcher>(&node.matcher)) {
    sets += fanout->match(found);
  } else if (const auto* headers = std::get_if<HeadersMatcher>(&node.matcher)) {
    saw_headers_exchange = true;
    sets += headers->match(request.headers, headers_scratch, found);
  } else {
    match_key(node, request.routing_key);
    for (const std::string& key : request.extra_keys) match_key(node, key);  // C-194, C-538
  }
}

namespace {

// The default exchange is every queue's own name; nothing can be bound to it (C-187).
std::size_t match_default(const TopologyData& data, const RouteRequest& request,
                          std::vector<Destination>& found) {
  const auto match = [&](std::string_view key) {
    if (const QueueEntry* queue = data.find_queue(key)) found.emplace_back(queue->id);
  };
  match(request.routing_key);
  for (const std::string& key : request.extra_keys) match(key);
  return found.size();
}

void remove_duplicates(std::vector<QueueId>& queues) {
  std::sort(queues.begin(), queues.end());
  queues.erase(std::unique(queues.begin(), queues.end()), queues.end());
}

}  // namespace

void Router::Impl::resolve(const TopologyData& data, const RouteRequest& request,
                           std::vector<QueueId>& out) {
  pending.clear();
  seen.clear();
  sets = 0;
  saw_headers_exchange = false;
  visit(request.exchange->id);
  while (!pending.empty()) {
    const ExchangeNode* node = data.find_exchange(pending.back());
    pending.pop_back();
    HARRIER_CHECK(node != nullptr);  // bindings go with the exchanges they lead to
    found.clear();
    if (node->definition->name.empty()) {
      sets += match_default(data, request, found);
    } else {
      match(*node, request);
    }
    for (const Destination destination : found) {
      if (destination.is_exchange()) {
        visit(destination.exchange());
      } else {
        out.push_back(destination.queue());
      }
    }
    if (!found.empty() || !node->definition->alternate) continue;
    // A name that nobody has (any more) is no destination (C-203).
    if (const Exchange* alternate = data.find_exchange(*node->definition->alternate)) {
      visit(alternate->id);
    }
  }
  if (sets > 1) remove_duplicates(out);
}

Router::Router() : impl_(std::make_unique<Impl>()) {}

Router::~Router() = default;

void Router::route(const Topology& topology, const RouteRequest& request,
                   std::vector<QueueId>& out) {
  out.clear();
  const TopologyData& data = topology.data();
  const Exchange& exchange = *request.exchange;
  // The default exchange is one look-up anyway; what depends on more than the key is not cached.
  const bool cacheable = request.extra_keys.empty() && !exchange.name.empty() &&
                         exchange.type != ExchangeType::Headers;
  if (!cacheable) return impl_->resolve(data, request, out);
  const RouteCache::Key key{data.registry, data.version, exchange.id, request.routing_key};
  if (const std::vector<QueueId>* known = impl_->cache.find(key)) {
    out.assign(known->begin(), known->end());
    return;
  }
  impl_->resolve(data, request, out);
  if (!impl_->saw_headers_exchange) impl_->cache.store(key, out);
}

}  // namespace harrier::routing
