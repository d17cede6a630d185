// SPDX-License-Identifier: Apache-2.0
//
// One queue with priorities over a store whose answers come when the test says so, with a window of
// three messages, beside a naive model: a list of messages, of which the next is looked for anew
// each time. Whatever the queue hands out, drops or answers must be the model's choice.
#include <map>
#include <random>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "tests/unit/broker/stored_queue.hpp"

namespace harrier::broker {
namespace {

using Texts = std::vector<std::string>;

struct Waiting {
  unsigned level = 0;
  bool persistent = false;
  Millis enqueued_ms = 0;
};

class QueueLevelsTest : public StoredQueueTest {
 protected:
  QueueLevelsTest() {
    residents.window_bytes = 3 * message(1, 0, true)->footprint();
    residents.bytes_max = 100 * residents.window_bytes;
    settings.max_priority = 9;
    settings.dead_letter_exchange = "";
    open();
  }

  // The body is the position, so that a dead letter can be told.
  static protocol::MessagePtr message(Seq seq, std::optional<std::uint8_t> priority,
                                      bool persistent, std::optional<std::string> expiration = {}) {
    protocol::Properties properties;
    if (persistent) properties.delivery_mode = std::uint8_t{2};
    properties.priority = priority;
    properties.expiration = std::move(expiration);
    std::vector<std::uint8_t> body(100);
    protocol::put_u64(body.data(), seq);
    return protocol::Message::create("", "q", properties.encode(), body);
  }
  static Seq position(const protocol::Message& message) {
    Seq seq = 0;
    for (const std::uint8_t octet : message.body().first(8)) seq = seq << 8 | octet;
    return seq;
  }

  // ---- what the queue says ----
  void deliver(Delivery delivery) override {
    took(delivery.seq, *delivery.message);
    out.emplace(delivery.seq, ready_then);
    order.push_back(delivery.seq);
    deliveries.push_back(std::move(delivery));
  }
  void notify(ConnectionId, ShardMessage notice) override {
    auto* reply = std::get_if<Reply>(&notice);
    if (reply == nullptr) return;
    if (const auto* got = std::get_if<GetResult>(&reply->result)) answered(*got);
  }
  void dead_letter(DeadLetter letter) override {
    const auto reason = letter.message->properties().headers().find("x-first-death-reason");
    const std::string why(*reason->as_text());
    const Seq seq = position(*letter.message);
    if (why == "maxlen") {
      const auto expected = lowest();
      ASSERT_TRUE(expected);
      EXPECT_EQ(seq, *expected) << "another one had to give way";
    }
    EXPECT_EQ(waiting.erase(seq), 1u) << seq << " is not there to be " << why;
    dead.push_back(why + std::to_string(seq));
  }
  void wake_at(QueueId, Millis, Millis at) override { alarm = at; }
  Millis unix_ms() const override { return now; }

  // ---- the model ----
  unsigned level_of(std::optional<std::uint8_t> priority) const {
    if (settings.type == QueueType::Quorum) return priority.value_or(0) >= 5 ? 1 : 0;
    return std::min<unsigned>(priority.value_or(0),
                              static_cast<unsigned>(settings.max_priority.value_or(0)));
  }
  // First of each level.
  std::map<unsigned, Seq> heads() const {
    std::map<unsigned, Seq> heads;
    for (const auto& [seq, each] : waiting) heads.try_emplace(each.level, seq);
    return heads;
  }
  std::optional<Seq> lowest() const {
    const auto first = heads();
    return first.empty() ? std::nullopt : std::optional(first.begin()->second);
  }
  std::optional<Seq> next() const {
    const auto first = heads();
    if (first.empty()) return std::nullopt;
    if (const Millis step = settings.priority_ageing_ms.value_or(0); step > 0) {
      const auto since = [&](const auto& head) {
        return waiting.at(head.second).enqueued_ms - head.first * step;
      };
      auto best = first.rbegin();
      for (auto at = first.rbegin(); at != first.rend(); ++at) {
        if (since(*at) < since(*best)) best = at;
      }
      return best->second;
    }
    const bool turn_of_normal = settings.type == QueueType::Quorum && highs >= 2;
    return turn_of_normal && first.contains(0) ? first.at(0) : first.rbegin()->second;
  }
  void took(Seq seq, const protocol::Message& taken) {
    EXPECT_EQ(position(taken), seq);
    const auto expected = next();
    ASSERT_TRUE(expected) << seq << " came out of an empty queue";
    EXPECT_EQ(seq, *expected) << "another one was next";
    ASSERT_TRUE(waiting.contains(seq));
    const bool has_normal = heads().contains(0);
    highs = waiting.at(seq).level == 0 || !has_normal ? 0 : highs + 1;
    ready_then = waiting.at(seq);
    waiting.erase(seq);
  }
  void answered(const GetResult& got) {
    if (!got.message) {
      EXPECT_TRUE(waiting.empty()) << "a get was told that the queue is empty";
      return;
    }
    took(got.seq, *got.message);
    order.push_back(got.seq);
    EXPECT_EQ(got.remaining, waiting.size());
  }

