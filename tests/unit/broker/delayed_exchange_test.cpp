// SPDX-License-Identifier: Apache-2.0
//
// Exchanges that delay, in a whole broker of several shards over a store: what waits there survives
// a crash and another number of shards, a policy acts at once, and nothing is left of an exchange
// that goes.
#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "broker/auth/builtin_authenticator.hpp"
#include "broker/core/definitions_import.hpp"
#include "broker/core/delayed_messages.hpp"
#include "broker/core/engine.hpp"
#include "broker/core/recovery.hpp"
#include "broker/definitions/definitions_json.hpp"
#include "persistence/memory_store.hpp"

namespace harrier::broker {
namespace {

using Bytes = std::vector<std::uint8_t>;

class DelayedExchangeTest : public testing::Test {
 protected:
  DelayedExchangeTest() { start(3); }

  // As after a crash: only what the store has is there.
  void start(unsigned shards) {
    engines_.clear();
    sessions_.clear();
    for (unsigned id = 0; id < shards; ++id) add_engine(static_cast<ShardId>(id), shards);
    persistence::Recovery recovery;
    ASSERT_TRUE(store_.recover(recovery).ok());
    recovery.clean = false;
    std::vector<Engine*> engines;
    for (const auto& engine : engines_) engines.push_back(engine.get());
    const auto read_part = [this](StoreId part, Seq from) {
      persistence::Fetched page;
      store_.fetch(part, from, ~std::size_t{0},
                   [&](persistence::Fetched fetched) { page = std::move(fetched); });
      return page;
    };
    const RestoreResult result = restore(engines, std::move(recovery), read_part);
    EXPECT_TRUE(result.errors.empty());
    advance(0);
  }

  void add_engine(ShardId shard, unsigned shards) {
    CoreOptions options;
    options.shards = shards;
    EngineWorld world;
    world.authenticator = std::make_shared<BuiltinAuthenticator>();
    world.random = [](std::span<std::uint8_t> bytes) { std::ranges::fill(bytes, 1); };
    world.connection_count = [] { return 1u; };
    world.message_bytes = [] { return std::uint64_t{0}; };
    world.commit = [this, shard](persistence::WriteBatch batch, std::uint64_t number) {
      store_.commit(std::move(batch), [](const persistence::Status&) {});
      durable_.push_back({shard, number});
    };
    world.fetch = [this, shard](StoreId part, const FetchRequest& request) {
      store_.fetch(part, request.from, request.bytes_max, [&](persistence::Fetched page) {
        fetched_.push_back(
            {shard, Fetched{part, request.token, std::move(page.messages), page.next}});
      });
    };
    world.log = [](int level, const std::string& line) { EXPECT_LT(level, 3) << line; };
    engines_.push_back(std::make_unique<Engine>(shard, options, std::move(world)));
    engines_.back()->set_now(now_);
  }

