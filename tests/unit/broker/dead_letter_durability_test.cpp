// SPDX-License-Identifier: Apache-2.0
//
// Dead letters between shards: what takes the message off its queue in the store and what puts it
// into the next ones are one transaction.
#include <map>
#include <random>

#include "persistence/memory_store.hpp"
#include "tests/unit/broker/session_fixture.hpp"

namespace harrier::broker {
namespace {

using persistence::TransactionPart;
using Texts = std::vector<std::string>;

class DeadLetterDurabilityTest : public SessionFixture {
 protected:
  DeadLetterDurabilityTest() : SessionFixture(3, true) {}

  void declare(ShardId shard, std::string_view name, bool durable,
               const protocol::Table& arguments = {}) {
    protocol::QueueDeclare declare;
    declare.queue = name;
    declare.durable = durable;
    declare.arguments = arguments.view();
    send(session(shard), 1, declare);
    settle();
  }

  Session& session(ShardId shard) {
    if (!sessions[shard]) sessions[shard] = &open(shard);
    return *sessions[shard];
  }

  static protocol::Table to(std::string_view queue) {
    protocol::Table arguments;
    arguments.add("x-dead-letter-exchange", "").add("x-dead-letter-routing-key", queue);
    return arguments;
  }

  void get_and_reject(Session& by, std::string_view queue, std::uint64_t tag) {
    protocol::BasicGet get;
    get.queue = queue;
    send(by, 1, get);
    exchange();
    protocol::BasicReject reject;
    reject.delivery_tag = tag;
    reject.requeue = false;
    send(by, 1, reject);
    exchange();
  }

  std::map<ShardId, std::vector<TransactionPart>> parts() const {
    std::map<ShardId, std::vector<TransactionPart>> all;
    for (const Waiting& each : waiting) {
      for (const TransactionPart& part : each.batch.joined()) all[each.shard].push_back(part);
    }
    return all;
  }

  QueueInfo info(std::string_view name) const {
    for (const auto& engine : engines) {
      for (const QueueInfo& info : engine->queue_infos()) {
        if (info.name == name) return info;
      }
    }
    ADD_FAILURE() << name << " is not there";
    return {};
  }

