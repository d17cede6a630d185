// SPDX-License-Identifier: Apache-2.0
//
// x-modulus-hash, x-random and x-local-random: exchanges that give each message to one binding of
// all. Seeds are fixed, so the counts below never vary.
#include <cmath>
#include <map>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "protocol/error.hpp"
#include "tests/unit/routing/fixture.hpp"

namespace harrier::routing_tests {
namespace {

using protocol::Table;
using routing::ExchangeType;

constexpr int kKeys = 12'000;

void bind_queues(Broker& broker, ExchangeType type, const Names& queues,
                 const std::string& key = "") {
  broker.exchange("x", type);
  for (const std::string& name : queues) {
    broker.queue(name);
    broker.bind("x", name, key);
  }
}

std::vector<std::string> placed(Broker& broker, std::string_view exchange = "x") {
  std::vector<std::string> queues;
  for (int i = 0; i < kKeys; ++i) {
    const Names names = broker.route(exchange, "key." + std::to_string(i));
    EXPECT_EQ(names.size(), 1U);
    queues.push_back(names.empty() ? "" : names.front());
  }
  return queues;
}

std::map<std::string, int> counted(const std::vector<std::string>& placed) {
  std::map<std::string, int> counts;
  for (const std::string& queue : placed) ++counts[queue];
  return counts;
}

void expect_share(int count, double share) {
  const double expected = kKeys * share;
  EXPECT_NEAR(count, expected, 4 * std::sqrt(expected * (1 - share)));
}

TEST(ModulusHash, SpreadsKeysAndKeepsEachWhereItIs) {  // C-507
  Broker broker;
  bind_queues(broker, ExchangeType::ModulusHash, {"a", "b", "c"}, "ignored");
  const auto first = placed(broker);
  EXPECT_EQ(placed(broker), first);
  const auto counts = counted(first);
  ASSERT_EQ(counts.size(), 3U);
  for (const auto& [name, count] : counts) expect_share(count, 1.0 / 3);
}

TEST(ModulusHash, TheOrderOfBindingDoesNotMatter) {
  Broker one;
  bind_queues(one, ExchangeType::ModulusHash, {"a", "b", "c"});
  Broker other;
  bind_queues(other, ExchangeType::ModulusHash, {"c", "gone", "b", "a"});
  other.registry.remove_queue("gone");
  EXPECT_EQ(placed(one), placed(other));
}

TEST(ModulusHash, AllKeysTogetherAreOneValue) {
  Broker broker;
  bind_queues(broker, ExchangeType::ModulusHash, {"a", "b", "c", "d"});
  int moved = 0;
  for (int i = 0; i < 100; ++i) {
    const std::string key = "key." + std::to_string(i);
    const Names with_extra = broker.route("x", key, {"cc"});
    ASSERT_EQ(with_extra.size(), 1U);
    EXPECT_EQ(broker.route("x", key, {"cc"}), with_extra);
    if (with_extra != broker.route("x", key)) ++moved;
  }
  EXPECT_GT(moved, 50);
}

TEST(RandomExchange, SpreadsMessagesOfOneKey) {  // C-505
  for (const auto type : {ExchangeType::Random, ExchangeType::LocalRandom}) {
    Broker broker;
    bind_queues(broker, type, {"a", "b", "c"});
    std::map<std::string, int> counts;
    for (int i = 0; i < kKeys; ++i) {
      const Names names = broker.route("x", "one key");
      ASSERT_EQ(names.size(), 1U);
      ++counts[names.front()];
    }
    ASSERT_EQ(counts.size(), 3U);
    for (const auto& [name, count] : counts) expect_share(count, 1.0 / 3);
  }
}

TEST(RandomExchange, EveryBindingCounts) {
  Broker broker;
  bind_queues(broker, ExchangeType::Random, {"a", "b"}, "1");
  broker.bind("x", "a", "2");
  expect_share(counted(placed(broker))["a"], 2.0 / 3);
  broker.unbind("x", "a", "1");
  expect_share(counted(placed(broker))["a"], 0.5);
}

TEST(RandomExchange, TheSeedDecides) {
  Broker broker;
  bind_queues(broker, ExchangeType::Random, {"a", "b", "c", "d"});
  const auto sequence = [&](std::uint64_t seed) {
    routing::Router router(seed);
    std::string choices;
    for (int i = 0; i < 64; ++i) {
      choices += route_on(router, *broker.registry.snapshot(), "x", "").front();
    }
    return choices;
  };
  EXPECT_EQ(sequence(1), sequence(1));
  EXPECT_NE(sequence(1), sequence(2));
}

TEST(RandomExchange, IsNotCachedBehindAnotherExchange) {
  Broker broker;
  bind_queues(broker, ExchangeType::Random, {"a", "b"});
  broker.exchange("first", ExchangeType::Fanout);
  broker.exchange("alternate", ExchangeType::Direct, {.alternate = "x"});
  broker.bind_exchange("first", "x", "");
  for (const char* exchange : {"first", "alternate"}) {
    std::map<std::string, int> counts;
    for (int i = 0; i < 200; ++i) ++counts[broker.route(exchange, "one key").front()];
    EXPECT_EQ(counts.size(), 2U) << exchange;
  }
}

TEST(RandomExchange, ChoosesExchangesToo) {
  Broker broker;
  bind_queues(broker, ExchangeType::Random, {"a"});
  broker.queue("behind");
  broker.exchange("y", ExchangeType::Fanout);
  broker.bind("y", "behind", "");
  broker.bind_exchange("x", "y", "");
  auto counts = counted(placed(broker));
  expect_share(counts["behind"], 0.5);
  expect_share(counts["a"], 0.5);
}

TEST(LocalRandom, TakesClassicQueuesUnderAnEmptyKey) {  // C-506
  Broker broker;
  broker.exchange("x", ExchangeType::LocalRandom);
  const auto queue = [&](std::string name, const char* type) {
    routing::QueueEntry entry;
    entry.id = static_cast<routing::QueueId>(broker.next_queue_id++);
    entry.name = std::move(name);
    entry.arguments.add("x-queue-type", type);
    broker.registry.add_queue(std::move(entry));
  };
  broker.queue("plain");
  queue("classic", "classic");
  queue("quorum", "quorum");
  queue("stream", "stream");
  const auto error = [&](const routing::Binding& binding) -> std::string {
    try {
      broker.registry.bind(binding);
    } catch (const protocol::AmqpError& refused) {
      EXPECT_EQ(refused.code(), protocol::ReplyCode::PreconditionFailed);
      return refused.explanation();
    }
    return "";
  };
  EXPECT_EQ(error(Broker::binding("x", "plain", "")), "");
  EXPECT_EQ(error(Broker::binding("x", "classic", "")), "");
  EXPECT_EQ(error(Broker::binding("x", "plain", "k")), "Non empty binding 'k' key not permitted");
  EXPECT_EQ(error(Broker::binding("x", "quorum", "")),
            "Queue type rabbit_quorum_queue not valid for this exchange type");
  EXPECT_EQ(error(Broker::binding("x", "stream", "")),
            "Queue type rabbit_stream_queue not valid for this exchange type");
  EXPECT_EQ(error(Broker::binding("x", "amq.fanout", "", {}, true)),
            "Destination not found: only queues can be bound to this exchange type");
  EXPECT_EQ(broker.registry.binding_count(), 2U);
}

TEST(LocalRandom, OtherTypesTakeAnyBinding) {
  for (const auto type : {ExchangeType::ModulusHash, ExchangeType::Random}) {
    Broker broker;
    bind_queues(broker, type, {"a"}, "any key");
    EXPECT_EQ(broker.route("x", ""), Names{"a"});
    broker.unbind("x", "a", "any key");
    EXPECT_EQ(broker.route("x", ""), Names{});
  }
}

}  // namespace
}  // namespace harrier::routing_tests
