// SPDX-License-Identifier: Apache-2.0
//
// Deduplication: the window alone against a naive one; queues that deduplicate; and what restarts
// and power cuts leave of it.
#include "broker/core/deduplication.hpp"

#include <deque>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "broker/auth/builtin_authenticator.hpp"
#include "broker/core/engine.hpp"
#include "broker/core/recovery.hpp"
#include "persistence/memory_store.hpp"

namespace harrier::broker {
namespace {

using protocol::Table;

// Remembers everything and looks through all of it.
class NaiveWindow {
 public:
  bool holds(int id, Millis now) const {
    for (auto at = entries_.rbegin(); at != entries_.rend(); ++at) {
      if (at->id == id) return at->until > now;
    }
    return false;
  }
  void add(int id, Seq seq, Millis until) { entries_.push_back({id, seq, until}); }
  std::vector<Seq> trim(std::uint32_t ids_max, Millis now) {
    std::vector<Seq> left;
    while (!entries_.empty() && (entries_.size() > ids_max || entries_.front().until <= now)) {
      if (entries_.front().seq != 0) left.push_back(entries_.front().seq);
      entries_.pop_front();
    }
    return left;
  }
  std::size_t size() const { return entries_.size(); }

 private:
  struct Entry {
    int id;
    Seq seq;
    Millis until;
  };
  std::deque<Entry> entries_;
};

std::string id_text(const protocol::Message& message) {
  std::string room;
  return std::string(dedup_id(message, room));
}

TEST(DedupWindow, IsLikeANaiveOne) {
  for (unsigned seed = 1; seed <= 20; ++seed) {
    std::mt19937 dice(seed);
    const auto below = [&](unsigned n) { return static_cast<unsigned>(dice()) % n; };
    const std::uint32_t ids_max = 1 + below(30);
    DedupWindow window;
    NaiveWindow naive;
    Millis now = 1'000;
    Seq seq = 0;
    for (int step = 0; step < 3'000; ++step) {
      now += below(3);
      const int id = static_cast<int>(below(60));
      const auto digest = DedupWindow::digest(std::to_string(id));
      ASSERT_EQ(window.holds(digest, now), naive.holds(id, now)) << "seed " << seed;
      if (naive.holds(id, now)) continue;
      const Millis until = below(4) == 0 ? kNeverDue : now + 1 + below(40);
      const Seq stored = below(3) == 0 ? 0 : ++seq;
      window.add({digest, stored, until});
      naive.add(id, stored, until);
      std::vector<Seq> left;
      window.trim(ids_max, now, [&](Seq gone) { left.push_back(gone); });
      ASSERT_EQ(left, naive.trim(ids_max, now)) << "seed " << seed;
      ASSERT_EQ(window.size(), naive.size());
    }
  }
}

MessagePtr message_of(const Table& headers, std::string_view message_id = {}) {
  protocol::Properties properties;
  properties.delivery_mode = std::uint8_t{2};
  if (!headers.empty()) properties.headers = headers;
  if (!message_id.empty()) properties.message_id = std::string(message_id);
  return protocol::Message::create("x", "q", properties.encode(), protocol::ByteView());
}

TEST(DedupId, IsTheHeaderAsTextOrElseTheMessageId) {
  const auto id = [](const Table& headers) { return id_text(*message_of(headers, "mine")); };
  EXPECT_EQ(id(Table().add("x-deduplication-header", "a")), "a");
  EXPECT_EQ(id(Table().add_int32("x-deduplication-header", 5)), "5");
  EXPECT_EQ(id(Table().add_int64("x-deduplication-header", 5)), "5");
  EXPECT_EQ(id(Table().add_bool("x-deduplication-header", true)), "true");
  EXPECT_EQ(id(Table().add_timestamp("x-deduplication-header", 7)), "7");
  EXPECT_EQ(id(Table().add("x-deduplication-header", "")), "mine");
  EXPECT_EQ(id(Table().add_void("x-deduplication-header")), "mine");
  EXPECT_EQ(id(Table().add_table("x-deduplication-header", Table())), "mine");
  EXPECT_EQ(id(Table().add("other", "a")), "mine");
  EXPECT_EQ(id({}), "mine");
  EXPECT_EQ(id_text(*message_of({})), "");
}

// Two shards whose write batches wait until the test makes them durable. The publisher's connection
// is on shard 1, so that answers to it can be seen.
class DedupTest : public testing::Test {
 protected:
  static constexpr Millis kEpoch = 1'700'000'000'000;
  static constexpr ChannelRef kPublisher{ConnectionId{1}, 1, 1};

