// SPDX-License-Identifier: Apache-2.0
#include "routing/registry.hpp"

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
using routing::QueueId;
using routing::Removed;

Names exchange_names(const routing::Registry& registry) {
  Names names;
  registry.for_each_exchange([&](const routing::Exchange& x) { names.push_back(x.name); });
  return names;
}

Names removed_exchanges(const Removed& removed) {
  Names names;
  for (const routing::Exchange& exchange : removed.exchanges) names.push_back(exchange.name);
  std::sort(names.begin(), names.end());
  return names;
}

// "source -> destination (key)", exchanges in brackets.
Names removed_bindings(const Removed& removed) {
  Names texts;
  for (const routing::Binding& binding : removed.bindings) {
    const std::string to =
        binding.to_exchange ? "[" + binding.destination + "]" : binding.destination;
    texts.push_back(binding.source + " -> " + to + " (" + binding.routing_key + ")");
  }
  std::sort(texts.begin(), texts.end());
  return texts;
}

TEST(Registry, PredeclaresExchanges) {  // C-150
  const routing::Registry registry;
  const std::map<std::string, ExchangeType> expected = {
      {"", ExchangeType::Direct},           {"amq.direct", ExchangeType::Direct},
      {"amq.fanout", ExchangeType::Fanout}, {"amq.headers", ExchangeType::Headers},
      {"amq.match", ExchangeType::Headers}, {"amq.rabbitmq.trace", ExchangeType::Topic},
      {"amq.topic", ExchangeType::Topic}};
  EXPECT_EQ(exchange_names(registry).size(), expected.size());
  for (const auto& [name, type] : expected) {
    const routing::Exchange* exchange = registry.find_exchange(name);
    ASSERT_NE(exchange, nullptr) << name;
    EXPECT_EQ(exchange->type, type) << name;
    EXPECT_TRUE(exchange->durable);
    EXPECT_FALSE(exchange->auto_delete);
    EXPECT_EQ(exchange->internal, name == "amq.rabbitmq.trace");
  }
}

TEST(Registry, NamesTypes) {
  for (const auto type :
       {ExchangeType::Direct, ExchangeType::Fanout, ExchangeType::Topic, ExchangeType::Headers,
        ExchangeType::ConsistentHash, ExchangeType::ModulusHash, ExchangeType::Random,
        ExchangeType::LocalRandom}) {
    EXPECT_EQ(routing::parse_exchange_type(name(type)), type);
  }
  EXPECT_EQ(name(ExchangeType::Headers), "headers");
  EXPECT_EQ(name(ExchangeType::LocalRandom), "x-local-random");
  EXPECT_EQ(routing::parse_exchange_type("Direct"), std::nullopt);
  EXPECT_EQ(routing::parse_exchange_type(""), std::nullopt);
}

TEST(Registry, FindsWhatWasAddedAndForgetsWhatWasRemoved) {
  Broker broker;
  const QueueId first = broker.queue("one");
  broker.queue("two");
  broker.exchange("x", ExchangeType::Topic);
  EXPECT_EQ(broker.registry.find_queue("one")->id, first);
  EXPECT_EQ(broker.registry.find_queue(first)->name, "one");
  EXPECT_EQ(broker.registry.snapshot()->find_queue("two")->name, "two");
  EXPECT_EQ(broker.registry.snapshot()->find_exchange("x")->type, ExchangeType::Topic);
  const auto before = broker.registry.snapshot();
  broker.registry.remove_queue("one");
  broker.registry.remove_exchange("x");
  EXPECT_EQ(broker.registry.find_queue("one"), nullptr);
  EXPECT_EQ(broker.registry.find_queue(first), nullptr);
  EXPECT_EQ(broker.registry.find_exchange("x"), nullptr);
  EXPECT_EQ(broker.registry.snapshot()->find_queue("one"), nullptr);
  EXPECT_EQ(before->find_queue("one")->id, first);  // the old snapshot stays as it was
  EXPECT_EQ(before->find_exchange("x")->name, "x");
}

TEST(Registry, IdsAreNeverReused) {
  Broker broker;
  broker.exchange("x", ExchangeType::Direct);
  const auto id = broker.registry.find_exchange("x")->id;
  broker.registry.remove_exchange("x");
  broker.exchange("x", ExchangeType::Direct);
  EXPECT_NE(broker.registry.find_exchange("x")->id, id);
}

TEST(Registry, VersionGrowsByOneWithEveryChange) {
  Broker broker;
  auto version = broker.registry.version();
  const auto expect_step = [&](std::uint64_t steps) {
    version += steps;
    EXPECT_EQ(broker.registry.version(), version);
    EXPECT_EQ(broker.registry.snapshot()->version(), version);
  };
  broker.queue("q");
  expect_step(1);
  EXPECT_TRUE(broker.bind("amq.direct", "q", "k"));
  expect_step(1);
  EXPECT_FALSE(broker.bind("amq.direct", "q", "k"));
  expect_step(0);
  broker.unbind("amq.direct", "q", "other");
  expect_step(0);
  broker.unbind("amq.direct", "q", "k");
  expect_step(1);
  broker.registry.remove_queue("q");
  expect_step(1);
  EXPECT_EQ(broker.registry.snapshot(), broker.registry.snapshot());  // cut once per change
}