  std::map<ShardId, Session*> sessions;
};

TEST_F(DeadLetterDurabilityTest, LeavingAndArrivingAreOneTransaction) {
  declare(1, "dead", true);
  declare(2, "q", true, to("dead"));
  publish(session(0), "q", true);
  settle();
  get_and_reject(session(0), "q", 1);
  ASSERT_EQ(waiting.size(), 2u);
  std::map<ShardId, const persistence::WriteBatch*> batches;
  for (const Waiting& each : waiting) batches[each.shard] = &each.batch;
  ASSERT_TRUE(batches.contains(1) && batches.contains(2));
  ASSERT_EQ(batches[2]->records().size(), 1u);
  EXPECT_TRUE(std::holds_alternative<persistence::Settle>(batches[2]->records()[0]));
  ASSERT_EQ(batches[1]->records().size(), 1u);
  EXPECT_TRUE(std::holds_alternative<persistence::Enqueue>(batches[1]->records()[0]));
  const auto joined = parts();
  ASSERT_EQ(joined.size(), 2u);
  ASSERT_EQ(joined.at(1).size(), 1u);
  EXPECT_EQ(joined.at(1), joined.at(2));
  EXPECT_EQ(joined.at(1)[0].parts, 2u);
  settle();
  EXPECT_EQ(info("dead").messages_ready, 1u);
  EXPECT_EQ(info("q").messages_ready + info("q").messages_unacknowledged, 0u);
}

TEST_F(DeadLetterDurabilityTest, OneShardNeedsOneBatch) {
  declare(2, "dead", true);
  declare(2, "q", true, to("dead"));
  publish(session(0), "q", true);
  settle();
  get_and_reject(session(0), "q", 1);
  ASSERT_EQ(waiting.size(), 1u);
  EXPECT_EQ(waiting[0].batch.records().size(), 2u);
  EXPECT_TRUE(waiting[0].batch.joined().empty());
  settle();
}

TEST_F(DeadLetterDurabilityTest, WhatIsNotStoredJoinsNothing) {
  declare(0, "memory", false, to("dead"));
  declare(1, "dead", true);
  declare(2, "q", true, to("memory"));
  publish(session(0), "q", false);
  settle();
  get_and_reject(session(0), "q", 1);
  EXPECT_TRUE(waiting.empty());  // transient
  EXPECT_EQ(info("memory").messages_ready, 1u);

  publish(session(0), "q", true);
  settle();
  get_and_reject(session(0), "q", 2);
  ASSERT_EQ(waiting.size(), 1u);  // it leaves the store, and goes where nothing is stored
  EXPECT_TRUE(parts().empty());
  settle();

  get_and_reject(session(0), "memory", 3);  // transient
  EXPECT_TRUE(waiting.empty());
  get_and_reject(session(0), "memory", 4);
  ASSERT_EQ(waiting.size(), 1u);  // it comes into the store, from where nothing was stored
  EXPECT_TRUE(parts().empty());
  settle();
  EXPECT_EQ(info("dead").messages_ready, 2u);
}

TEST_F(DeadLetterDurabilityTest, AChainOverShardsAndACircleEnd) {
  protocol::Table full = to("b");
  full.add_int32("x-max-length", 0);
  declare(0, "a", true, full);
  full = to("c");
  full.add_int32("x-max-length", 0);
  declare(1, "b", true, full);
  full = to("a");
  full.add_int32("x-max-length", 0);
  declare(2, "c", true, full);
  publish(session(1), "a", true);
  settle();
  for (const char* name : {"a", "b", "c"}) EXPECT_EQ(info(name).messages_ready, 0u) << name;
  EXPECT_EQ(info("a").messages_published, 1u);  // it did not come back
  EXPECT_EQ(info("c").messages_published, 1u);
}

TEST_F(DeadLetterDurabilityTest, AFullQueueTakesDeadLetters) {
  protocol::Table full;
  full.add_int32("x-max-length", 0).add("x-overflow", "reject-publish");
  declare(1, "dead", true, full);
  declare(2, "q", true, to("dead"));
  publish(session(0), "q", true);
  settle();
  get_and_reject(session(0), "q", 1);
  settle();
  EXPECT_EQ(info("dead").messages_ready, 1u);
  publish(session(0), "dead", true);
  settle();
  EXPECT_EQ(info("dead").messages_ready, 1u);  // refused
}

// A power cut at any moment while messages die: of what every shard has handed to the store some
// first part survives, transactions whole. Each message is there once afterwards.
class DeadLetterCrashTest : public DeadLetterDurabilityTest,
                            public testing::WithParamInterface<unsigned> {
 protected:
  using Batches = std::vector<Waiting>;

  unsigned below(std::size_t n) { return static_cast<unsigned>(dice() % n); }

  void publish_named(Session& by, std::string_view queue, int number) {
    protocol::BasicPublish method;
    method.routing_key = queue;
    send(by, 1, method);
    protocol::Properties properties;
    properties.delivery_mode = std::uint8_t{2};
    properties.message_id = std::to_string(number);
    const Bytes encoded = properties.encode();
    const std::size_t size = protocol::kContentHeaderSize + encoded.size();
    Bytes header(protocol::kFrameOverhead + size);
    auto* at = protocol::put_frame_header(header.data(), protocol::FrameType::Header, 1, size);
    at = protocol::put_content_header(at, protocol::BasicPublish::kId.class_id, 0);
    protocol::put_u8(protocol::put_raw(at, encoded), protocol::kFrameEnd);
    ASSERT_EQ(by.receive(header), header.size());
  }

  Batches take_durable() {
    Batches all;
    for (exchange(); !waiting.empty(); exchange()) {
      all.push_back(waiting.front());
      release(waiting.front().shard);
    }
    return all;
  }

  // How many of each shard's batches survive: any number, but no torn transaction.
  std::map<ShardId, std::size_t> cut(const Batches& batches) {
    std::map<ShardId, std::vector<const persistence::WriteBatch*>> lines;
    for (const Waiting& each : batches) lines[each.shard].push_back(&each.batch);
    std::map<ShardId, std::size_t> survive;
    for (const auto& [shard, line] : lines) survive[shard] = below(line.size() + 1);
    for (bool torn = true; torn;) {
      torn = false;
      std::map<std::uint64_t, std::uint32_t> there;
      for (const auto& [shard, line] : lines) {
        for (std::size_t i = 0; i < survive[shard]; ++i) {
          for (const TransactionPart& part : line[i]->joined()) ++there[part.transaction];
        }
      }
      for (const auto& [shard, line] : lines) {
        for (std::size_t i = 0; i < survive[shard]; ++i) {
          for (const TransactionPart& part : line[i]->joined()) {
            if (there[part.transaction] == part.parts) continue;
            survive[shard] = i;
            torn = true;
          }
        }
      }
    }
    return survive;
  }

  std::vector<int> left_after(const Batches& before, const Batches& then) {
    persistence::MemoryStore store;
    for (const Waiting& each : before) store.commit(each.batch, nullptr);
    auto survive = cut(then);
    for (const Waiting& each : then) {
      if (survive[each.shard] == 0) continue;
      --survive[each.shard];
      store.commit(each.batch, nullptr);
    }
    std::vector<int> numbers;
    for (std::uint64_t id = 0; id < 100; ++id) {
      const auto add = [&](const persistence::Fetched& page) {
        for (const auto& stored : page.messages) {
          const auto name = stored.message->properties().text(protocol::kMessageId);
          numbers.push_back(std::stoi(std::string(name.value_or("-1"))));
        }
      };
      store.fetch(persistence::QueueId{id}, 0, ~std::size_t{0}, add);
    }
    std::ranges::sort(numbers);
    return numbers;
  }

  std::mt19937 dice{GetParam()};
};

TEST_P(DeadLetterCrashTest, NoneIsLostAndNoneIsTwice) {
  constexpr int kMessages = 30;
  declare(0, "last", true);
  protocol::Table arguments = to("last");
  arguments.add_int32("x-max-length", 5);
  declare(1, "dead", true, arguments);
  declare(2, "q", true, to("dead"));
  std::vector<int> all;
  Session& client = session(0);
  for (int number = 1; number <= kMessages; ++number) {
    publish_named(client, "q", number);
    all.push_back(number);
  }
  const Batches before = take_durable();
  for (int number = 0; number < kMessages; ++number) {
    protocol::BasicGet get;
    get.queue = "q";
    send(client, 1, get);
    exchange();
  }
  for (std::uint64_t tag = 1; tag <= kMessages; ++tag) {
    protocol::BasicReject reject;
    reject.delivery_tag = tag;
    reject.requeue = false;
    send(client, 1, reject);
    if (below(3) == 0) exchange();
  }
  const Batches then = take_durable();
  EXPECT_EQ(info("dead").messages_ready, 5u);
  EXPECT_EQ(info("last").messages_ready, 25u);
  for (int i = 0; i < 20; ++i) EXPECT_EQ(left_after(before, then), all);
}

INSTANTIATE_TEST_SUITE_P(Seeds, DeadLetterCrashTest, testing::Range(1u, 11u));

}  // namespace
}  // namespace harrier::broker