  DedupTest() { start(); }

  void start() {
    engines_.clear();
    for (ShardId shard = 0; shard < 2; ++shard) {
      CoreOptions options;
      options.shards = 2;
      EngineWorld world;
      world.authenticator = std::make_shared<BuiltinAuthenticator>();
      world.random = [](std::span<std::uint8_t> bytes) { std::ranges::fill(bytes, 1); };
      world.connection_count = [] { return 1u; };
      world.message_bytes = [] { return std::uint64_t{0}; };
      world.unix_minus_monotonic_ms = kEpoch;
      world.commit = [this, shard](persistence::WriteBatch batch, std::uint64_t number) {
        waiting_.push_back({shard, number, std::move(batch)});
      };
      world.fetch = [](StoreId, const FetchRequest&) {};  // nobody consumes
      world.log = [](int level, const std::string& line) { EXPECT_LT(level, 2) << line; };
      engines_.push_back(std::make_unique<Engine>(shard, options, std::move(world)));
    }
    persistence::Recovery recovery;
    recovery.head_bytes_max = 0;
    ASSERT_TRUE(store_->recover(recovery).ok());
    std::vector<Engine*> engines;
    for (const auto& engine : engines_) engines.push_back(engine.get());
    const auto read_part = [this](StoreId part, Seq from) {
      persistence::Fetched page;
      store_->fetch(part, from, 100, [&](persistence::Fetched read) { page = std::move(read); });
      return page;
    };
    EXPECT_TRUE(restore(engines, std::move(recovery), read_part).errors.empty());
    set_now(now_);
  }

  void set_now(Millis now) {
    now_ = now;
    for (const auto& engine : engines_) engine->set_now(now);
  }

  void exchange() {
    for (bool moved = true; moved;) {
      moved = false;
      for (const auto& from : engines_) {
        from->end_turn();
        for (ShardId to = 0; to < 2; ++to) {
          Outbox outbox = std::exchange(from->outbox(to), {});
          for (auto* messages : {&outbox.first, &outbox.rest}) {
            for (auto& message : *messages) {
              if (const auto* settled = std::get_if<PublishSettled>(&message))
                settled_.push_back(settled->confirm);
              engines_[to]->handle(std::move(message), from->self());
              moved = true;
            }
          }
        }
      }
    }
  }

  // All that waits becomes durable.
  void settle() {
    for (exchange(); !waiting_.empty(); exchange()) write_next();
  }
  void write_next() {
    Waiting next = std::move(waiting_.front());
    waiting_.pop_front();
    store_->commit(std::move(next.batch), [](const persistence::Status&) {});
    engines_[next.shard]->handle(Durable{next.number}, next.shard);
  }
  void restart() {
    settle();
    start();
  }
  // Of all that waits the first so many batches are on the disk.
  void cut_power(std::size_t batches) {
    exchange();
    for (; batches > 0 && !waiting_.empty(); --batches) write_next();
    waiting_.clear();
    start();
  }

  static Table deduplicating(std::int32_t size = 0, std::int32_t ttl_ms = 0) {
    Table arguments;
    arguments.add_bool("x-message-deduplication", true);
    if (size > 0) arguments.add_int32("x-cache-size", size);
    if (ttl_ms > 0) arguments.add_int32("x-cache-ttl", ttl_ms);
    return arguments;
  }

