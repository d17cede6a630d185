// SPDX-License-Identifier: Apache-2.0
//
// Exchanges with a history in a whole broker (C-508): who is bound gets what was kept, each message
// once, however the shards fall behind each other; and what a crash leaves.
#include <set>
#include <string>

#include "broker/core/definitions_import.hpp"
#include "broker/definitions/definitions_json.hpp"
#include "tests/unit/broker/history_fixture.hpp"

namespace harrier::broker {
namespace {

class RecentHistoryTest : public HistoryFixture {
 protected:
  static Texts numbers(int from, int to) {
    Texts all;
    for (int i = from; i <= to; ++i) all.push_back(std::to_string(i));
    return all;
  }
  // Confirmed, if they are persistent.
  void publish_numbers(ShardId shard, int from, int to, bool persistent = true) {
    Client& client = open(shard);
    say(client, protocol::ConfirmSelect{});
    for (int i = from; i <= to; ++i) publish(client, "history", std::to_string(i), persistent);
    drain();
    EXPECT_GT(count_said(client, "basic.ack"), 0u);
  }
  void declare(std::int64_t length = 0, bool durable = true) {
    Client& client = open(0);
    declare_exchange(client, "history", "x-recent-history", length, durable);
    drain();
    EXPECT_EQ(client.said.back(), "exchange.declare-ok");
  }
  // Declares and binds it on that shard.
  void bind_new(std::string_view queue, ShardId shard, const protocol::Table& arguments = {}) {
    Client& client = open(shard);
    declare_queue(client, queue, arguments);
    bind(client, queue);
    drain();
    EXPECT_EQ(client.said.back(), "queue.bind-ok");
  }
  void import(const std::string& text) {
    ReadDefinitions read = read_definitions(text);
    ASSERT_TRUE(read.errors.empty()) << read.errors.front();
    tell_control(
        ImportDefinitions{std::make_shared<const Definitions>(std::move(read.definitions)), false,
                          [](const ImportReport& done) { EXPECT_TRUE(done.errors.empty()); }});
  }
  static Texts sorted(Texts texts) {
    std::ranges::sort(texts);
    return texts;
  }
};

TEST_F(RecentHistoryTest, HandsOverTheLastOnesInTheirOrder) {
  start(3);
  declare();
  for (int i = 1; i <= 25; ++i) publish_numbers(static_cast<ShardId>(i % 3), i, i, i % 2 == 0);
  EXPECT_EQ(kept(), 20u);
  for (const ShardId shard : {ShardId{0}, ShardId{1}, ShardId{2}}) {
    const std::string queue = "q" + std::to_string(shard);
    bind_new(queue, shard);
    EXPECT_EQ(take_all(queue), numbers(6, 25));
    bind_new(queue, shard);  // it is not new
    EXPECT_TRUE(take_all(queue).empty());
  }
  publish_numbers(1, 26, 26);
  EXPECT_EQ(take_all("q0"), numbers(26, 26));
  bind_new("q", 1);
  EXPECT_EQ(take_all("q"), numbers(7, 26));
}

TEST_F(RecentHistoryTest, AnotherLengthAndAnotherBindingOfTheSameQueue) {
  start(2);
  declare(3);
  publish_numbers(0, 1, 5);
  Client& client = open(1);
  declare_queue(client, "q");
  for (const std::string_view key : {"a", "b"}) {
    protocol::QueueBind method;
    method.queue = "q";
    method.exchange = "history";
    method.routing_key = key;
    say(client, method);
  }
  drain();
  EXPECT_EQ(take_all("q"), (Texts{"3", "4", "5", "3", "4", "5"}));
}

// As many as are handed over at a time, and more; in memory, or all of it in the store.
TEST_F(RecentHistoryTest, ALongOneComesInParts) {
  for (const bool in_store : {false, true}) {
    if (in_store) {
      options_.queue_window_bytes = 1;
      options_.resident_bytes_max = 0;
    }
    for (const bool persistent : {true, false}) {
      start(2);
      declare(2'500);
      publish_numbers(1, 1, 3'000, persistent);
      EXPECT_EQ(kept(), 2'500u);
      bind_new("q", 0);
      EXPECT_EQ(take_all("q"), numbers(501, 3'000)) << in_store << persistent;
      Client& client = open(0);
      delete_history(client);
      drain();
    }
  }
}

// More than a queue keeps in memory is in the store only.
TEST_F(RecentHistoryTest, MemoryDoesNotGrowWithIt) {
  options_.queue_window_bytes = 10'000;
  start(2);
  declare(5'000);
  publish_numbers(0, 1, 5'000);
  EXPECT_EQ(kept(), 5'000u);
  EXPECT_LE(find("amq.history.history")->resident_bytes, 10'000u);
  EXPECT_GT(find("amq.history.history")->messages_paged, 4'000u);
}

// ---- each message once ----

struct Race {
  unsigned shards = 3;
  bool through_exchange = false;
  bool in_store = false;
};

class HistoryRaceTest : public RecentHistoryTest, public testing::WithParamInterface<Race> {
 protected:
  static constexpr int kEach = 12;

  // Publishers on every shard, none of which waits for anything, while queues are bound.
  void race(std::uint64_t seed) {
    start_anew(seed, GetParam().shards);
    declare(1'000);
    Client& binder = open(static_cast<ShardId>(below(GetParam().shards)));
    declare_queue(binder, "q");
    declare_queue(binder, "r");
    drain();
    Texts all;
    for (ShardId shard = 0; shard < GetParam().shards; ++shard) {
      Client& publisher = open(shard);
      for (int i = 0; i < kEach; ++i) {
        const std::string key = std::to_string(shard) + "-" + std::to_string(i);
        publish(publisher, "history", key, below(2) == 0);
        all.push_back(key);
      }
    }
    std::ranges::sort(all);
    for (std::size_t steps = below(300); steps > 0; --steps) step();
    if (GetParam().through_exchange) {
      declare_exchange(binder, "next", "fanout");
      bind(binder, "q", "next");
      bind(binder, "r", "next");
      bind_exchange(binder, "next");
    } else {
      bind(binder, "q");
      bind(binder, "r");
    }
    drain();
    for (const std::string_view queue : {"q", "r"}) {
      ASSERT_EQ(sorted(take_all(queue)), all) << "seed " << seed << ", queue " << queue;
    }
  }
};

TEST_P(HistoryRaceTest, EveryMessageComesOnce) {
  if (GetParam().in_store) {
    options_.queue_window_bytes = 1;
    options_.resident_bytes_max = 0;
    options_.page_out_above_bytes = 1;
    message_bytes_ = 2;
  }
  for (std::uint64_t seed = 1; seed <= 60 && !HasFatalFailure(); ++seed) race(seed);
}

INSTANTIATE_TEST_SUITE_P(Shards, HistoryRaceTest,
                         testing::Values(Race{1, false, false}, Race{3, false, false},
                                         Race{3, true, false}, Race{3, false, true},
                                         Race{4, true, true}),
                         [](const auto& given) {
                           const Race& race = given.param;
                           return std::to_string(race.shards) + "Shards" +
                                  (race.through_exchange ? "ThroughAnother" : "") +
                                  (race.in_store ? "InTheStore" : "");
                         });

// The order of one publisher holds, if it publishes on after its bind has been answered.
TEST_F(RecentHistoryTest, WhatIsPublishedAfterBindOkComesBehind) {
  for (std::uint64_t seed = 1; seed <= 100; ++seed) {
    start_anew(seed, 3);
    declare();
    Client& client = open(static_cast<ShardId>(seed % 3));
    for (int i = 1; i <= 30; ++i) publish(client, "history", std::to_string(i));
    declare_queue(client, "q");
    bind(client, "q");
    for (int i = 31; i <= 35; ++i) publish(client, "history", std::to_string(i));
    drain();
    ASSERT_EQ(take_all("q"), numbers(11, 35)) << "seed " << seed;
  }
}

// Whoever binds what another is just binding has it when answered, and so has nobody who is
// refused.
TEST_F(RecentHistoryTest, TwoWhoBindTheSame) {
  for (std::uint64_t seed = 1; seed <= 50; ++seed) {
    start_anew(seed, 3);
    declare();
    publish_numbers(0, 1, 10);
    Client& one = open(1);
    declare_queue(one, "q");
    drain();
    Client& other = open(2);
    bind(one, "q");
    bind(other, "q");
    while (count_said(other, "queue.bind-ok") == 0) ASSERT_TRUE(step());
    start(3);  // a crash, at once
    ASSERT_EQ(take_all("q"), numbers(1, 10)) << "seed " << seed;
    bind_new("q", 1);
    ASSERT_TRUE(take_all("q").empty()) << "seed " << seed;
  }
}

// A binding that goes while its handover is on its way does not come back with the next start.
TEST_F(RecentHistoryTest, UnbindingMeanwhile) {
  for (std::uint64_t seed = 1; seed <= 100; ++seed) {
    start_anew(seed, 3);
    declare();
    publish_numbers(0, 1, 10);
    Client& one = open(1);
    declare_queue(one, "q");
    drain();
    Client& other = open(2);
    bind(one, "q");
    const bool deletes = seed % 2 == 0;
    for (std::size_t steps = below(30); steps > 0; --steps) step();
    if (deletes) {
      delete_history(other);
    } else {
      unbind(other, "q");
    }
    drain();
    EXPECT_EQ(other.said.back(), deletes ? "exchange.delete-ok" : "queue.unbind-ok");
    EXPECT_TRUE(one.said.back() == "queue.bind-ok" || one.said.back() == "channel.close");
    // In one order or the other.
    const bool is_bound = has_binding("q");
    start(2);
    take_all("q");
    if (deletes) declare();
    publish_numbers(1, 11, 11);
    ASSERT_EQ(take_all("q").size(), is_bound ? 1u : 0u) << "seed " << seed;
  }
}

TEST_F(RecentHistoryTest, DuplicatesAreNeitherKeptNorHandedOver) {
  start(3);
  Client& client = open(1);
  protocol::ExchangeDeclare method;
  const auto arguments = protocol::Table().add_bool("x-message-deduplication", true);
  method.exchange = "history";
  method.type = "x-recent-history";
  method.durable = true;
  method.arguments = arguments.view();
  say(client, method);
  publish(client, "history", "1", true, "id");
  publish(client, "history", "2", true, "id");
  declare_queue(client, "q");
  bind(client, "q");
  publish(client, "history", "3", true, "id");  // handed over before
  publish(client, "history", "4", true, "another");
  drain();
  EXPECT_EQ(take_all("q"), (Texts{"1", "4"}));
}

TEST_F(RecentHistoryTest, AFullQueueMayRefuse) {
  start(2);
  declare();
  publish_numbers(0, 1, 10);
  bind_new("q", 1,
           protocol::Table().add_int64("x-max-length", 4).add("x-overflow", "reject-publish"));
  EXPECT_EQ(take_all("q"), numbers(1, 4));
  bind_new("r", 1,
           protocol::Table().add_int64("x-max-length", 4).add("x-overflow", "block-publisher"));
  EXPECT_EQ(take_all("r"), numbers(1, 10));
  bind_new("s", 0, protocol::Table().add_int64("x-max-length", 4));
  EXPECT_EQ(take_all("s"), numbers(7, 10));
}

// ---- restarts ----

TEST_F(RecentHistoryTest, SurvivesACrash) {
  start(3);
  declare(10);
  publish_numbers(1, 1, 12);
  publish_numbers(2, 13, 15, false);
  bind_new("q", 2);
  EXPECT_EQ(take_all("q"), numbers(6, 15));
  for (const unsigned shards : {1u, 4u, 2u}) {
    start(shards);
    EXPECT_EQ(kept(), 7u);  // transient ones are gone
    bind_new("q", 0);       // it is bound still
    EXPECT_TRUE(take_all("q").empty());
    const std::string queue = "r" + std::to_string(shards);
    bind_new(queue, static_cast<ShardId>(shards - 1));
    EXPECT_EQ(take_all(queue), numbers(6, 12));
  }
  publish_numbers(1, 16, 20);
  EXPECT_EQ(kept(), 10u);
  EXPECT_EQ(take_all("q"), numbers(16, 20));
}

// A transient exchange's goes with it.
TEST_F(RecentHistoryTest, NothingIsLeftOfATransientOne) {
  start(2);
  declare(0, false);
  publish_numbers(1, 1, 5);
  bind_new("q", 0);
  EXPECT_EQ(take_all("q"), numbers(1, 5));
  start(2);
  EXPECT_FALSE(find("amq.history.history"));
  declare();
  EXPECT_EQ(kept(), 0u);
}

// At any moment: a binding that was answered is there, with all that was kept; one that was not is
// not there, or it is complete.
TEST_F(RecentHistoryTest, ACrashInBetween) {
  unsigned answered = 0;
  for (std::uint64_t seed = 1; seed <= 300; ++seed) {
    start_anew(seed, 3);
    declare();
    publish_numbers(static_cast<ShardId>(seed % 3), 1, 10);
    Client& client = open(static_cast<ShardId>(below(3)));
    declare_queue(client, "q");
    drain();
    bind(client, "q");
    for (std::size_t steps = below(60); steps > 0; --steps) step();
    const bool was_answered = count_said(client, "queue.bind-ok") > 0;
    if (was_answered) ++answered;
    start(3);
    const std::uint64_t before = find("q")->messages_ready;
    bind_new("q", 1);
    const std::uint64_t after = find("q")->messages_ready;
    const Texts found = take_all("q");
    const std::set<std::string> different(found.begin(), found.end());
    ASSERT_EQ(different.size(), 10u) << "seed " << seed;
    ASSERT_TRUE(before == 10u || !was_answered) << "seed " << seed;
    // Handed over once more only if it had not been written down.
    ASSERT_TRUE(after == before || after == before + 10) << "seed " << seed;
  }
  EXPECT_GT(answered, 10u);
  EXPECT_LT(answered, 290u);
}

TEST_F(RecentHistoryTest, NothingIsLeftOfOneThatGoes) {
  for (const bool auto_delete : {false, true}) {
    start(3);
    Client& client = open(1);
    protocol::ExchangeDeclare method;
    method.exchange = "history";
    method.type = "x-recent-history";
    method.durable = true;
    method.auto_delete = auto_delete;
    say(client, method);
    publish(client, "history", "1");
    declare_queue(client, "q");
    bind(client, "q");
    drain();
    EXPECT_EQ(take_all("q"), Texts{"1"});
    EXPECT_EQ(store_->stats().messages, 1u);
    if (auto_delete) {
      unbind(client, "q");
    } else {
      delete_history(client);
    }
    drain();
    EXPECT_FALSE(find("amq.history.history"));
    EXPECT_EQ(store_->stats().messages, 0u);
    start(2);
    EXPECT_FALSE(find("amq.history.history"));
    declare();
    EXPECT_EQ(kept(), 0u);
    Client& again = open(0);
    delete_history(again);
    drain();
  }
}

TEST_F(RecentHistoryTest, ABindingOfADefinitionsFileHandsNothingOver) {
  start(2);
  declare();
  publish_numbers(0, 1, 5);
  Client& client = open(1);
  declare_queue(client, "q");
  drain();
  import(R"({"bindings": [{"source": "history", "vhost": "/", "destination": "q",
    "destination_type": "queue", "routing_key": "", "arguments": {}}]})");
  EXPECT_TRUE(take_all("q").empty());
  publish_numbers(0, 6, 6);
  EXPECT_EQ(take_all("q"), numbers(6, 6));
  start(2);
  publish_numbers(0, 7, 7);
  EXPECT_EQ(take_all("q"), numbers(7, 7));
}

// Nor does a time to live of its messages: that is for the queues that get them.
TEST_F(RecentHistoryTest, NoPolicyReachesIt) {
  start(2);
  declare();
  import(R"({"policies": [{"vhost": "/", "name": "p", "pattern": ".*", "apply-to": "queues",
    "definition": {"max-length": 2, "message-ttl": 0}}]})");
  publish_numbers(0, 1, 5);
  EXPECT_EQ(kept(), 5u);
  start(2);
  EXPECT_EQ(kept(), 5u);
}

}  // namespace
}  // namespace harrier::broker