  // ---- what is done to it ----
  void open() {
    routing::QueueEntry entry;
    entry.id = QueueId{1};
    entry.name = "q";
    entry.durable = true;
    protocol::Table arguments;
    if (settings.max_priority)
      arguments.add_int32("x-max-priority", static_cast<std::int32_t>(*settings.max_priority));
    if (settings.type == QueueType::Quorum) arguments.add("x-queue-type", "quorum");
    entry.arguments = std::move(arguments);
    queue = std::make_unique<Queue>(std::make_shared<const routing::QueueEntry>(entry), "/",
                                    UnsentLimits{1'000'000, 1'000'000'000}, &residents);
    alarm = kNeverDue;
    queue->apply(settings);
  }
  void publish(std::optional<std::uint8_t> priority, bool persistent = true,
               std::optional<std::string> expiration = {}) {
    const Seq seq = ++last_seq;
    waiting[seq] = {level_of(priority), persistent, now};
    queue->publish(message(seq, priority, persistent, std::move(expiration)), *this);
  }
  void publish_all(const std::string& digits) {
    for (const char digit : digits) publish(static_cast<std::uint8_t>(digit - '0'));
  }
  void consume(std::uint32_t prefetch = 0) {
    Consume request;
    request.queue = QueueId{1};
    request.consumer = {{ConnectionId{1}, 1, 1}, 1};
    request.prefetch = prefetch;
    ASSERT_FALSE(queue->consume(request));
    queue->deliver(*this);
  }
  void get() {
    const auto result =
        queue->get({QueueId{1}, {ConnectionId{1}, 2, 2}, true, {ConnectionId{1}, 1}}, *this);
    if (result) answered(*result);
  }
  void settle(std::size_t delivery, Outcome outcome) {
    const Delivery& d = deliveries.at(delivery);
    const auto at = out.extract(d.seq);
    ASSERT_FALSE(at.empty());
    if (outcome == Outcome::Requeue || outcome == Outcome::Discard)
      waiting.emplace(d.seq, at.mapped());
    queue->settle({QueueId{1}, d.seq, d.slot, outcome}, *this);
  }
  void come_to_rest() {
    for (int i = 0; i < 10'000; ++i) {
      while (!pieces.empty()) store_piece();
      if (batch.empty() && fetches.empty()) return;
      make_durable();
      while (!fetches.empty()) answer();
    }
    FAIL() << "it does not come to rest";
  }
  void wake() {
    if (alarm > now) return;
    alarm = kNeverDue;
    ASSERT_FALSE(queue->wake(*this));
  }
  // The process ends once all is durable, and starts again.
  void restart() {
    make_durable();
    queue.reset();
    fetches.clear();
    pieces.clear();
    residents.waiting.clear();
    for (const StoreId part : parts()) paged.drop_paged(part, 0, ~Seq{0});
    EXPECT_EQ(residents.bytes, 0u);
    for (const auto& [seq, unsettled] : out) waiting.emplace(seq, unsettled);
    out.clear();
    deliveries.clear();
    std::erase_if(waiting, [](const auto& each) { return !each.second.persistent; });
    highs = 0;
    open();
    last_seq = 0;
    for (const persistence::RecoveredQueue& part : recovered()) {
      EXPECT_TRUE(queue->restore(part, true));
      last_seq = std::max(last_seq, part.seq_max);
    }
    queue->restore_expiring();
    queue->start(*this);
  }
  std::vector<persistence::RecoveredQueue> recovered() {
    persistence::Recovery recovery;
    EXPECT_TRUE(store.recover(recovery).ok());
    return std::move(recovery.queues);
  }
  std::vector<StoreId> parts() const {
    std::vector<StoreId> all;
    for (unsigned level = 0; level < 256; ++level)
      all.push_back(store_id(QueueId{1}, level_part(static_cast<std::uint8_t>(level))));
    return all;
  }
  std::size_t in_stores() {
    std::size_t count = 0;
    for (const StoreId part : parts()) {
      for (persistence::MemoryStore* each : {&store, &paged})
        each->fetch(part, 0, ~std::size_t{0}, [&](auto page) { count += page.messages.size(); });
    }
    return count;
  }
  void check_counts() {
    const QueueInfo info = queue->info();
    std::vector<std::uint64_t> by_level(info.ready_by_level.size());
    for (const auto& [seq, each] : waiting) ++by_level.at(each.level);
    EXPECT_EQ(info.ready_by_level, by_level);
    EXPECT_EQ(queue->ready_count(), waiting.size());
    EXPECT_EQ(info.messages_unacknowledged, out.size());
    EXPECT_LE(residents.bytes, 4 * residents.window_bytes);
    EXPECT_EQ(residents.bytes, info.resident_bytes);
  }
  std::vector<Seq> taken() { return std::exchange(order, {}); }

  Millis now = 1'000'000;
  Millis alarm = kNeverDue;
  QueueSettings settings;
  std::vector<Seq> order;
  std::vector<Delivery> deliveries;
  Texts dead;

  Seq last_seq = 0;
  std::map<Seq, Waiting> waiting;
  std::map<Seq, Waiting> out;
  Waiting ready_then;  // of the last one that was taken
  unsigned highs = 0;
};

using Seqs = std::vector<Seq>;

// C-457, C-456: absent is 0, and what is above the highest counts as the highest.
TEST_F(QueueLevelsTest, TheHighestGoesFirstAndInsideALevelTheOldest) {
  publish(1);
  publish(9);
  publish({});
  publish(200);
  publish(1);
  publish(0);
  check_counts();
  consume();
  come_to_rest();
  EXPECT_EQ(taken(), (Seqs{2, 4, 1, 5, 3, 6}));
}

TEST_F(QueueLevelsTest, LevelsOfDeepBacklogsStayInOrderAndOutOfMemory) {
  for (int i = 0; i < 300; ++i) publish_all("1072");
  check_counts();
  come_to_rest();
  consume(5);
  for (std::size_t i = 0; i < 1'200; ++i) {
    come_to_rest();
    ASSERT_LT(i, deliveries.size()) << "it has come to a halt";
    settle(i, Outcome::Ack);
    if (i == 100) publish_all("93");
    check_counts();
  }
  come_to_rest();
  settle(1'200, Outcome::Ack);
  settle(1'201, Outcome::Ack);
  come_to_rest();
  EXPECT_EQ(in_stores(), 0u);
}

// C-458.
TEST_F(QueueLevelsTest, WhatReturnsGoesToItsLevelAndPosition) {
  publish_all("55522");
  consume(4);
  come_to_rest();
  EXPECT_EQ(taken(), (Seqs{1, 2, 3, 4}));
  queue->cancel({{ConnectionId{1}, 1, 1}, 1});
  settle(3, Outcome::Requeue);
  settle(1, Outcome::Requeue);
  settle(0, Outcome::Requeue);
  consume();
  come_to_rest();
  EXPECT_EQ(taken(), (Seqs{1, 2, 4, 5}));
}

// C-453: ours is the order that nobody has to be afraid of.
TEST_F(QueueLevelsTest, TheLowestLevelGivesWayFirstFromItsHead) {
  settings.max_length = 3;
  open();
  publish_all("9513");
  EXPECT_EQ(dead, Texts{"maxlen3"});
  publish_all("33");
  come_to_rest();
  EXPECT_EQ(dead, (Texts{"maxlen3", "maxlen4", "maxlen5"}));
  publish_all("0");  // nothing is lower than itself
  come_to_rest();
  EXPECT_EQ(dead.back(), "maxlen7");
  check_counts();
}

TEST_F(QueueLevelsTest, TheLowestLevelGivesWayAlsoWhenItIsInTheStoreOnly) {
  for (int i = 0; i < 20; ++i) publish_all("091");
  come_to_rest();
  queue->evict();
  settings.max_length = 25;
  queue->apply(settings);
  queue->deliver(*this);
  come_to_rest();
  EXPECT_EQ(queue->ready_count(), 25u);
  EXPECT_EQ(dead.size(), 35u);
  check_counts();
}

// C-459: each level by itself, in memory and behind it.
TEST_F(QueueLevelsTest, EveryLevelExpiresByItself) {
  settings.message_ttl_ms = 100;
  open();
  for (int i = 0; i < 10; ++i) publish_all("07");
  now += 50;
  publish(3, true, "20");
  publish(0);
  come_to_rest();
  now += 20;
  wake();
  EXPECT_EQ(dead, Texts{"expired21"});
  for (int i = 0; i < 10; ++i) {
    now += 10;
    wake();
    come_to_rest();
    wake();
  }
  EXPECT_EQ(dead.size(), 22u);
  EXPECT_EQ(queue->ready_count(), 0u);
}

TEST_F(QueueLevelsTest, ARestartKnowsEveryLevel) {
  publish_all("0990550");
  publish(4, false);
  restart();
  check_counts();
  publish(5);
  consume();
  come_to_rest();
  EXPECT_EQ(taken(), (Seqs{2, 3, 5, 6, last_seq, 1, 4, 7}));
}

// Before there were levels x-max-priority was accepted, and all messages were in one part.
TEST_F(QueueLevelsTest, WhatIsStoredWithoutLevelsStaysInTheLowest) {
  for (const Seq seq : {1u, 2u}) {
    batch.add(persistence::Enqueue{store_id(QueueId{1}), seq, message(seq, 9, true), now, {}});
    waiting[seq] = {0, true, now};
  }
  restart();
  publish(1);
  consume();
  come_to_rest();
  EXPECT_EQ(taken(), (Seqs{3, 1, 2}));
  settle(1, Outcome::Requeue);
  come_to_rest();
  EXPECT_EQ(taken(), Seqs{1});
  settle(0, Outcome::Ack);
  settle(2, Outcome::Ack);
  settle(3, Outcome::Ack);
  make_durable();
  EXPECT_EQ(in_stores(), 0u);
}

TEST_F(QueueLevelsTest, APartThatTheQueueCannotHaveIsRefused) {
  EXPECT_FALSE(queue->restore({store_id(QueueId{1}, level_part(10)), 1, 1, 100, {}, {}}, true));
  EXPECT_FALSE(queue->restore({store_id(QueueId{1}, QueuePart{300}), 1, 1, 100, {}, {}}, true));
}

TEST_F(QueueLevelsTest, PurgeAndCloseReachEveryLevel) {
  for (int i = 0; i < 10; ++i) publish_all("05");
  publish(9, false);
  come_to_rest();
  EXPECT_EQ(queue->purge(*this), 21u);
  waiting.clear();
  check_counts();
  make_durable();
  EXPECT_EQ(in_stores(), 0u);
  publish_all("70");
  queue->close(*this);
  make_durable();
  EXPECT_TRUE(recovered().empty());
}

// C-461, as in the 4.2 column.
TEST_F(QueueLevelsTest, QuorumQueuesServeTwoHighOnesAndThenANormalOne) {
  settings = {};
  settings.type = QueueType::Quorum;
  open();
  publish_all("04");
  publish({});
  publish_all("595689");
  check_counts();
  consume();
  come_to_rest();
  EXPECT_EQ(taken(), (Seqs{4, 5, 1, 6, 7, 2, 8, 9, 3}));
}

TEST_F(QueueLevelsTest, AQuorumQueueWithoutHighMessagesHasOneLevel) {
  settings = {};
  settings.type = QueueType::Quorum;
  open();
  for (int i = 0; i < 20; ++i) publish_all("14");
  make_durable();
  EXPECT_EQ(recovered().size(), 1u);
  consume();
  come_to_rest();
  EXPECT_EQ(order.size(), 40u);
}

TEST_F(QueueLevelsTest, BothLevelsOfAQuorumQueueMayBeDeep) {
  settings = {};
  settings.type = QueueType::Quorum;
  open();
  for (int i = 0; i < 200; ++i) publish_all("09");
  consume(3);
  for (std::size_t i = 0; i < 400; ++i) {
    come_to_rest();
    ASSERT_LT(i, deliveries.size()) << "it has come to a halt";
    settle(i, Outcome::Ack);
    check_counts();
  }
}

TEST_F(QueueLevelsTest, WhoWaitsLongEnoughIsNotOvertaken) {
  settings.priority_ageing_ms = 100;
  open();
  publish(2);
  now += 99;
  publish(3);  // 3 against 2.99
  now += 2;
  publish(3);  // 3 against 3.01
  now += 1'000;
  publish(9);  // 9 against more than 13
  consume();
  come_to_rest();
  EXPECT_EQ(taken(), (Seqs{2, 1, 3, 4}));
}

TEST_F(QueueLevelsTest, AgeCountsAlsoForWhatIsInTheStoreOnly) {
  settings.priority_ageing_ms = 10;
  open();
  for (int i = 0; i < 50; ++i) {
    publish_all("051");
    now += 7;
  }
  come_to_rest();
  queue->evict();
  restart();
  consume(2);
  for (std::size_t i = 0; i < 150; ++i) {
    come_to_rest();
    ASSERT_LT(i, deliveries.size()) << "it has come to a halt";
    settle(i, Outcome::Ack);
  }
}

TEST_F(QueueLevelsTest, AgeingMayComeAndGoWhileMessagesWait) {
  publish_all("0");
  now += 1'000;
  publish_all("99");
  settings.priority_ageing_ms = 100;
  queue->apply(settings);
  get();
  settings.priority_ageing_ms = 0;
  queue->apply(settings);
  get();
  get();
  come_to_rest();
  EXPECT_EQ(taken(), (Seqs{1, 2, 3}));
}

class RandomLevelsTest : public QueueLevelsTest, public testing::WithParamInterface<unsigned> {
 protected:
  unsigned below(unsigned n) { return static_cast<unsigned>(dice() % n); }

  void choose_settings() {
    settings.max_priority = static_cast<int>(1 + below(below(4) == 0 ? 255 : 5));
    if (below(4) == 0) {
      settings.max_priority.reset();
      settings.type = QueueType::Quorum;
    }
    if (below(3) == 0) settings.priority_ageing_ms = 1 + below(100);
    if (below(3) == 0) settings.message_ttl_ms = 100 + below(400);
    if (below(3) == 0) settings.max_length = 10 + below(80);
    if (below(4) == 0) settings.delivery_limit = 1 + below(3);
    if (below(3) == 0) residents.bytes_max = residents.window_bytes * below(3);
    residents.window_bytes = residents.window_bytes * (1 + below(6)) / 2;
    open();
  }
  void publish_any() {
    std::optional<std::string> expiration;
    if (below(4) == 0) expiration = std::to_string(below(300));
    std::optional<std::uint8_t> priority;
    if (below(5) != 0)
      priority = static_cast<std::uint8_t>(below(settings.max_priority.value_or(9) > 9 ? 256 : 8));
    publish(priority, below(3) != 0, std::move(expiration));
  }
  void settle_any(Outcome outcome) {
    std::vector<std::size_t> unsettled;
    for (std::size_t i = 0; i < deliveries.size(); ++i) {
      if (out.contains(deliveries[i].seq) && latest(i)) unsettled.push_back(i);
    }
    if (!unsettled.empty())
      settle(unsettled[below(static_cast<unsigned>(unsettled.size()))], outcome);
  }
  // What has come back is delivered again under the same position.
  bool latest(std::size_t delivery) const {
    for (std::size_t i = delivery + 1; i < deliveries.size(); ++i) {
      if (deliveries[i].seq == deliveries[delivery].seq) return false;
    }
    return true;
  }
  void step() {
    switch (below(12)) {
      case 0:
      case 1:
      case 2:
      case 3:
        for (unsigned n = 1 + below(4); n > 0; --n) publish_any();
        return;
      case 4:
        return make_durable();
      case 5:
      case 6:
        if (!fetches.empty()) answer();
        return;
      case 7:
        if (below(3) == 0) queue->evict();
        if (below(2) == 0) queue->page_out(*this);
        return;
      case 8:
        if (!pieces.empty()) store_piece();
        return;
      case 9:
        now += below(20);
        wake();
        return;
      case 10:
        if (below(15) == 0) {
          restart();
        } else if (below(20) == 0) {
          const std::size_t count = waiting.size();
          waiting.clear();  // whoever waits for a message is told inside
          EXPECT_EQ(queue->purge(*this), count);
        } else if (below(3) == 0) {
          get();
        }
        return;
      default:
        if (queue->consumer_count() == 0 && below(10) == 0) consume(1 + below(4));
        settle_any(below(4) == 0 ? Outcome::Requeue : Outcome::Ack);
    }
  }

  std::mt19937 dice{GetParam()};
};

TEST_P(RandomLevelsTest, WhateverHappensTheModelKnowsWhatIsNext) {
  choose_settings();
  for (int i = 0; i < 500 && !HasFailure(); ++i) {
    step();
    check_counts();
  }
  if (queue->consumer_count() == 0) consume(3);
  for (int i = 0; i < 5'000 && !HasFailure(); ++i) {
    come_to_rest();
    if (waiting.empty() && out.empty()) break;
    settle_any(Outcome::Ack);
  }
  come_to_rest();
  check_counts();
  EXPECT_TRUE(waiting.empty());
  EXPECT_TRUE(out.empty());
  EXPECT_EQ(in_stores(), 0u);
}

INSTANTIATE_TEST_SUITE_P(Seeds, RandomLevelsTest, testing::Range(1u, 300u));

}  // namespace
}  // namespace harrier::broker