TEST(Registry, IdentityOfABinding) {  // C-174, C-179
  Broker broker;
  broker.queue("q");
  broker.queue("r");
  broker.exchange("q", ExchangeType::Fanout);  // the name of the queue
  const Table arguments = Table().add("a", "1").add_int32("b", 2);
  EXPECT_TRUE(broker.bind("amq.direct", "q", "k"));
  EXPECT_FALSE(broker.bind("amq.direct", "q", "k"));
  EXPECT_TRUE(broker.bind("amq.direct", "q", "K"));
  EXPECT_TRUE(broker.bind("amq.direct", "r", "k"));
  EXPECT_TRUE(broker.bind("amq.fanout", "q", "k"));
  EXPECT_TRUE(broker.bind_exchange("amq.direct", "q", "k"));
  EXPECT_TRUE(broker.bind("amq.direct", "q", "k", arguments));
  EXPECT_FALSE(broker.bind("amq.direct", "q", "k", Table().add_int32("b", 2).add("a", "1")));
  EXPECT_TRUE(broker.bind("amq.direct", "q", "k", Table().add("a", "1").add_int32("b", 3)));
  EXPECT_EQ(broker.registry.binding_count(), 7U);

  EXPECT_TRUE(broker.unbind("amq.direct", "q", "k", Table().add("a", "1")).bindings.empty());
  const Removed removed = broker.unbind("amq.direct", "q", "k", arguments);
  ASSERT_EQ(removed.bindings.size(), 1U);
  EXPECT_EQ(removed.bindings[0].arguments, arguments);
  EXPECT_EQ(broker.route("amq.direct", "k"), (Names{"q", "r"}));
}

TEST(Registry, ListsBindings) {
  Broker broker;
  broker.queue("q");
  broker.exchange("x", ExchangeType::Topic);
  broker.bind("x", "q", "a.*", Table().add("n", "v"));
  broker.bind_exchange("amq.direct", "x", "k");
  Removed all;
  broker.registry.for_each_binding(
      [&](const routing::Binding& binding) { all.bindings.push_back(binding); });
  EXPECT_EQ(removed_bindings(all), (Names{"amq.direct -> [x] (k)", "x -> q (a.*)"}));
  EXPECT_TRUE(broker.registry.has_bindings_from("x"));
  EXPECT_TRUE(broker.registry.has_bindings_from("amq.direct"));
  EXPECT_FALSE(broker.registry.has_bindings_from("amq.topic"));
  EXPECT_FALSE(broker.registry.has_bindings_from("nowhere"));
}

TEST(Registry, UnbindIsTolerant) {  // C-178
  Broker broker;
  broker.queue("q");
  EXPECT_TRUE(broker.unbind("nowhere", "q", "k").bindings.empty());
  EXPECT_TRUE(broker.unbind("amq.direct", "nobody", "k").bindings.empty());
  EXPECT_TRUE(broker.unbind("amq.direct", "q", "k").bindings.empty());
  EXPECT_TRUE(broker.unbind_exchange("amq.direct", "q", "k").bindings.empty());
}

TEST(Registry, RefusesABindingKeyThatIsTooLong) {
  Broker broker;
  broker.queue("q");
  try {
    broker.bind("amq.topic", "q", std::string(256, 'a'));
    FAIL() << "accepted";
  } catch (const protocol::AmqpError& error) {
    EXPECT_EQ(error.code(), protocol::ReplyCode::PreconditionFailed);
    EXPECT_NE(error.explanation().find("at character 256"), std::string::npos);
  }
  EXPECT_EQ(broker.registry.binding_count(), 0U);
  EXPECT_TRUE(broker.bind("amq.topic", "q", std::string(255, '.')));
}

TEST(Registry, QueuesOfAnOwner) {
  Broker broker;
  const QueueId mine = broker.queue("mine", 7);
  const QueueId also = broker.queue("also", 7);
  broker.queue("other", 8);
  broker.queue("free");
  EXPECT_EQ(broker.registry.queues_of(7), (std::vector{mine, also}));
  EXPECT_TRUE(broker.registry.queues_of(6).empty());
  broker.registry.remove_queue("mine");
  EXPECT_EQ(broker.registry.queues_of(7), std::vector{also});
  EXPECT_TRUE(broker.registry.queues_of(0).empty());
}

TEST(Cascade, RemovingAQueueTakesItsBindings) {
  Broker broker;
  broker.queue("q");
  broker.queue("r");
  broker.bind("amq.direct", "q", "k");
  broker.bind("amq.topic", "q", "#");
  broker.bind("amq.topic", "r", "#");
  const Removed removed = broker.registry.remove_queue("q");
  EXPECT_EQ(removed_bindings(removed), (Names{"amq.direct -> q (k)", "amq.topic -> q (#)"}));
  EXPECT_TRUE(removed.exchanges.empty());
  EXPECT_EQ(broker.registry.binding_count(), 1U);
  EXPECT_EQ(broker.route("amq.topic", "x"), Names{"r"});
  EXPECT_EQ(broker.route("amq.direct", "k"), Names{});
}

