// SPDX-License-Identifier: Apache-2.0
#include "routing/router.hpp"

#include <algorithm>
#include <variant>

#include "protocol/check.hpp"
#include "routing/delay.hpp"
#include "routing/recent_history.hpp"
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
  bool by_key_alone = true;         // what was found depends on nothing but the routing key
  std::size_t kept = 0;             // queues among the results that are a history
  std::uint64_t random_state = 0;

  std::size_t match(const DirectMatcher& direct, const RouteRequest& request);
  std::size_t match(const FanoutMatcher& fanout, const RouteRequest& request);
  std::size_t match(const TopicMatcher& topic, const RouteRequest& request);
  std::size_t match(const HeadersMatcher& headers, const RouteRequest& request);
  std::size_t match(const ConsistentHashMatcher& consistent, const RouteRequest& request);
  std::size_t match(const ModulusHashMatcher& modulus, const RouteRequest& request);
  std::size_t match(const RandomMatcher& random, const RouteRequest& request);
  void visit(ExchangeId exchange) {
    if (seen.insert(static_cast<std::uint64_t>(exchange))) pending.push_back(exchange);
  }
  void begin() {
    pending.clear();
    seen.clear();
    sets = 0;
    by_key_alone = true;
    kept = 0;
  }
  void resolve(const TopologyData& data, const RouteRequest& request, std::vector<QueueId>& out);
};

namespace {

// All keys take part, as one value (C-501, C-507).
std::uint64_t hash_keys(const RouteRequest& request) {
  std::uint64_t hash = hash_text(request.routing_key);
  for (const std::string& key : request.extra_keys) hash = hash_text(key, hash);
  return hash;
}

}  // namespace

std::size_t Router::Impl::match(const DirectMatcher& direct, const RouteRequest& request) {
  std::size_t matched = direct.match(request.routing_key, found);
  for (const std::string& key : request.extra_keys) matched += direct.match(key, found);  // C-194
  return matched;
}

std::size_t Router::Impl::match(const FanoutMatcher& fanout, const RouteRequest&) {
  return fanout.match(found);
}

std::size_t Router::Impl::match(const TopicMatcher& topic, const RouteRequest& request) {
  std::size_t matched = topic.match(request.routing_key, topic_scratch, found);
  for (const std::string& key : request.extra_keys) {  // C-538
    matched += topic.match(key, topic_scratch, found);
  }
  return matched;
}

std::size_t Router::Impl::match(const HeadersMatcher& headers, const RouteRequest& request) {
  by_key_alone = false;
  return headers.match(request.headers, headers_scratch, found);
}

std::size_t Router::Impl::match(const ConsistentHashMatcher& consistent,
                                const RouteRequest& request) {
  by_key_alone = by_key_alone && consistent.only_keys();
  const std::uint64_t keys = consistent.only_keys() ? hash_keys(request) : 0;
  return consistent.match(consistent.hash(keys, request.headers, request.properties), found);
}

std::size_t Router::Impl::match(const ModulusHashMatcher& modulus, const RouteRequest& request) {
  return modulus.match(hash_keys(request), found);
}

std::size_t Router::Impl::match(const RandomMatcher& random, const RouteRequest&) {
  by_key_alone = false;
  constexpr std::uint64_t kStep = 0x9e3779b97f4a7c15;  // odd: every state comes once (splitmix64)
  random_state += kStep;
  return random.match(hash_id(random_state), found);
}

namespace {

// The default exchange is every queue's own name; nothing can be bound to it (C-187).
std::size_t match_default(const TopologyData& data, const RouteRequest& request,
                          std::vector<Destination>& found) {
  const auto match = [&](std::string_view key) {
    const QueueEntry* queue = data.find_queue(key);
    if (queue != nullptr && !queue->hidden) found.emplace_back(queue->id);
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
  visit(request.exchange->id);
  while (!pending.empty()) {
    const ExchangeNode* node = data.find_exchange(pending.back());
    pending.pop_back();
    HARRIER_CHECK(node != nullptr);  // bindings go with the exchanges they lead to
    found.clear();
    if (node->definition->delay_queue != QueueId{}) {
      by_key_alone = false;
      if (request.delays && is_held(request.headers, request.wishes)) {
        out.push_back(node->definition->delay_queue);
        ++sets;
        continue;
      }
    }
    if (node->definition->history_queue != QueueId{}) {
      by_key_alone = false;
      if (is_for_history(request.headers)) {
        out.push_back(node->definition->history_queue);
        ++sets;
        ++kept;
      }
    }
    if (node->definition->name.empty()) {
      sets += match_default(data, request, found);
    } else {
      sets +=
          std::visit([&](const auto& matcher) { return match(matcher, request); }, node->matcher);
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

Router::Router(std::uint64_t seed) : impl_(std::make_unique<Impl>()) { impl_->random_state = seed; }

Router::~Router() = default;

void Router::route_onward(const Topology& topology, const RouteRequest& request, ExchangeId past,
                          std::vector<QueueId>& out) {
  out.clear();
  impl_->begin();
  impl_->seen.insert(static_cast<std::uint64_t>(past));
  impl_->resolve(topology.data(), request, out);
}

bool Router::route(const Topology& topology, const RouteRequest& request,
                   std::vector<QueueId>& out) {
  out.clear();
  const TopologyData& data = topology.data();
  const Exchange& exchange = *request.exchange;
  // The default exchange is one look-up anyway; what depends on more than the key is not cached.
  const bool cacheable =
      request.extra_keys.empty() && !exchange.name.empty() && exchange.delay_queue == QueueId{} &&
      exchange.type != ExchangeType::Headers && exchange.type != ExchangeType::Random &&
      exchange.type != ExchangeType::LocalRandom;
  if (!cacheable || !impl_->cache.worth_asking()) {
    impl_->begin();
    impl_->resolve(data, request, out);
    return out.size() > impl_->kept;
  }
  const RouteCache::Key key{data.registry, data.version, exchange.id, request.routing_key};
  if (const std::vector<QueueId>* known = impl_->cache.find(key)) {
    out.assign(known->begin(), known->end());
    return !out.empty();
  }
  impl_->begin();
  impl_->resolve(data, request, out);
  if (impl_->by_key_alone) impl_->cache.store(key, out);
  return out.size() > impl_->kept;
}

}  // namespace harrier::routing