  void exchange() {
    for (bool moved = true; moved;) {
      moved = false;
      for (auto& from : engines_) {
        from->end_turn();
        for (const auto& [shard, number] : std::exchange(durable_, {}))
          engines_[shard]->handle(Durable{number}, shard);
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

  void advance(Millis ms) {
    now_ += ms;
    for (auto& engine : engines_) {
      engine->set_now(now_);
      engine->tick();
    }
    exchange();
  }

  Session& session(ShardId shard) {
    sessions_.resize(engines_.size());
    if (sessions_[shard] != nullptr) return *sessions_[shard];
    Session& made = engines_[shard]->open_connection({"127.0.0.1", 1, "127.0.0.1", 2});
    sessions_[shard] = &made;
    made.receive(protocol::kProtocolHeader);
    protocol::ConnectionStartOk start;
    start.response = std::string_view("\0guest\0guest", 12);
    protocol::ConnectionTuneOk tune;
    tune.channel_max = 10;
    tune.frame_max = 4'096;
    send(made, 0, start);
    send(made, 0, tune);
    send(made, 0, protocol::ConnectionOpen{});
    send(made, 1, protocol::ChannelOpen{});
    exchange();
    return made;
  }

  template <class M>
  void send(Session& session, std::uint16_t channel, const M& method) {
    Bytes bytes(protocol::frame_size(method));
    protocol::encode_frame(channel, method, bytes.data());
    ASSERT_EQ(session.receive(bytes), bytes.size());
    exchange();
  }

  void publish(ShardId shard, std::string_view exchange_name, std::int32_t delay_ms,
               std::string id = "", std::string_view wish = "") {
    protocol::BasicPublish method;
    method.exchange = exchange_name;
    method.routing_key = "key";
    send(session(shard), 1, method);
    protocol::Properties properties;
    properties.delivery_mode = std::uint8_t{2};
    properties.headers = protocol::Table().add_int32("x-delay", delay_ms);
    if (!wish.empty()) properties.headers->add_bool(wish, true);
    if (!id.empty()) properties.message_id = std::move(id);
    const Bytes encoded = properties.encode();
    const std::size_t size = protocol::kContentHeaderSize + encoded.size();
    Bytes header(protocol::kFrameOverhead + size);
    auto* at = protocol::put_frame_header(header.data(), protocol::FrameType::Header, 1, size);
    at = protocol::put_content_header(at, protocol::BasicPublish::kId.class_id, 0);
    protocol::put_u8(protocol::put_raw(at, encoded), protocol::kFrameEnd);
    ASSERT_EQ(session(shard).receive(header), header.size());
    exchange();
  }

  // A durable queue "q" on that shard, bound to a durable exchange "later" of this type.
  void set_up(ShardId shard, std::string_view type, bool auto_delete = false) {
    protocol::QueueDeclare queue;
    queue.queue = "q";
    queue.durable = true;
    send(session(shard), 1, queue);
    protocol::ExchangeDeclare declare;
    const auto arguments = protocol::Table().add("x-delayed-type", "direct");
    declare.exchange = "later";
    declare.type = type;
    declare.durable = true;
    declare.auto_delete = auto_delete;
    if (type == "x-delayed-message") declare.arguments = arguments.view();
    send(session(0), 1, declare);
    protocol::QueueBind bind;
    bind.queue = "q";
    bind.exchange = "later";
    bind.routing_key = "key";
    send(session(0), 1, bind);
  }

  void import_policy(const std::string& definition) {
    ReadDefinitions read = read_definitions(
        R"({"policies": [{"vhost": "/", "name": "p", "pattern": "^later$",
          "apply-to": "exchanges", "definition": )" +
        definition + "}]}");
    ASSERT_TRUE(read.errors.empty()) << read.errors.front();
    engines_[0]->handle(
        ImportDefinitions{std::make_shared<const Definitions>(std::move(read.definitions)), false,
                          [](const ImportReport& done) { EXPECT_TRUE(done.errors.empty()); }},
        0);
    exchange();
  }

  std::optional<QueueInfo> find(std::string_view name) const {
    for (const auto& engine : engines_) {
      for (const QueueInfo& info : engine->queue_infos()) {
        if (info.name == name) return info;
      }
    }
    return std::nullopt;
  }
  std::uint64_t ready() const { return find("q")->messages_ready; }
  std::uint64_t waiting() const { return find("amq.delayed.later")->messages_delayed; }
  std::size_t stored(const std::string& prefix) const {
    persistence::Recovery recovery;
    EXPECT_TRUE(store_.recover(recovery).ok());
    return static_cast<std::size_t>(std::ranges::count_if(
        recovery.definitions,
        [&](const persistence::Define& each) { return each.name.starts_with(prefix); }));
  }

  Millis now_ = 1'000;
  mutable persistence::MemoryStore store_;
  std::vector<std::pair<ShardId, std::uint64_t>> durable_;
  std::vector<std::pair<ShardId, Fetched>> fetched_;
  std::vector<Session*> sessions_;
  std::vector<std::unique_ptr<Engine>> engines_;
};

TEST_F(DelayedExchangeTest, ACrashLosesNothingAndDoublesNothing) {
  for (const ShardId shard : {ShardId{0}, ShardId{1}, ShardId{2}}) {
    set_up(shard, "x-delayed-message");
    for (int i = 0; i < 60; ++i) publish(static_cast<ShardId>(i % 3), "later", 100 + 10 * i);
    advance(300);
    EXPECT_EQ(ready(), 21u);
    EXPECT_EQ(waiting(), 39u);
    start(1u + shard);
    EXPECT_EQ(ready(), 21u);
    EXPECT_EQ(waiting(), 39u);
    advance(200);
    EXPECT_EQ(ready(), 41u);
    now_ += 100;  // meanwhile the broker is not there
    start(4);
    EXPECT_EQ(ready(), 51u);
    publish(0, "later", 50);  // it delays still
    EXPECT_EQ(ready(), 51u);
    advance(1'000);
    EXPECT_EQ(ready(), 61u);
    EXPECT_EQ(waiting(), 0u);
    start(3);
    EXPECT_EQ(ready(), 61u);
    EXPECT_EQ(waiting(), 0u);
    protocol::QueueDelete gone;
    gone.queue = "q";
    send(session(0), 1, gone);
    protocol::ExchangeDelete exchange_gone;
    exchange_gone.exchange = "later";
    send(session(0), 1, exchange_gone);
  }
  EXPECT_EQ(store_.stats().messages, 0u);
}

TEST_F(DelayedExchangeTest, NothingIsLeftOfOneThatGoes) {
  for (const bool auto_delete : {false, true}) {
    set_up(1, "x-delayed-message", auto_delete);
    publish(0, "later", 1'000);
    EXPECT_EQ(waiting(), 1u);
    EXPECT_EQ(stored(std::string(kDelayedPrefix)), 1u);
    if (auto_delete) {  // with its last binding
      protocol::QueueUnbind unbind;
      unbind.queue = "q";
      unbind.exchange = "later";
      unbind.routing_key = "key";
      send(session(2), 1, unbind);
    } else {
      protocol::ExchangeDelete gone;
      gone.exchange = "later";
      send(session(2), 1, gone);
    }
    EXPECT_FALSE(find("amq.delayed.later"));
    EXPECT_EQ(store_.stats().messages, 0u);
    EXPECT_EQ(stored(std::string(kDelayedPrefix)), 0u);
    EXPECT_EQ(stored("amq.delayed.later"), 0u);
    set_up(1, "x-delayed-message", auto_delete);
    EXPECT_EQ(waiting(), 0u);
    advance(2'000);
    EXPECT_EQ(ready(), 0u);
    protocol::ExchangeDelete gone;
    gone.exchange = "later";
    send(session(2), 1, gone);
  }
}

// The queue that a message is for may go and come back: it is routed by what is there then.
TEST_F(DelayedExchangeTest, RoutesByTheBindingsOfThatMoment) {
  set_up(1, "x-delayed-message");
  publish(0, "later", 100);
  publish(0, "later", 300);
  protocol::QueueDelete gone;
  gone.queue = "q";
  send(session(0), 1, gone);
  advance(200);
  set_up(2, "x-delayed-message");
  EXPECT_EQ(waiting(), 1u);
  advance(200);
  EXPECT_EQ(ready(), 1u);
}

// Of all exchanges together, however many events the turn has.
TEST_F(DelayedExchangeTest, ATurnOfAShardRoutesABoundedNumber) {
  Engine& engine = *engines_[0];
  int released = 0;
  while (engine.may_release_delayed()) ASSERT_LT(++released, 10'000);
  EXPECT_GT(released, 1'000);
  EXPECT_FALSE(engine.may_release_delayed());
  engine.end_turn();
  EXPECT_TRUE(engine.may_release_delayed());
}

TEST_F(DelayedExchangeTest, CountsForNoLimitOfQueues) {
  ReadDefinitions read =
      read_definitions(R"({"vhost_limits": [{"vhost": "/", "value": {"max-queues": 1}}]})");
  ASSERT_TRUE(read.errors.empty()) << read.errors.front();
  engines_[0]->handle(
      ImportDefinitions{std::make_shared<const Definitions>(std::move(read.definitions)), false,
                        [](const ImportReport&) {}},
      0);
  exchange();
  protocol::ExchangeDeclare declare;
  const auto arguments = protocol::Table().add("x-delayed-type", "direct");
  declare.exchange = "later";
  declare.type = "x-delayed-message";
  declare.arguments = arguments.view();
  send(session(0), 1, declare);
  protocol::QueueDeclare queue;
  queue.queue = "q";
  send(session(0), 1, queue);
  EXPECT_TRUE(find("q"));
  queue.queue = "one-too-many";
  send(session(0), 1, queue);
  EXPECT_FALSE(find("one-too-many"));
}

using DelayedPolicyTest = DelayedExchangeTest;

constexpr const char* kDelayed = R"({"delayed": true})";

TEST_F(DelayedPolicyTest, ComesAndGoesAtOnce) {
  set_up(1, "direct");
  publish(0, "later", 500);
  EXPECT_EQ(ready(), 1u);  // it does not delay
  import_policy(kDelayed);
  publish(2, "later", 500);
  EXPECT_EQ(ready(), 1u);
  EXPECT_EQ(waiting(), 1u);
  start(2);  // it is in force after a restart
  publish(0, "later", 500);
  EXPECT_EQ(waiting(), 2u);
  import_policy(R"({"delayed": false})");
  publish(1, "later", 500);
  EXPECT_EQ(ready(), 2u);
  EXPECT_EQ(waiting(), 2u);
  start(3);  // what waits goes when it is due, policy or not
  EXPECT_EQ(waiting(), 2u);
  advance(500);
  EXPECT_EQ(ready(), 4u);
  EXPECT_EQ(waiting(), 0u);
  import_policy(kDelayed);
  publish(0, "later", 100);
  EXPECT_EQ(waiting(), 1u);
}

// A duplicate is told when it comes, not when it is due; a cancel has the id of what it cancels.
TEST_F(DelayedPolicyTest, MayDeduplicateToo) {
  set_up(1, "direct");
  import_policy(R"({"delayed": true, "message-deduplication": true, "cache-size": 10})");
  publish(0, "later", 100, "one");
  publish(2, "later", 100, "one");
  publish(0, "later", 200, "two");
  EXPECT_EQ(waiting(), 2u);
  start(2);
  publish(1, "later", 100, "one");
  EXPECT_EQ(waiting(), 2u);
  advance(150);
  EXPECT_EQ(ready(), 1u);
  publish(1, "later", 100, "one");
  publish(1, "later", 0, "two", "x-delay-cancel");
  EXPECT_EQ(waiting(), 0u);
  advance(500);
  EXPECT_EQ(ready(), 1u);
}

}  // namespace
}  // namespace harrier::broker
