// SPDX-License-Identifier: Apache-2.0
//
// Which queues of a shard give something up, and when: one engine without sockets.
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "broker/auth/builtin_authenticator.hpp"
#include "broker/core/engine.hpp"

namespace harrier::broker {
namespace {

constexpr std::uint64_t kWindowMessages = 4;

protocol::MessagePtr message(bool persistent) {
  protocol::Properties properties;
  if (persistent) properties.delivery_mode = std::uint8_t{2};
  const std::vector<std::uint8_t> body(1'000);
  return protocol::Message::create("", "q", properties.encode(), body);
}

class EnginePagingTest : public testing::Test {
 protected:
  EnginePagingTest() {
    CoreOptions options;
    options.shards = 2;  // shard 0 would have to know the definitions
    options.queue_window_bytes = kWindowMessages * size;
    options.resident_bytes_max = 3 * kWindowMessages * size;
    options.page_out_above_bytes = 1'000;
    EngineWorld world;
    world.authenticator = std::make_shared<BuiltinAuthenticator>();
    world.random = [](std::span<std::uint8_t> bytes) { std::ranges::fill(bytes, 1); };
    world.connection_count = [] { return 1u; };
    world.message_bytes = [this] { return memory_used; };
    world.commit = [](persistence::WriteBatch, std::uint64_t) {};
    world.fetch = [this](StoreId part, const FetchRequest&) { fetched.push_back(queue_of(part)); };
    world.page_out = [this](StoreId part, std::vector<persistence::StoredMessage> messages,
                            std::uint64_t token) {
      pieces.push_back({part, token});
      paged_out += messages.size();
    };
    world.drop_paged = [this](StoreId part, Seq, Seq) { dropped.push_back(queue_of(part)); };
    world.log = [](int level, const std::string& line) { EXPECT_LT(level, 3) << line; };
    engine = std::make_unique<Engine>(ShardId{1}, options, std::move(world));
    end_turn();
  }

  void end_turn() {
    now += 100;
    engine->set_now(now);
    engine->end_turn();
  }
  void create(std::uint64_t id) {
    routing::QueueEntry entry;
    entry.id = QueueId{id};
    entry.name = "q" + std::to_string(id);
    entry.durable = true;
    engine->handle(CreateQueue{"/", std::make_shared<const routing::QueueEntry>(entry)}, 0);
  }
  void publish(std::uint64_t id, std::uint64_t count, bool persistent = true) {
    for (; count > 0; --count) engine->handle(Publish{QueueId{id}, message(persistent), {}, 0}, 0);
  }
  void get(std::uint64_t id) { engine->handle(Get{QueueId{id}, {}, true, {}}, 0); }
  void consume(std::uint64_t id) {
    Consume request;
    request.queue = QueueId{id};
    request.consumer.channel.number = static_cast<std::uint16_t>(id);
    request.prefetch = 1;
    engine->handle(std::move(request), 0);
  }
  std::uint64_t resident(std::uint64_t id) {
    for (const QueueInfo& info : engine->queue_infos()) {
      if (info.id == QueueId{id}) return info.resident_bytes / size;
    }
    ADD_FAILURE() << "no queue " << id;
    return 0;
  }

  const std::uint64_t size = message(true)->footprint();
  Millis now = 1'000;
  std::uint64_t memory_used = 0;
  std::vector<QueueId> fetched;
  std::vector<QueueId> dropped;
  std::vector<PagedOut> pieces;
  std::size_t paged_out = 0;
  std::unique_ptr<Engine> engine;
};

TEST_F(EnginePagingTest, TheShardsLimitHoldsForAllQueuesTogether) {
  for (std::uint64_t id = 1; id <= 20; ++id) {
    create(id);
    publish(id, 10);
    EXPECT_LE(engine->info().resident_bytes, 3 * kWindowMessages * size);
  }
  end_turn();
  for (const QueueInfo& info : engine->queue_infos()) EXPECT_EQ(info.messages_ready, 10u);
}

TEST_F(EnginePagingTest, AQueueWithConsumersTakesTheMemoryOfThoseWithout) {
  for (const std::uint64_t id : {1u, 2u, 3u}) {
    create(id);
    publish(id, 10);
  }
  create(4);
  get(2);  // in use: it gets a second chance
  get(2);
  consume(4);
  publish(4, 3);
  EXPECT_EQ(resident(4), 2u) << "little, but not nothing; one is out";
  end_turn();
  EXPECT_EQ(resident(1), 0u);
  EXPECT_GT(resident(2), 0u);
  publish(4, 10);
  EXPECT_EQ(resident(4), kWindowMessages + kWindowMessages / 2) << "the window and the tail";
}

TEST_F(EnginePagingTest, TransientMessagesGoInPiecesWhileMemoryIsShort) {
  for (const std::uint64_t id : {1u, 2u}) {
    create(id);
    publish(id, 6'000, false);
  }
  end_turn();
  EXPECT_TRUE(pieces.empty());
  memory_used = 1'001;
  end_turn();
  ASSERT_EQ(pieces.size(), 4u) << "on their way at the same time";
  EXPECT_EQ(pieces[0].part, StoreId{1});
  EXPECT_EQ(pieces[1].part, StoreId{2}) << "in turns";
  end_turn();
  EXPECT_EQ(pieces.size(), 4u);
  for (std::size_t i = 0; i < pieces.size(); ++i) engine->handle(PagedOut{pieces[i]}, 0);
  EXPECT_EQ(paged_out, 2 * (6'000 - kWindowMessages));
  for (const QueueInfo& info : engine->queue_infos()) EXPECT_EQ(info.messages_ready, 6'000u);
}

TEST_F(EnginePagingTest, PagingOutEndsWhenThereIsRoomAgain) {
  create(1);
  publish(1, 6'000, false);
  memory_used = 1'001;
  end_turn();
  const std::size_t before = pieces.size();
  memory_used = 1'000;
  for (std::size_t i = 0; i < before; ++i) engine->handle(PagedOut{pieces[i]}, 0);
  end_turn();
  EXPECT_EQ(pieces.size(), before);
}

TEST_F(EnginePagingTest, APieceOfAQueueThatHasGoneIsDropped) {
  create(1);
  publish(1, 100, false);
  memory_used = 1'001;
  end_turn();
  ASSERT_EQ(pieces.size(), 1u);
  engine->handle(DropQueue{1, QueueId{1}}, 0);
  dropped.clear();
  engine->handle(PagedOut{pieces[0]}, 0);
  EXPECT_EQ(dropped, std::vector<QueueId>{QueueId{1}});
  engine->handle(Fetched{StoreId{1}, 1, {}, {}}, 0);  // nobody is there any more
}

}  // namespace
}  // namespace harrier::broker
