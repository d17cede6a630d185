// SPDX-License-Identifier: Apache-2.0
//
// Recovery: from what a store gives back to engines, and what keeps a broker from starting.
#include "broker/core/recovery.hpp"

#include <set>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "broker/auth/builtin_authenticator.hpp"
#include "broker/core/control.hpp"
#include "broker/core/definition_records.hpp"
#include "persistence/definitions.hpp"
#include "persistence/memory_store.hpp"
#include "tests/contract/store_model.hpp"

namespace harrier::broker {
namespace {

using persistence::Define;
using persistence::Kind;
using persistence::Recovery;

class RecoveryTest : public testing::Test {
 protected:
  void make_engines(unsigned shards, std::vector<std::string> vhosts = {"/"}) {
    engines_.clear();
    for (unsigned shard = 0; shard < shards; ++shard) {
      CoreOptions options;
      options.shards = shards;
      options.vhosts = vhosts;
      EngineWorld world;
      world.authenticator = std::make_shared<BuiltinAuthenticator>();
      world.random = [this](std::span<std::uint8_t> bytes) { std::ranges::fill(bytes, ++random_); };
      world.connection_count = [] { return 1u; };
      world.message_bytes = [] { return std::uint64_t{0}; };
      world.commit = [this, shard](persistence::WriteBatch batch, std::uint64_t number) {
        store_.commit(std::move(batch), [](const persistence::Status&) {});
        durable_.push_back({static_cast<ShardId>(shard), number});
      };
      world.fetch = [this, shard](StoreId part, const FetchRequest& request) {
        store_.fetch(part, request.from, request.bytes_max, [&](persistence::Fetched page) {
          fetched_.push_back({static_cast<ShardId>(shard),
                              Fetched{part, request.token, std::move(page.messages), page.next}});
        });
      };
      world.log = [this](int level, const std::string& line) {
        if (level >= 2) log_.push_back(line);
      };
      engines_.push_back(
          std::make_unique<Engine>(static_cast<ShardId>(shard), options, std::move(world)));
    }
  }

