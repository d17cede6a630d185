// SPDX-License-Identifier: Apache-2.0
//
// The route cache: right after every change, apart for every registry, bounded, and free of
// allocations on a hit (this file replaces the global operator new of the test executable to
// count).
#include "routing/route_cache.hpp"

#include <cstdint>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "tests/unit/routing/allocation_count.hpp"
#include "tests/unit/routing/fixture.hpp"

namespace harrier::routing_tests {
namespace {

using protocol::Table;
using routing::ExchangeId;
using routing::ExchangeType;
using routing::QueueId;
using routing::RouteCache;

TEST(RouteCache, AHitAllocatesNothing) {
  Broker broker;
  for (int i = 0; i < 50; ++i) {
    broker.queue("q" + std::to_string(i));
    broker.bind("amq.topic", "q" + std::to_string(i), "sensor.*." + std::to_string(i % 5) + ".#");
  }
  const auto topology = broker.registry.snapshot();
  routing::RouteRequest request;
  request.exchange = topology->find_exchange("amq.topic");
  request.routing_key = "sensor.temperature-of-the-greenhouse.3.north";
  std::vector<QueueId> out;
  broker.router.route(*topology, request, out);
  ASSERT_EQ(out.size(), 10U);
  const std::uint64_t before = allocation_count();
  for (int i = 0; i < 100; ++i) broker.router.route(*topology, request, out);
  EXPECT_EQ(allocation_count() - before, 0U);
  EXPECT_EQ(out.size(), 10U);
}

TEST(RouteCache, TheDefaultExchangeAllocatesNothing) {
  Broker broker;
  broker.queue("reply-queue-with-a-longish-name");
  const auto topology = broker.registry.snapshot();
  routing::RouteRequest request;
  request.exchange = topology->find_exchange("");
  request.routing_key = "reply-queue-with-a-longish-name";
  std::vector<QueueId> out;
  broker.router.route(*topology, request, out);
  const std::uint64_t before = allocation_count();
  for (int i = 0; i < 100; ++i) broker.router.route(*topology, request, out);
  EXPECT_EQ(allocation_count() - before, 0U);
  EXPECT_EQ(out.size(), 1U);
}

TEST(RouteCache, WarmMatchingAllocatesNothingEither) {
  // What is not cached (extra keys) runs in the router's own memory.
  Broker broker;
  broker.queue("q");
  broker.bind("amq.topic", "q", "#.a.#.b.#");
  const auto topology = broker.registry.snapshot();
  const std::vector<std::string> extra{"a.x.a.y.b.z"};
  routing::RouteRequest request;
  request.exchange = topology->find_exchange("amq.topic");
  request.routing_key = "a.b.c.a.b.c";
  request.extra_keys = extra;
  std::vector<QueueId> out;
  broker.router.route(*topology, request, out);
  const std::uint64_t before = allocation_count();
  for (int i = 0; i < 100; ++i) broker.router.route(*topology, request, out);
  EXPECT_EQ(allocation_count() - before, 0U);
}

TEST(RouteCache, FollowsEveryChange) {
  Broker broker;
  broker.queue("q");
  broker.queue("r");
  for (int i = 0; i < 50; ++i) {
    EXPECT_EQ(broker.route("amq.direct", "k"), Names{});
    broker.bind("amq.direct", "q", "k");
    EXPECT_EQ(broker.route("amq.direct", "k"), Names{"q"});
    broker.bind("amq.direct", "r", "k");
    EXPECT_EQ(broker.route("amq.direct", "k"), (Names{"q", "r"}));
    broker.unbind("amq.direct", "q", "k");
    EXPECT_EQ(broker.route("amq.direct", "k"), Names{"r"});
    broker.unbind("amq.direct", "r", "k");
  }
}

TEST(RouteCache, KeepsTheTopologiesOfSeveralRegistriesApart) {
  // Two virtual hosts: the same ids, versions and names, other bindings, one router.
  Broker one;
  Broker two;
  one.queue("q");
  two.queue("q");
  one.bind("amq.direct", "q", "1");
  two.bind("amq.direct", "q", "2");
  const auto first = one.registry.snapshot();
  const auto second = two.registry.snapshot();
  ASSERT_EQ(first->version(), second->version());
  routing::Router router;
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(route_on(router, *first, "amq.direct", "1"), Names{"q"});
    EXPECT_EQ(route_on(router, *second, "amq.direct", "1"), Names{});
    EXPECT_EQ(route_on(router, *first, "amq.direct", "2"), Names{});
    EXPECT_EQ(route_on(router, *second, "amq.direct", "2"), Names{"q"});
  }
}

TEST(RouteCache, LeavesOutWhatDependsOnHeaders) {
  Broker broker;
  broker.queue("q");
  broker.exchange("first", ExchangeType::Direct);
  broker.exchange("headers", ExchangeType::Headers);
  broker.exchange("alternate", ExchangeType::Direct, {.alternate = "headers"});
  broker.bind_exchange("first", "headers", "k");
  broker.bind("headers", "q", "", Table().add("h", "1"));
  for (int i = 0; i < 3; ++i) {
    for (const char* name : {"first", "headers", "alternate"}) {
      EXPECT_EQ(broker.route(name, "k", {}, Table().add("h", "1")), Names{"q"}) << name;
      EXPECT_EQ(broker.route(name, "k", {}, Table().add("h", "2")), Names{}) << name;
    }
  }
}

TEST(RouteCache, IsBounded) {
  RouteCache cache;
  const auto key = [](std::string_view text) { return RouteCache::Key(1, 1, ExchangeId{1}, text); };
  EXPECT_EQ(cache.find(key("")), nullptr);
  std::vector<std::string> keys;
  keys.reserve(20'000);
  for (int i = 0; i < 20'000; ++i) keys.push_back("key-" + std::to_string(i));
  std::size_t known = 0;
  for (std::uint64_t i = 0; i < keys.size(); ++i) {
    cache.store(key(keys[i]), {QueueId{i}});
    ASSERT_NE(cache.find(key(keys[i])), nullptr);
    ASSERT_EQ(cache.find(key(keys[i]))->front(), QueueId{i});
  }
  for (std::uint64_t i = 0; i < keys.size(); ++i) {
    if (const auto* queues = cache.find(key(keys[i]))) {
      EXPECT_EQ(*queues, std::vector{QueueId{i}});
      ++known;
    }
  }
  EXPECT_LE(known, 4096U);
  EXPECT_GE(known, 2048U);
  cache.store(key("wide"), std::vector<QueueId>(100'000));
  EXPECT_EQ(cache.find(key("wide")), nullptr);
}

TEST(RouteCache, StandsBackWhileNothingIsFound) {
  RouteCache cache;
  const auto ask = [&cache](const std::string& text) {
    if (!cache.worth_asking()) return false;
    const RouteCache::Key key(1, 1, ExchangeId{1}, text);
    if (cache.find(key) == nullptr) cache.store(key, {QueueId{1}});
    return true;
  };
  int asked = 0;
  for (int i = 0; i < 100'000; ++i) asked += ask("once-" + std::to_string(i)) ? 1 : 0;
  EXPECT_LT(asked, 20'000);
  EXPECT_GT(asked, 10'000);  // it keeps looking
  // As soon as keys come again it is there again, and for all of them.
  for (int i = 0; i < 20'000; ++i) ask("again-" + std::to_string(i % 100));
  for (int i = 0; i < 100; ++i) {
    const std::string text = "again-" + std::to_string(i);
    EXPECT_TRUE(cache.worth_asking());
    EXPECT_NE(cache.find(RouteCache::Key(1, 1, ExchangeId{1}, text)), nullptr) << text;
  }
}

}  // namespace
}  // namespace harrier::routing_tests
