// SPDX-License-Identifier: Apache-2.0
#include "routing/router.hpp"

#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "tests/unit/routing/fixture.hpp"

namespace harrier::routing_tests {
namespace {

using protocol::Table;
using routing::ExchangeType;

TEST(Router, DirectComparesBytes) {  // C-194
  Broker broker;
  for (const char* name : {"q", "r", "s"}) broker.queue(name);
  const std::string with_zero("a\0b", 3);
  broker.bind("amq.direct", "q", "key");
  broker.bind("amq.direct", "r", "key");
  broker.bind("amq.direct", "s", with_zero);
  EXPECT_EQ(broker.route("amq.direct", "key"), (Names{"q", "r"}));
  EXPECT_EQ(broker.route("amq.direct", "Key"), Names{});
  EXPECT_EQ(broker.route("amq.direct", "a"), Names{});
  EXPECT_EQ(broker.route("amq.direct", with_zero), Names{"s"});
  EXPECT_EQ(broker.route("amq.direct", ""), Names{});
}

TEST(Router, DirectTakesNoWildcards) {
  Broker broker;
  broker.queue("q");
  broker.bind("amq.direct", "q", "a.*");
  EXPECT_EQ(broker.route("amq.direct", "a.b"), Names{});
  EXPECT_EQ(broker.route("amq.direct", "a.*"), Names{"q"});
}

TEST(Router, FanoutIgnoresTheKey) {  // C-195
  Broker broker;
  broker.queue("q");
  broker.queue("r");
  broker.bind("amq.fanout", "q", "one");
  broker.bind("amq.fanout", "q", "two");
  broker.bind("amq.fanout", "r", "");
  EXPECT_EQ(broker.route("amq.fanout", "whatever"), (Names{"q", "r"}));
  broker.unbind("amq.fanout", "q", "one");
  EXPECT_EQ(broker.route("amq.fanout", "whatever"), (Names{"q", "r"}));
  broker.unbind("amq.fanout", "q", "two");
  EXPECT_EQ(broker.route("amq.fanout", "whatever"), Names{"r"});
}

TEST(Router, DefaultExchangeIsTheQueueName) {  // C-187, C-197
  Broker broker;
  broker.queue("q");
  broker.queue("held", 9);
  EXPECT_EQ(broker.route("", "q"), Names{"q"});
  EXPECT_EQ(broker.route("", "held"), Names{"held"});
  EXPECT_EQ(broker.route("", "nobody"), Names{});
  EXPECT_EQ(broker.route("", "q", {"held", "nobody", "q"}), (Names{"held", "q"}));
  broker.registry.remove_queue("q");
  EXPECT_EQ(broker.route("", "q"), Names{});
}

TEST(Router, ExtraKeysCountForDirectTopicAndDefault) {  // C-313, C-538
  Broker broker;
  for (const char* name : {"q", "r", "s"}) broker.queue(name);
  broker.bind("amq.direct", "q", "1");
  broker.bind("amq.direct", "r", "2");
  broker.bind("amq.direct", "s", "3");
  EXPECT_EQ(broker.route("amq.direct", "1", {"2"}), (Names{"q", "r"}));
  EXPECT_EQ(broker.route("amq.direct", "none", {"2", "3", "2"}), (Names{"r", "s"}));
  EXPECT_EQ(broker.route("amq.direct", "1"), Names{"q"});  // and leave nothing behind
  broker.bind("amq.topic", "q", "a.#");
  broker.bind("amq.topic", "r", "*.b");
  EXPECT_EQ(broker.route("amq.topic", "x", {"a", "a.b"}), (Names{"q", "r"}));
  EXPECT_EQ(broker.route("amq.topic", "x"), Names{});
}

TEST(Router, EachQueueOnce) {  // C-188, C-198
  Broker broker;
  broker.queue("q");
  broker.exchange("a", ExchangeType::Fanout);
  broker.exchange("b", ExchangeType::Topic);
  broker.bind_exchange("a", "b", "");
  broker.bind("a", "q", "1");
  broker.bind("a", "q", "2");
  broker.bind("b", "q", "#");
  broker.bind("b", "q", "*");
  broker.bind("b", "q", "k");
  EXPECT_EQ(broker.route("a", "k", {"k", "l"}), Names{"q"});
}

TEST(Router, FollowsExchangesTransitively) {  // C-188
  Broker broker;
  broker.queue("q");
  broker.queue("r");
  broker.exchange("first", ExchangeType::Direct);
  broker.exchange("second", ExchangeType::Topic, {.internal = true});  // C-193
  broker.exchange("third", ExchangeType::Headers);
  broker.bind_exchange("first", "second", "a.b");
  broker.bind_exchange("second", "third", "a.*");
  broker.bind("second", "q", "#.b");
  broker.bind("third", "r", "", Table().add("h", "1"));
  EXPECT_EQ(broker.route("first", "a.b", {}, Table().add("h", "1")), (Names{"q", "r"}));
  EXPECT_EQ(broker.route("first", "a.b"), Names{"q"});
  EXPECT_EQ(broker.route("first", "a.b", {}, Table().add("h", "1")), (Names{"q", "r"}));
  EXPECT_EQ(broker.route("first", "b"), Names{});
}

TEST(Router, LoopsEnd) {  // C-189
  Broker broker;
  broker.queue("q");
  for (const char* name : {"a", "b", "c"}) broker.exchange(name, ExchangeType::Fanout);
  broker.bind_exchange("a", "a", "");
  broker.bind_exchange("a", "b", "");
  broker.bind_exchange("b", "c", "");
  broker.bind_exchange("c", "a", "");
  EXPECT_EQ(broker.route("a", ""), Names{});
  broker.bind("c", "q", "");
  for (const char* name : {"a", "b", "c"}) EXPECT_EQ(broker.route(name, ""), Names{"q"});
}

TEST(Alternate, IsUsedWhenThereIsNoDestination) {  // C-200
  Broker broker;
  broker.queue("q");
  broker.queue("spare");
  broker.exchange("last", ExchangeType::Fanout);
  broker.exchange("middle", ExchangeType::Direct, {.alternate = "last"});
  broker.exchange("first", ExchangeType::Topic, {.alternate = "middle"});
  broker.bind("first", "q", "known.#");
  EXPECT_EQ(broker.route("first", "known.a"), Names{"q"});
  EXPECT_EQ(broker.route("first", "other"), Names{});
  broker.bind("last", "spare", "");
  EXPECT_EQ(broker.route("first", "known.a"), Names{"q"});
  EXPECT_EQ(broker.route("first", "other"), Names{"spare"});  // alternate of the alternate
  broker.bind("middle", "q", "other");
  EXPECT_EQ(broker.route("first", "other"), Names{"q"});
}

TEST(Alternate, AnExchangeWithoutQueuesIsADestination) {
  Broker broker;
  broker.queue("spare");
  broker.exchange("alternate", ExchangeType::Fanout);
  broker.bind("alternate", "spare", "");
  broker.exchange("hollow", ExchangeType::Fanout);
  broker.exchange("first", ExchangeType::Fanout, {.alternate = "alternate"});
  broker.bind_exchange("first", "hollow", "");
  EXPECT_EQ(broker.route("first", ""), Names{});
}

TEST(Alternate, OfAnExchangeInTheMiddleOfThePath) {
  Broker broker;
  broker.queue("q");
  broker.queue("spare");
  broker.exchange("alternate", ExchangeType::Fanout, {.internal = true});
  broker.bind("alternate", "spare", "");
  broker.exchange("second", ExchangeType::Direct, {.alternate = "alternate"});
  broker.exchange("first", ExchangeType::Fanout);
  broker.bind_exchange("first", "second", "");
  broker.bind("first", "q", "");
  EXPECT_EQ(broker.route("first", "unknown"), (Names{"q", "spare"}));
}

TEST(Alternate, CyclesStop) {  // C-200
  Broker broker;
  broker.queue("q");
  broker.exchange("a", ExchangeType::Direct, {.alternate = "b"});
  broker.exchange("b", ExchangeType::Direct, {.alternate = "a"});
  broker.exchange("self", ExchangeType::Direct, {.alternate = "self"});
  EXPECT_EQ(broker.route("a", "k"), Names{});
  EXPECT_EQ(broker.route("self", "k"), Names{});
  broker.bind("b", "q", "k");
  EXPECT_EQ(broker.route("a", "k"), Names{"q"});
}

TEST(Alternate, MayBeMissingOrComeLater) {  // C-203
  Broker broker;
  broker.queue("q");
  broker.exchange("first", ExchangeType::Direct, {.alternate = "later"});
  EXPECT_EQ(broker.route("first", "k"), Names{});
  broker.exchange("later", ExchangeType::Fanout);
  broker.bind("later", "q", "");
  EXPECT_EQ(broker.route("first", "k"), Names{"q"});
  broker.registry.remove_exchange("later");
  EXPECT_EQ(broker.route("first", "k"), Names{});
}

TEST(Alternate, MayBeTheDefaultExchangeByItsName) {  // C-204
  Broker broker;
  broker.queue("q");
  broker.exchange("first", ExchangeType::Direct, {.alternate = ""});
  EXPECT_EQ(broker.route("first", "q"), Names{"q"});
  EXPECT_EQ(broker.route("first", "other"), Names{});
}

TEST(Alternate, AppliesToEveryType) {
  Broker broker;
  broker.queue("spare");
  broker.bind("amq.fanout", "spare", "");
  for (const auto type :
       {ExchangeType::Direct, ExchangeType::Fanout, ExchangeType::Topic, ExchangeType::Headers,
        ExchangeType::ConsistentHash, ExchangeType::ModulusHash, ExchangeType::Random,
        ExchangeType::LocalRandom}) {
    const std::string own_name(name(type));
    broker.exchange(own_name, type, {.alternate = "amq.fanout"});
    EXPECT_EQ(broker.route(own_name, "k", {"l"}), Names{"spare"}) << own_name;
  }
}

TEST(Router, WideExchangesThatOverlap) {
  constexpr int kQueues = 3000;
  Broker broker;
  Names all;
  broker.exchange("both", ExchangeType::Fanout);
  broker.bind_exchange("both", "amq.fanout", "");
  broker.bind_exchange("both", "amq.topic", "");
  for (int i = 0; i < kQueues; ++i) {
    all.push_back("q" + std::to_string(i));
    broker.queue(all.back());
    broker.bind("amq.fanout", all.back(), "");
    broker.bind("amq.topic", all.back(), "#");
    broker.bind("amq.topic", all.back(), "key");
  }
  std::sort(all.begin(), all.end());
  for (const char* exchange : {"amq.fanout", "amq.topic", "both"}) {
    EXPECT_EQ(broker.route(exchange, "key"), all) << exchange;
  }
}

TEST(Router, ManyBindingsOnOneTopicExchange) {
  constexpr int kQueues = 100;
  constexpr int kBindings = 30'000;
  Broker broker;
  for (int i = 0; i < kQueues; ++i) broker.queue("q" + std::to_string(i));
  const auto queue_of = [](int i) { return "q" + std::to_string(i % kQueues); };
  const auto key_of = [](int i) {
    const std::string device = "device" + std::to_string(i);
    return i % 3 == 0 ? "site.*." + device : i % 3 == 1 ? "#." + device : "site.x." + device;
  };
  for (int i = 0; i < kBindings; ++i) broker.bind("amq.topic", queue_of(i), key_of(i));
  const auto before = broker.registry.snapshot();
  for (int i = 0; i < kBindings; i += 2) {
    ASSERT_EQ(broker.unbind("amq.topic", queue_of(i), key_of(i)).bindings.size(), 1U);
  }
  const auto after = broker.registry.snapshot();
  for (int i = 0; i < kBindings; i += 7) {
    const std::string key = "site.x.device" + std::to_string(i);
    const Names expected{queue_of(i)};
    ASSERT_EQ(route_on(broker.router, *before, "amq.topic", key), expected);
    ASSERT_EQ(route_on(broker.router, *after, "amq.topic", key), i % 2 == 0 ? Names{} : expected);
  }
}

// C-508: what keeps a message is among its queues, and makes it no routed one.
TEST(Router, HistoriesAreNoRoute) {
  Broker broker;
  broker.queue("q");
  const routing::QueueId kept = broker.queue("kept");
  broker.exchange("first", ExchangeType::Direct);
  broker.exchange("history", ExchangeType::RecentHistory, {.alternate = "amq.fanout"});
  broker.exchange("next", ExchangeType::Fanout);
  EXPECT_TRUE(broker.registry.set_history_queue("history", kept));
  EXPECT_FALSE(broker.registry.set_history_queue("history", kept));
  broker.bind_exchange("first", "history", "k");

  std::vector<routing::QueueId> out;
  const auto reaches = [&](std::string_view exchange, const Table& headers = {}) {
    const routing::TopologyPtr topology = broker.registry.snapshot();
    routing::RouteRequest request;
    request.exchange = topology->find_exchange(exchange);
    request.routing_key = "k";
    request.headers = headers;
    return broker.router.route(*topology, request, out);
  };
  const Table not_kept = Table().add_bool("x-recent-history-no-store", true);
  for (int i = 0; i < 3; ++i) {
    for (const char* exchange : {"first", "history"}) {
      EXPECT_FALSE(reaches(exchange));
      EXPECT_EQ(broker.route(exchange, "k"), Names{"kept"});
      EXPECT_FALSE(reaches(exchange, not_kept));
      EXPECT_EQ(broker.route(exchange, "k", {}, not_kept), Names{});
    }
  }
  broker.bind("amq.fanout", "q", "");
  for (int i = 0; i < 3; ++i) {
    EXPECT_TRUE(reaches("first"));
    EXPECT_EQ(broker.route("first", "k"), (Names{"kept", "q"}));
    EXPECT_TRUE(reaches("first", not_kept));
    EXPECT_EQ(broker.route("first", "k", {}, not_kept), Names{"q"});
    EXPECT_TRUE(reaches("amq.fanout"));
  }
  broker.bind_exchange("history", "next", "");
  broker.bind_exchange("next", "history", "");
  broker.bind("next", "q", "");
  EXPECT_EQ(broker.route("next", "k"), (Names{"kept", "q"}));
  const routing::TopologyPtr topology = broker.registry.snapshot();
  routing::RouteRequest onward;
  onward.exchange = topology->find_exchange("next");
  broker.router.route_onward(*topology, onward, topology->find_exchange("history")->id, out);
  EXPECT_EQ(out, std::vector{topology->find_queue("q")->id});
  onward.exchange = topology->find_exchange("history");
  broker.router.route_onward(*topology, onward, onward.exchange->id, out);
  EXPECT_TRUE(out.empty());
}

TEST(Router, SnapshotsDoNotChange) {
  Broker broker;
  broker.queue("q");
  broker.queue("r");
  broker.exchange("x", ExchangeType::Direct);
  broker.bind("x", "q", "k");
  broker.bind("amq.topic", "q", "a.*.c");
  broker.bind("amq.match", "q", "", Table().add("h", "1"));
  broker.bind("amq.fanout", "q", "");
  const Table headers = Table().add("h", "1");
  const auto before = broker.registry.snapshot();
  broker.bind("x", "r", "k");
  broker.bind("amq.topic", "r", "a.b.#");
  broker.bind("amq.match", "r", "", Table().add("h", "1"));
  broker.bind("amq.fanout", "r", "");
  const auto between = broker.registry.snapshot();
  broker.registry.remove_exchange("x");
  broker.registry.remove_queue("q");
  const auto after = broker.registry.snapshot();

  const auto check = [&](const routing::Topology& topology, const Names& expected) {
    EXPECT_EQ(route_on(broker.router, topology, "amq.topic", "a.b.c"), expected);
    EXPECT_EQ(route_on(broker.router, topology, "amq.fanout", ""), expected);
    EXPECT_EQ(route_on(broker.router, topology, "amq.match", "", {}, headers), expected);
  };
  for (int round = 0; round < 2; ++round) {  // the second time through the route cache
    check(*before, {"q"});
    check(*between, {"q", "r"});
    check(*after, {"r"});
    EXPECT_EQ(route_on(broker.router, *before, "x", "k"), Names{"q"});
    EXPECT_EQ(route_on(broker.router, *between, "x", "k"), (Names{"q", "r"}));
    EXPECT_EQ(route_on(broker.router, *before, "", "q"), Names{"q"});
    EXPECT_EQ(route_on(broker.router, *after, "", "q"), Names{});
  }
  EXPECT_EQ(after->find_exchange("x"), nullptr);
}

}  // namespace
}  // namespace harrier::routing_tests