  RestoreResult restore_from(Recovery recovery) {
    std::vector<Engine*> engines;
    for (const auto& engine : engines_) engines.push_back(engine.get());
    return restore(engines, std::move(recovery), [this](StoreId part, Seq from) {
      persistence::Fetched page;
      store_.fetch(part, from, 1'000, [&](persistence::Fetched read) { page = std::move(read); });
      return page;
    });
  }

  // The broker stops and starts again with this many shards.
  RestoreResult restart(unsigned shards) {
    make_engines(shards);
    Recovery recovery;
    EXPECT_TRUE(store_.recover(recovery).ok());
    return restore_from(std::move(recovery));
  }

  void exchange() {
    for (bool moved = true; moved;) {
      moved = false;
      for (auto& from : engines_) {
        from->end_turn();
        for (const auto& [shard, number] : std::exchange(durable_, {})) {
          engines_[shard]->handle(Durable{number}, shard);
        }
        for (auto& [shard, page] : std::exchange(fetched_, {})) {
          engines_[shard]->handle(std::move(page), shard);
          moved = true;
        }
        for (ShardId to = 0; to < engines_.size(); ++to) {
          Outbox outbox = std::exchange(from->outbox(to), {});
          for (auto* messages : {&outbox.first, &outbox.rest}) {
            for (auto& message : *messages) {
              engines_[to]->handle(std::move(message), from->self());
              moved = true;
            }
          }
        }
      }
    }
  }

  QueueId declare(const std::string& name, ShardId shard, bool durable = true) {
    DeclareQueue change;
    change.queue.name = name;
    change.queue.durable = durable;
    change.preferred = shard;
    request(change);
    return topology()->find_queue(name)->id;
  }

  void request(decltype(ControlRequest::change) change) {
    engines_[0]->handle(ControlRequest{{}, "/", std::move(change)}, 0);
    exchange();
  }

  routing::TopologyPtr topology(ShardId shard = 0) {
    return engines_[shard]->find_vhost("/")->topology;
  }

  std::vector<Define> stored_definitions() {
    Recovery recovery;
    EXPECT_TRUE(store_.recover(recovery).ok());
    return recovery.definitions;
  }

  static Define queue_definition(const std::string& name, std::uint64_t id) {
    persistence::QueueDefinition definition;
    definition.id = persistence::QueueId{id};
    return persistence::define("/", name, definition);
  }

  std::uint8_t random_ = 0;
  persistence::MemoryStore store_;
  std::vector<std::pair<ShardId, std::uint64_t>> durable_;
  std::vector<std::pair<ShardId, Fetched>> fetched_;
  std::vector<std::string> log_;
  std::vector<std::unique_ptr<Engine>> engines_;
};

TEST_F(RecoveryTest, EveryShardHasTheTopologyBeforeItsFirstTurn) {
  EXPECT_TRUE(restart(2).errors.empty());
  for (const ShardId shard : {ShardId{0}, ShardId{1}}) {
    EXPECT_NE(topology(shard)->find_exchange("amq.direct"), nullptr);
    EXPECT_EQ(topology(shard), topology(0));
  }
}

TEST_F(RecoveryTest, DurableDefinitionsComeBackAndOthersDoNot) {
  restart(2);
  DeclareExchange exchange_change;
  exchange_change.exchange.name = "logs";
  exchange_change.exchange.type = routing::ExchangeType::Topic;
  exchange_change.exchange.durable = true;
  exchange_change.exchange.auto_delete = true;
  exchange_change.exchange.arguments.add("alternate-exchange", "amq.fanout");
  request(exchange_change);
  const QueueId kept = declare("kept", 1);
  declare("transient", 0, false);
  for (const std::string queue : {"kept", "transient"}) {
    request(Bind{{"logs", queue, false, "a.#", {}}, {}, false});
  }
  request(Bind{{"amq.fanout", "logs", true, "", {}}, {}, false});

  const RestoreResult result = restart(2);
  EXPECT_TRUE(result.errors.empty());
  EXPECT_EQ(result.counts.queues, 1u);
  EXPECT_EQ(result.counts.bindings, 2u);
  EXPECT_EQ(log_, std::vector<std::string>{});
  const routing::Exchange* exchange = topology(1)->find_exchange("logs");
  ASSERT_NE(exchange, nullptr);
  EXPECT_EQ(exchange->type, routing::ExchangeType::Topic);
  EXPECT_TRUE(exchange->durable && exchange->auto_delete);
  EXPECT_EQ(exchange->alternate, "amq.fanout");
  ASSERT_NE(topology(1)->find_queue("kept"), nullptr);
  EXPECT_EQ(topology(1)->find_queue("kept")->id, kept);
  EXPECT_TRUE(topology(1)->find_queue("kept")->durable);
  EXPECT_EQ(topology(1)->find_queue("transient"), nullptr);
  std::vector<QueueId> reached;
  routing::Router router;
  router.route(*topology(1), {topology(1)->find_exchange("amq.fanout"), "a.b", {}, {}}, reached);
  EXPECT_EQ(reached, std::vector<QueueId>{kept});
  EXPECT_EQ(engines_[0]->info().queues, 0u);
  EXPECT_EQ(engines_[1]->info().queues, 1u);
}

// Where a key goes must not change with a restart: bindings come back in another order.
TEST_F(RecoveryTest, HashExchangesPlaceKeysAsBefore) {
  restart(2);
  const auto make = [this](const std::string& name, routing::ExchangeType type) {
    DeclareExchange change;
    change.exchange.name = name;
    change.exchange.type = type;
    change.exchange.durable = true;
    change.exchange.arguments.add("nonsense", "kept");
    request(change);
  };
  make("consistent", routing::ExchangeType::ConsistentHash);
  make("modulus", routing::ExchangeType::ModulusHash);
  make("random", routing::ExchangeType::Random);
  make("local", routing::ExchangeType::LocalRandom);
  for (const std::string queue : {"d", "a", "c", "b"}) {
    declare(queue, queue < "c" ? 0 : 1);
    request(Bind{{"consistent", queue, false, queue == "a" ? "10" : "3", {}}, {}, false});
    for (const char* exchange : {"modulus", "random", "local"}) {
      request(Bind{{exchange, queue, false, "", {}}, {}, false});
    }
  }
  const auto placed = [this](const char* exchange) {
    std::vector<std::string> names;
    routing::Router router;
    for (int i = 0; i < 500; ++i) {
      const std::string key = "key " + std::to_string(i);
      std::vector<QueueId> reached;
      router.route(*topology(1), {topology(1)->find_exchange(exchange), key, {}, {}}, reached);
      EXPECT_EQ(reached.size(), 1u);
      for (const QueueId queue : reached) names.push_back(topology(1)->find_queue(queue)->name);
    }
    return names;
  };
  const auto consistent = placed("consistent");
  const auto modulus = placed("modulus");
  EXPECT_EQ(std::set(consistent.begin(), consistent.end()).size(), 4u);
  EXPECT_EQ(std::set(modulus.begin(), modulus.end()).size(), 4u);

  const RestoreResult result = restart(3);
  EXPECT_TRUE(result.errors.empty());
  EXPECT_EQ(result.counts.bindings, 16u);
  EXPECT_EQ(placed("consistent"), consistent);
  EXPECT_EQ(placed("modulus"), modulus);
  for (const char* exchange : {"random", "local"}) placed(exchange);
  EXPECT_EQ(topology(1)->find_exchange("consistent")->type, routing::ExchangeType::ConsistentHash);
  EXPECT_EQ(topology(1)->find_exchange("local")->type, routing::ExchangeType::LocalRandom);
}

// Redeclaring what came back is equivalent: the first answer's kind says so.
TEST_F(RecoveryTest, ARestoredQueueCanBeDeclaredAgainAndDeleted) {
  restart(1);
  const QueueId id = declare("q", 0);
  restart(1);
  EXPECT_EQ(declare("q", 0), id);
  DeleteQueue deletion;
  deletion.name = "q";
  request(deletion);
  EXPECT_EQ(topology()->find_queue("q"), nullptr);
  restart(1);
  EXPECT_EQ(topology()->find_queue("q"), nullptr);
}

TEST_F(RecoveryTest, QueueIdsAreNeverReused) {
  std::set<std::uint64_t> given;
  std::string name = "q";
  for (const unsigned shards : {1u, 4u, 3u, 1u, 2u}) {
    restart(shards);
    for (unsigned i = 0; i < 5; ++i) {
      name += 'q';
      const auto shard = static_cast<ShardId>(i % shards);
      const QueueId id = declare(name, shard);
      EXPECT_TRUE(given.insert(static_cast<std::uint64_t>(id)).second);
      EXPECT_EQ(shard_of(id, shards), shard);
      DeleteQueue deletion;
      deletion.name = name;
      request(deletion);
    }
  }
}

TEST_F(RecoveryTest, IdsAreReservedAThousandDeclarationsAtATime) {
  restart(3);
  const auto reserved = [this] {
    for (const Define& definition : stored_definitions()) {
      if (definition.kind == Kind::Counter) return definition.value;
    }
    return persistence::Bytes();
  };
  declare("first", 2);
  const auto first = reserved();
  ASSERT_EQ(first, define_queue_ids(3'000 + 3).value);
  for (int i = 1; i < 1'000; ++i) declare("t" + std::to_string(i), 2, false);
  EXPECT_EQ(reserved(), first);
  const QueueId next = declare("next", 0, false);
  EXPECT_NE(reserved(), first);
  restart(1);
  EXPECT_GT(declare("after", 0), next);
}

// A store of a version that kept no counter.
TEST_F(RecoveryTest, IdsStartAboveAllThatTheStoreHolds) {
  make_engines(2);
  Recovery recovery;
  recovery.definitions.push_back(queue_definition("q", 7));
  recovery.queues.push_back({persistence::QueueId{12}, 3, 1, 10, {}, {}});
  EXPECT_TRUE(restore_from(std::move(recovery)).errors.empty());
  EXPECT_EQ(log_.size(), 1u);
  EXPECT_GT(static_cast<std::uint64_t>(declare("new", 0)), 12u);
}

TEST_F(RecoveryTest, AQueueWithoutDefinitionIsDroppedInTheFirstBatch) {
  store_.commit(store_tests::batch_of({store_tests::enqueue(5, 1, "x")}), {});
  restart(2);
  EXPECT_EQ(log_.size(), 1u);
  exchange();
  Recovery recovery;
  ASSERT_TRUE(store_.recover(recovery).ok());
  EXPECT_TRUE(recovery.queues.empty());
}

TEST_F(RecoveryTest, ABindingWithoutItsEndsIsDroppedWithAWarning) {
  persistence::WriteBatch batch;
  const persistence::BindingDefinition binding{"amq.direct", "gone", false, "k", {}};
  batch.add(persistence::define("/", binding));
  store_.commit(std::move(batch), {});
  EXPECT_TRUE(restart(1).errors.empty());
  ASSERT_EQ(log_.size(), 1u);
  EXPECT_NE(log_[0].find("'gone' with key 'k'"), std::string::npos) << log_[0];
  exchange();
  EXPECT_TRUE(stored_definitions().empty());
}

TEST_F(RecoveryTest, WhatOperatorsHaveSetComesBack) {
  restart(2);
  Control& before = *engines_[0]->control();
  before.set(VhostRecord{"shop", {"", {}, "", true, 5, 1}});
  before.set(UserRecord{"u", {PasswordHash::make(HashAlgorithm::Sha256, "p", {}), {}, {}, {}}});
  before.set(PermissionRecord{{"shop", "u"}, {"^a", "", ""}});
  Policy policy;
  policy.name = "p";
  policy.pattern = std::get<NamePattern>(NamePattern::parse("^q"));
  policy.definition.add_int64("max-length", 5).add("alternate-exchange", "amq.fanout");
  before.set(PolicyRecord{"/", false, policy});
  policy.name = "gone";
  before.set(PolicyRecord{"/", true, policy});
  declare("q", 1);
  DeclareExchange exchange_change;
  exchange_change.exchange.name = "q-exchange";
  exchange_change.exchange.durable = true;
  request(std::move(exchange_change));
  EXPECT_TRUE(before.clear_policy("/", "gone", true));
  exchange();

  EXPECT_TRUE(restart(3).errors.empty());
  for (const auto& engine : engines_) {
    const VhostView* shop = engine->find_vhost("shop");
    ASSERT_NE(shop, nullptr);
    EXPECT_TRUE(shop->profile->tracing);
    EXPECT_EQ(shop->profile->connections.max, 5u);
    EXPECT_NE(shop->topology->find_exchange("amq.topic"), nullptr);
    const auto user = engine->authenticator().log_in({"u", "p"}, "192.0.2.7");
    ASSERT_TRUE(user);
    EXPECT_FALSE(engine->authenticator().may_access_vhost(*user, "/"));
    EXPECT_TRUE(engine->authenticator().may_access_vhost(*user, "shop"));
    EXPECT_FALSE(engine->authenticator().log_in({"guest", "guest"}, "127.0.0.1"));
  }
  EXPECT_EQ(topology(1)->find_exchange("q-exchange")->alternate, "amq.fanout");
  std::vector<QueueInfo> queues;
  for (const auto& engine : engines_)
    std::ranges::move(engine->queue_infos(), back_inserter(queues));
  ASSERT_EQ(queues.size(), 1u);
  EXPECT_EQ(queues[0].policy, "p");
  EXPECT_EQ(queues[0].operator_policy, "");
  EXPECT_EQ(queues[0].effective_arguments.view().find("x-max-length")->as_integer(), 5);
  const Control& after = *engines_[0]->control();
  EXPECT_EQ(after.find_vhost("shop")->settings.queues_max, 1);
}

TEST_F(RecoveryTest, WhatCannotBeReadKeepsTheBrokerFromStarting) {
  const std::vector<std::pair<Define, std::string>> cases = {
      {{Kind::Queue, "/", "bad queue", {9}}, "queue 'bad queue' in vhost '/' cannot be read"},
      {{Kind::Exchange, "/", "e", {}}, "exchange 'e' in vhost '/' cannot be read"},
      {persistence::define("/", "e",
                           persistence::ExchangeDefinition{"x-strange", false, false, {}}),
       "exchange 'e'"},
      {{Kind::Binding, "/", "b", {2}}, "a binding in vhost '/' cannot be read"},
      {{Kind::Counter, "", std::string(kQueueIdCounter), {1}}, "counter 'queue-id'"},
      {{Kind::Counter, "", "stream-offset:x:tag", {}}, "counter 'stream-offset:x:tag'"},
      {{Kind::Policy, "/", "policy:p", {1}}, "set as 'policy:p' in vhost '/' cannot be read"},
      {{static_cast<Kind>(77), "/", "p", {1}}, "does not know"},
      {persistence::define("/", "amq.topic",
                           persistence::ExchangeDefinition{"topic", false, false, {}}),
       "predeclared"},
  };
  for (const auto& [definition, text] : cases) {
    make_engines(1);
    Recovery recovery;
    recovery.definitions.push_back(definition);
    const RestoreResult result = restore_from(std::move(recovery));
    ASSERT_EQ(result.errors.size(), 1u) << text;
    EXPECT_NE(result.errors[0].find(text), std::string::npos) << result.errors[0];
    EXPECT_FALSE(result.only_vhosts_missing);
  }
}

TEST_F(RecoveryTest, TwoQueuesOfOneIdKeepTheBrokerFromStarting) {
  make_engines(1);
  Recovery recovery;
  recovery.definitions = {queue_definition("a", 3), queue_definition("b", 3)};
  EXPECT_EQ(restore_from(std::move(recovery)).errors.size(), 1u);
}

TEST_F(RecoveryTest, AVhostThatIsNotConfiguredAnyMoreIsNamedOnce) {
  make_engines(1);
  Recovery recovery;
  for (const char* name : {"a", "b"}) {
    Define definition = queue_definition(name, name == std::string("a") ? 1 : 2);
    definition.vhost = "shop";
    recovery.definitions.push_back(std::move(definition));
  }
  const RestoreResult result = restore_from(std::move(recovery));
  ASSERT_EQ(result.errors.size(), 1u);
  EXPECT_EQ(result.errors[0],
            "the store holds 2 definitions of vhost 'shop', which is not configured: add it to "
            "`vhosts`");
  EXPECT_TRUE(result.only_vhosts_missing);
}

TEST_F(RecoveryTest, PositionsGoOnAfterThoseOfBefore) {
  make_engines(1);
  Recovery recovery;
  recovery.definitions.push_back(queue_definition("q", 3));
  recovery.queues.push_back({persistence::QueueId{3}, 41, 0, 0, {}, {}});
  EXPECT_TRUE(restore_from(std::move(recovery)).errors.empty());
  engines_[0]->publish({QueueId{3}, store_tests::make_message("persistent"), {}, 0});
  exchange();
  Recovery after;
  ASSERT_TRUE(store_.recover(after).ok());
  ASSERT_EQ(after.queues.size(), 1u);
  EXPECT_EQ(after.queues[0].seq_max, 42u);
}

// C-456: each level is a part of the queue in the store.
TEST_F(RecoveryTest, EveryLevelOfAQueueWithPrioritiesComesBackAndGoes) {
  restart(1);
  DeclareQueue change;
  change.queue.name = "q";
  change.queue.durable = true;
  change.queue.arguments.add_int32("x-max-priority", 3);
  request(change);
  const QueueId id = topology()->find_queue("q")->id;
  for (const int priority : {0, 3, 9}) {
    protocol::Properties properties;
    properties.delivery_mode = std::uint8_t{2};
    properties.priority = static_cast<std::uint8_t>(priority);
    engines_[0]->publish({id, protocol::Message::create("", "q", properties.encode(), {}), {}, 0});
  }
  exchange();
  const RestoreResult result = restart(2);
  EXPECT_TRUE(result.errors.empty());
  EXPECT_EQ(result.counts.messages, 3u);
  const auto infos = engines_[shard_of(id, 2)]->queue_infos();
  ASSERT_EQ(infos.size(), 1u);
  EXPECT_EQ(infos[0].ready_by_level, (std::vector<std::uint64_t>{1, 0, 0, 2}));
  EXPECT_EQ(infos[0].messages_published, 3u);
  exchange();
  DeleteQueue deletion;
  deletion.name = "q";
  request(deletion);
  Recovery after;
  ASSERT_TRUE(store_.recover(after).ok());
  EXPECT_TRUE(after.queues.empty());
}

// C-476, C-480: its messages and positions, and how far a consumer tag has come; no part of it
// when it has been deleted.
TEST_F(RecoveryTest, AStreamComesBackWithWhatItKnowsOfItsConsumers) {
  restart(1);
  DeclareQueue change;
  change.queue.name = "s";
  change.queue.durable = true;
  change.queue.arguments.add("x-queue-type", "stream");
  request(change);
  const QueueId id = topology()->find_queue("s")->id;
  for (int i = 0; i < 3; ++i)
    engines_[0]->publish(
        {id, protocol::Message::create("", "s", protocol::Properties{}.encode(), {}), {}, 0});
  exchange();
  const std::string name = "stream-offset:" + std::to_string(static_cast<std::uint64_t>(id));
  persistence::WriteBatch batch;
  persistence::Bytes next(17);
  next[7] = 2;
  batch.add(Define{Kind::Counter, "", name + ":worker", next});
  batch.add(Define{Kind::Counter, "", "stream-offset:999:of a stream that has gone", next});
  store_.commit(std::move(batch), [](const persistence::Status&) {});
  const RestoreResult result = restart(2);
  EXPECT_TRUE(result.errors.empty());
  EXPECT_EQ(result.counts.messages, 3u);
  const auto infos = engines_[shard_of(id, 2)]->queue_infos();
  ASSERT_EQ(infos.size(), 1u);
  EXPECT_EQ(infos[0].messages_ready, 3u);
  EXPECT_EQ(infos[0].messages_published, 3u);
  exchange();
  const auto counters = [this] {
    std::set<std::string> names;
    for (const Define& definition : stored_definitions())
      if (definition.kind == Kind::Counter) names.insert(definition.name);
    return names;
  };
  EXPECT_EQ(counters(), (std::set<std::string>{name + ":worker", std::string(kQueueIdCounter)}));
  DeleteQueue deletion;
  deletion.name = "s";
  request(deletion);
  EXPECT_EQ(counters(), std::set<std::string>{std::string(kQueueIdCounter)});
  Recovery after;
  ASSERT_TRUE(store_.recover(after).ok());
  EXPECT_TRUE(after.queues.empty());
}

TEST_F(RecoveryTest, AStreamOffsetOfAnotherQueueKeepsTheBrokerFromStarting) {
  make_engines(1);
  Recovery recovery;
  recovery.definitions = {queue_definition("q", 7),
                          {Kind::Counter, "", "stream-offset:7:tag", persistence::Bytes(17)}};
  const RestoreResult result = restore_from(std::move(recovery));
  ASSERT_EQ(result.errors.size(), 1u);
  EXPECT_NE(result.errors[0].find("counter 'stream-offset:7:tag'"), std::string::npos);
}

TEST_F(RecoveryTest, APartThatItsQueueCannotHaveKeepsTheBrokerFromStarting) {
  make_engines(1);
  Recovery recovery;
  recovery.definitions.push_back(queue_definition("q", 7));
  recovery.queues.push_back({store_id(QueueId{7}, level_part(2)), 3, 1, 10, {}, {}});
  const RestoreResult result = restore_from(std::move(recovery));
  ASSERT_EQ(result.errors.size(), 1u);
  EXPECT_NE(result.errors[0].find("queue 'q' in vhost '/' has a part 2"), std::string::npos);
}

// What the start of a broker with many queues does; its time is shown by the test runner.
TEST_F(RecoveryTest, TenThousandQueuesAndTheirBindings) {
  constexpr std::uint64_t kQueues = 10'000;
  Recovery recovery;
  for (std::uint64_t i = 1; i <= kQueues; ++i) {
    recovery.definitions.push_back(queue_definition("queue-" + std::to_string(i), i));
    recovery.queues.push_back({persistence::QueueId{i}, i, 1, 100, {}, {}});
  }
  for (std::uint64_t i = 1; i <= kQueues; ++i) {
    persistence::BindingDefinition binding;
    binding.source = "amq.topic";
    binding.destination = "queue-" + std::to_string(i);
    binding.routing_key = "key." + std::to_string(i) + ".#";
    recovery.definitions.push_back(persistence::define("/", binding));
  }
  make_engines(4);
  const RestoreResult result = restore_from(std::move(recovery));
  EXPECT_TRUE(result.errors.empty());
  EXPECT_EQ(result.counts.queues, kQueues);
  EXPECT_EQ(result.counts.messages, kQueues);
  EXPECT_EQ(result.counts.bindings, kQueues);
  for (const auto& engine : engines_) EXPECT_EQ(engine->info().queues, kQueues / 4);
  EXPECT_NE(topology(3)->find_queue("queue-10000"), nullptr);
}

}  // namespace
}  // namespace harrier::broker