  void request(decltype(ControlRequest::change) change) {
    engines_[0]->handle(ControlRequest{{}, "/", std::move(change)}, 0);
    settle();
  }

  void declare(const Table& arguments, bool durable = true) {
    DeclareQueue change;
    change.queue.name = "q";
    change.queue.durable = durable;
    change.queue.arguments = arguments;
    change.preferred = 0;
    request(std::move(change));
  }

  QueueId queue() { return engines_[0]->find_vhost("/")->topology->find_queue("q")->id; }

  void publish(std::string_view id, std::uint64_t confirm = 0, DedupRule rule = {},
               std::optional<std::int64_t> ttl_ms = {}, bool persistent = true,
               std::string_view exchange_name = "x") {
    Table headers;
    headers.add("x-deduplication-header", id);
    if (ttl_ms) headers.add_int64("x-cache-ttl", *ttl_ms);
    protocol::Properties properties;
    properties.delivery_mode = static_cast<std::uint8_t>(persistent ? 2 : 1);
    properties.headers = headers;
    const auto message =
        protocol::Message::create(exchange_name, "q", properties.encode(), protocol::ByteView());
    engines_[0]->publish({queue(), message, kPublisher, confirm, rule});
  }

  QueueInfo info() {
    const auto infos = engines_[0]->queue_infos();
    EXPECT_EQ(infos.size(), 1u);
    return infos.empty() ? QueueInfo{} : infos[0];
  }
  std::uint64_t ready() { return info().messages_ready; }

  void purge() {
    engines_[0]->handle(Purge{queue(), {}}, 0);
    settle();
  }

  std::vector<persistence::StoredMessage> stored(QueuePart part) {
    std::vector<persistence::StoredMessage> messages;
    store_->fetch(store_id(queue(), part), 0, ~std::size_t{0},
                  [&](persistence::Fetched page) { messages = std::move(page.messages); });
    return messages;
  }