TEST(Cascade, AutoDeleteExchangesGoWithTheirLastOutgoingBinding) {  // C-190
  Broker broker;
  broker.queue("q");
  broker.queue("r");
  broker.exchange("auto", ExchangeType::Direct, {.auto_delete = true});
  broker.exchange("unbound", ExchangeType::Direct, {.auto_delete = true});
  broker.bind("auto", "q", "1");
  broker.bind("auto", "r", "2");
  EXPECT_TRUE(removed_exchanges(broker.unbind("auto", "q", "1")).empty());
  EXPECT_EQ(removed_exchanges(broker.unbind("auto", "r", "2")), Names{"auto"});
  EXPECT_EQ(broker.registry.find_exchange("auto"), nullptr);
  EXPECT_NE(broker.registry.find_exchange("unbound"), nullptr);

  broker.bind("unbound", "q", "1");
  EXPECT_EQ(removed_exchanges(broker.registry.remove_queue("q")), Names{"unbound"});
}

TEST(Cascade, IncomingBindingsNeitherKeepNorTrigger) {  // C-192
  Broker broker;
  broker.queue("q");
  broker.exchange("auto", ExchangeType::Fanout, {.auto_delete = true});
  broker.bind_exchange("amq.fanout", "auto", "");
  broker.unbind_exchange("amq.fanout", "auto", "");
  EXPECT_NE(broker.registry.find_exchange("auto"), nullptr);
  broker.bind_exchange("amq.fanout", "auto", "");
  broker.bind("auto", "q", "");
  const Removed removed = broker.unbind("auto", "q", "");
  EXPECT_EQ(removed_exchanges(removed), Names{"auto"});
  EXPECT_EQ(removed_bindings(removed), (Names{"amq.fanout -> [auto] ()", "auto -> q ()"}));
  EXPECT_EQ(broker.registry.binding_count(), 0U);
}

TEST(Cascade, RunsUpstream) {  // C-173, C-191
  Broker broker;
  broker.queue("q");
  for (const char* name : {"a", "b", "c"}) {
    broker.exchange(name, ExchangeType::Fanout, {.auto_delete = true});
  }
  broker.exchange("stays", ExchangeType::Fanout);
  broker.bind_exchange("a", "b", "");
  broker.bind_exchange("b", "c", "");
  broker.bind_exchange("stays", "b", "");
  broker.bind("c", "q", "");
  broker.bind("stays", "q", "");
  EXPECT_EQ(broker.route("a", ""), Names{"q"});
  const Removed removed = broker.registry.remove_exchange("c");
  EXPECT_EQ(removed_exchanges(removed), (Names{"a", "b"}));  // not the one that was named
  EXPECT_EQ(removed_bindings(removed),
            (Names{"a -> [b] ()", "b -> [c] ()", "c -> q ()", "stays -> [b] ()"}));
  EXPECT_EQ(broker.registry.binding_count(), 1U);
  EXPECT_EQ(broker.route("stays", ""), Names{"q"});
  EXPECT_NE(broker.registry.find_queue("q"), nullptr);
}

TEST(Cascade, EndsInLoops) {  // C-189
  Broker broker;
  broker.queue("q");
  for (const char* name : {"a", "b", "self"}) {
    broker.exchange(name, ExchangeType::Fanout, {.auto_delete = true});
  }
  broker.bind_exchange("a", "b", "");
  broker.bind_exchange("b", "a", "");
  EXPECT_EQ(removed_exchanges(broker.registry.remove_exchange("a")), Names{"b"});

  broker.bind_exchange("self", "self", "1");
  broker.bind_exchange("self", "self", "2");
  EXPECT_TRUE(removed_exchanges(broker.unbind_exchange("self", "self", "1")).empty());
  EXPECT_EQ(removed_exchanges(broker.unbind_exchange("self", "self", "2")), Names{"self"});

  broker.exchange("self", ExchangeType::Fanout, {.auto_delete = true});
  broker.bind_exchange("self", "self", "1");
  broker.bind("self", "q", "2");
  const Removed removed = broker.registry.remove_exchange("self");
  EXPECT_TRUE(removed.exchanges.empty());
  EXPECT_EQ(removed.bindings.size(), 2U);
  EXPECT_EQ(broker.registry.binding_count(), 0U);
}

TEST(Cascade, AQueueNamedByWhatItsRemovalFrees) {
  Broker broker;
  broker.queue("q");
  // The name points into the entry that goes.
  broker.registry.remove_queue(broker.registry.find_queue("q")->name);
  broker.exchange("x", ExchangeType::Topic);
  broker.registry.remove_exchange(broker.registry.find_exchange("x")->name);
  EXPECT_EQ(broker.registry.find_queue("q"), nullptr);
  EXPECT_EQ(broker.registry.find_exchange("x"), nullptr);
}

}  // namespace
}  // namespace harrier::routing_tests