  struct Waiting {
    ShardId shard = 0;
    std::uint64_t number = 0;
    persistence::WriteBatch batch;
  };
  Millis now_ = 0;
  std::optional<persistence::MemoryStore> store_{std::in_place};
  std::deque<Waiting> waiting_;
  std::vector<std::uint64_t> settled_;
  std::vector<std::unique_ptr<Engine>> engines_;
};

TEST_F(DedupTest, OneOfEachIdAndItStaysWhenTheMessageHasGone) {
  declare(deduplicating());
  for (const char* id : {"a", "b", "a", "a", "b"}) publish(id);
  settle();
  EXPECT_EQ(ready(), 2u);
  purge();
  publish("a");
  publish("");
  publish("");
  EXPECT_EQ(ready(), 2u);  // those without an id
}

TEST_F(DedupTest, WithoutTheArgumentNothingIsDeduplicatedNorStored) {
  Table arguments;
  arguments.add_int32("x-cache-size", 5);
  declare(arguments);
  publish("a");
  publish("a");
  settle();
  EXPECT_EQ(ready(), 2u);
  EXPECT_TRUE(stored(QueuePart::Dedup).empty());
}

TEST_F(DedupTest, TheWindowEndsByNumber) {
  declare(deduplicating(3));
  for (const char* id : {"a", "b", "c", "a", "d", "b"}) publish(id);
  EXPECT_EQ(ready(), 4u);
  publish("a");
  EXPECT_EQ(ready(), 5u);
  settle();
  EXPECT_EQ(stored(QueuePart::Dedup).size(), 3u);
}

TEST_F(DedupTest, TheWindowEndsByTimeWhichAMessageMaySayItself) {
  declare(deduplicating(0, 1'000));
  publish("a");
  publish("b", 0, {}, 5'000);
  publish("c", 0, {}, 10);
  publish("d", 0, {}, INT64_MAX);
  set_now(999);
  for (const char* id : {"a", "b", "d"}) publish(id);
  EXPECT_EQ(ready(), 4u);
  publish("c");
  EXPECT_EQ(ready(), 5u);
  set_now(1'000);
  for (const char* id : {"a", "b", "c"}) publish(id);
  EXPECT_EQ(ready(), 6u);
  set_now(5'000);
  for (const char* id : {"b", "d"}) publish(id);
  EXPECT_EQ(ready(), 7u);
}

TEST_F(DedupTest, AnExchangeHasAWindowOfItsOwn) {
  declare({});
  const DedupRule rule{2, 0};
  publish("a", 0, rule);
  publish("a", 0, rule);
  EXPECT_EQ(ready(), 1u);
  publish("a", 0, rule, {}, true, "y");
  publish("a");  // by an exchange that does not deduplicate
  EXPECT_EQ(ready(), 3u);
  for (const char* id : {"b", "c"}) publish(id, 0, rule);
  publish("a", 0, rule, {}, true, "y");
  EXPECT_EQ(ready(), 5u);
  publish("a", 0, rule);
  EXPECT_EQ(ready(), 6u);
  restart();
  publish("a", 0, rule);
  publish("a", 0, rule, {}, true, "y");
  EXPECT_EQ(ready(), 6u);
}

TEST_F(DedupTest, QueueAndExchangeTogether) {
  declare(deduplicating());
  publish("a");
  publish("a", 0, {10, 0});  // the queue knows it; the exchange has not let it through
  publish("b", 0, {10, 0});
  EXPECT_EQ(ready(), 2u);
  settle();
  EXPECT_EQ(stored(QueuePart::Dedup).size(), 3u);
}

TEST_F(DedupTest, DeadLettersPassAndLeaveNoId) {
  declare(deduplicating());
  publish("a");
  Table headers;
  headers.add("x-deduplication-header", "a");
  engines_[0]->publish({queue(), message_of(headers), {}, 0});
  headers.remove("x-deduplication-header").add("x-deduplication-header", "b");
  engines_[0]->publish({queue(), message_of(headers), {}, 0});
  EXPECT_EQ(ready(), 3u);
  publish("b");
  EXPECT_EQ(ready(), 4u);
}

TEST_F(DedupTest, ARefusedMessageLeavesNoIdAndADuplicateIsNotRefused) {
  Table arguments = deduplicating();
  arguments.add_int32("x-max-length", 1).add("x-overflow", "reject-publish");
  declare(arguments);
  publish("a", 1);
  publish("b", 2);  // refused
  publish("a", 3);
  settle();
  EXPECT_EQ(ready(), 1u);
  purge();
  publish("b");
  EXPECT_EQ(ready(), 1u);
}

TEST_F(DedupTest, ADuplicateIsConfirmedWhenTheOriginalIsDurable) {
  declare(deduplicating());
  publish("a", 1);
  exchange();
  publish("a", 2);
  exchange();
  EXPECT_TRUE(settled_.empty());
  ASSERT_EQ(waiting_.size(), 1u);
  write_next();
  exchange();
  EXPECT_EQ(settled_, (std::vector<std::uint64_t>{1, 2}));
  publish("a", 3);
  exchange();
  EXPECT_EQ(settled_.back(), 3u);  // at once
  EXPECT_TRUE(waiting_.empty());
}

TEST_F(DedupTest, IdsOfTransientMessagesAreInMemory) {
  declare(deduplicating());
  publish("a", 1, {}, {}, false);
  publish("a", 2, {}, {}, false);
  settle();
  EXPECT_EQ(settled_, (std::vector<std::uint64_t>{1, 2}));
  EXPECT_EQ(ready(), 1u);
  EXPECT_TRUE(stored(QueuePart::Dedup).empty());
  restart();
  EXPECT_EQ(ready(), 0u);
  publish("a", 3, {}, {}, false);
  EXPECT_EQ(ready(), 1u);
}

TEST_F(DedupTest, ATransientQueueDeduplicatesInMemory) {
  declare(deduplicating(), false);
  publish("a");
  publish("a");
  EXPECT_EQ(ready(), 1u);
  settle();
  EXPECT_TRUE(stored(QueuePart::Dedup).empty());
}

TEST_F(DedupTest, ARestartReadsTheWindowAndGoesOn) {
  declare(deduplicating(50, 1'000'000));
  for (int i = 0; i < 80; ++i) publish(std::to_string(i));
  restart();
  EXPECT_EQ(ready(), 80u);
  EXPECT_EQ(stored(QueuePart::Dedup).size(), 50u);
  for (int i = 79; i >= 30; --i) publish(std::to_string(i));
  EXPECT_EQ(ready(), 80u);
  publish("29");
  EXPECT_EQ(ready(), 81u);
  publish("30");  // its place was needed
  EXPECT_EQ(ready(), 82u);
  restart();
  EXPECT_EQ(stored(QueuePart::Dedup).size(), 50u);
  set_now(1'000'000);
  publish("79");
  EXPECT_EQ(ready(), 83u);
  restart();
  EXPECT_EQ(stored(QueuePart::Dedup).size(), 1u);
}

TEST_F(DedupTest, APolicyTurnsItOnAndOff) {
  declare({});
  const auto apply = [this](const Table& definition) {
    auto policy = std::make_shared<EffectivePolicy>();
    policy->definition = definition;
    engines_[0]->handle(ApplyPolicy{queue(), std::move(policy)}, 0);
  };
  publish("a");
  apply(Table().add_bool("message-deduplication", true).add_int32("cache-size", 2));
  for (const char* id : {"a", "a", "b", "c", "c"}) publish(id);
  EXPECT_EQ(ready(), 4u);
  settle();
  EXPECT_EQ(stored(QueuePart::Dedup).size(), 2u);
  apply(Table());
  settle();
  EXPECT_TRUE(stored(QueuePart::Dedup).empty());
  publish("c");
  EXPECT_EQ(ready(), 5u);
}

TEST_F(DedupTest, TheWindowGoesWithTheQueue) {
  declare(deduplicating());
  publish("a");
  settle();
  const StoreId part = store_id(queue(), QueuePart::Dedup);
  DeleteQueue deletion;
  deletion.name = "q";
  request(std::move(deletion));
  persistence::Recovery recovery;
  ASSERT_TRUE(store_->recover(recovery).ok());
  for (const auto& held : recovery.queues) EXPECT_NE(held.queue, part);
  declare(deduplicating());
  publish("a");
  EXPECT_EQ(ready(), 1u);
}

// Each id is published until its confirm has been seen, over any number of power cuts: it is there
// exactly once in the end.
TEST_F(DedupTest, PowerCutsLoseNoneAndDoubleNone) {
  for (unsigned seed = 1; seed <= 30; ++seed) {
    std::mt19937 dice(seed);
    store_.emplace();
    waiting_.clear();
    start();
    declare(deduplicating());
    std::vector<bool> confirmed(40, false);
    const auto note_confirms = [&] {
      for (const std::uint64_t number : std::exchange(settled_, {})) confirmed[number - 1] = true;
    };
    for (int step = 0; step < 400; ++step) {
      const auto number = dice() % confirmed.size();
      if (!confirmed[number]) publish("id-" + std::to_string(number), number + 1);
      if (dice() % 4 == 0) exchange();
      if (dice() % 4 == 0 && !waiting_.empty()) {
        write_next();
        exchange();
      }
      if (dice() % 40 == 0) cut_power(dice() % 3);
      note_confirms();
    }
    for (std::size_t number = 0; number < confirmed.size(); ++number) {
      if (!confirmed[number]) publish("id-" + std::to_string(number), number + 1);
    }
    restart();
    EXPECT_EQ(ready(), confirmed.size()) << "seed " << seed;
    std::map<std::string, int> copies;
    for (const auto& each : stored(QueuePart::Main)) ++copies[id_text(*each.message)];
    for (const auto& [id, count] : copies) EXPECT_EQ(count, 1) << id << ", seed " << seed;
    EXPECT_EQ(copies.size(), confirmed.size()) << "seed " << seed;
  }
}

}  // namespace
}  // namespace harrier::broker
