// SPDX-License-Identifier: Apache-2.0
//
// How messages end in one queue, by a clock that the test moves: time to live, length limits,
// delivery limits, and the end of the queue itself. Part of it over a store whose answers come when
// the test says so, with a window of three messages.
#include <random>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "broker/core/effective_policy.hpp"
#include "tests/unit/broker/stored_queue.hpp"

namespace harrier::broker {
namespace {

using Texts = std::vector<std::string>;

protocol::MessagePtr message(bool persistent, std::optional<std::string> expiration = {},
                             std::size_t size = 100) {
  protocol::Properties properties;
  if (persistent) properties.delivery_mode = std::uint8_t{2};
  properties.expiration = std::move(expiration);
  const std::vector<std::uint8_t> body(size);
  return protocol::Message::create("", "q", properties.encode(), body);
}

class QueueLifeTest : public StoredQueueTest {
 protected:
  QueueLifeTest() {
    residents.window_bytes = 3 * message(true)->footprint();
    residents.bytes_max = 100 * residents.window_bytes;
    settings.dead_letter_exchange = "";
    open();
  }

  void deliver(Delivery delivery) override {
    delivered.push_back(std::to_string(delivery.seq));
    deliveries.push_back(std::move(delivery));
  }
  void notify(ConnectionId, ShardMessage notice) override {
    const auto* reply = std::get_if<Reply>(&notice);
    if (reply == nullptr) return;
    if (const auto* got = std::get_if<GetResult>(&reply->result)) took(*got);
  }
  void dead_letter(DeadLetter letter) override {
    const auto headers = letter.message->properties().headers();
    const auto reason = headers.find("x-first-death-reason");
    letters.emplace_back(reason ? *reason->as_text() : "?");
  }
  void wake_at(QueueId, Millis instead_of, Millis at) override {
    EXPECT_EQ(instead_of, alarm);
    alarm = at;
  }
  Millis unix_ms() const override { return now; }

  void open() {
    routing::QueueEntry entry;
    entry.id = QueueId{1};
    entry.name = "q";
    entry.durable = true;
    queue = std::make_unique<Queue>(std::make_shared<const routing::QueueEntry>(entry), "/",
                                    UnsentLimits{1'000, 1'000'000}, &residents);
    alarm = kNeverDue;
    apply();
  }
  void apply() {
    queue->apply(settings);
    queue->start(*this);
    advance(0);
  }
  // The clock moves, and the queue is woken as it has asked. True if it has expired itself.
  bool advance(Millis ms) {
    const Millis goal = now + ms;
    for (int wakes = 0; alarm <= goal; ++wakes) {
      EXPECT_LT(wakes, 10'000) << "it does not come to rest";
      if (wakes == 10'000) return false;
      now = std::max(now, alarm);
      alarm = kNeverDue;
      if (queue->wake(*this)) return true;
      if (fetches.empty()) continue;
      make_durable();
      answer_all();
    }
    now = goal;
    return false;
  }
  void answer_all() { StoredQueueTest::answer_all(10'000); }

  static ConsumerRef ref() { return {{ConnectionId{1}, 0, 1}, 0}; }
  void consume(std::uint32_t prefetch = 0, bool no_ack = false) {
    Consume request;
    request.queue = QueueId{1};
    request.consumer = ref();
    request.prefetch = prefetch;
    request.no_ack = no_ack;
    ASSERT_FALSE(queue->consume(request));
    queue->touch(*this);
    queue->deliver(*this);
  }
  void settle(std::size_t delivery, Outcome outcome) {
    const Delivery& d = deliveries.at(delivery);
    queue->settle({QueueId{1}, d.seq, d.slot, outcome}, *this);
  }
  void publish(int count, bool persistent = true, std::optional<std::string> expiration = {},
               std::size_t size = 100) {
    for (int i = 0; i < count; ++i) queue->publish(message(persistent, expiration, size), *this);
  }
  void took(const GetResult& got) {
    if (!got.message) return;
    delivered.push_back(std::to_string(got.seq));
  }
  bool get() {
    const auto result = queue->get({QueueId{1}, ref().channel, true, {{}, 1}}, *this);
    if (result) took(*result);
    return result.has_value();
  }
  Texts taken() { return std::exchange(delivered, {}); }
  Texts dead() { return std::exchange(letters, {}); }

  Texts delivered;
  std::vector<Delivery> deliveries;
  Texts letters;
  Millis now = 1'700'000'000'000;
  Millis alarm = kNeverDue;
  QueueSettings settings;
};

EffectivePolicyPtr policy(std::string_view key, std::int64_t value) {
  auto policy = std::make_shared<EffectivePolicy>();
  policy->policy = "p";
  policy->definition.add_int64(key, value);
  return policy;
}

TEST_F(QueueLifeTest, APolicyActsOnWhatIsThereAndEndsWithIt) {
  const auto ready_after_publishing = [this](int count) {
    publish(count);
    make_durable();
    answer_all();
    return queue->ready_count();
  };
  EXPECT_EQ(ready_after_publishing(5), 5U);
  queue->set_policy(policy("max-length", 2), *this);
  advance(0);
  EXPECT_EQ(queue->ready_count(), 2U);
  EXPECT_EQ(ready_after_publishing(3), 2U);
  queue->set_policy(nullptr, *this);
  advance(0);
  EXPECT_EQ(ready_after_publishing(3), 5U);
}

TEST_F(QueueLifeTest, ATimeToLiveByPolicyCountsFromThePublication) {
  publish(2);
  advance(1'000);
  queue->set_policy(policy("message-ttl", 3'000), *this);
  advance(1'999);
  EXPECT_EQ(queue->ready_count(), 2U);
  advance(1);
  EXPECT_EQ(queue->ready_count(), 0U);
}

TEST_F(QueueLifeTest, ALeaseByPolicyBeginsWithIt) {
  advance(60'000);
  queue->set_policy(policy("expires", 1'000), *this);
  EXPECT_FALSE(advance(999));
  EXPECT_TRUE(advance(1));
}

TEST_F(QueueLifeTest, TheHeadExpiresWithoutAnybodyAsking) {
  settings.message_ttl_ms = 100;
  apply();
  publish(2);
  advance(60);
  publish(1);
  EXPECT_FALSE(advance(39));
  EXPECT_EQ(queue->ready_count(), 3u);
  advance(1);
  EXPECT_EQ(queue->ready_count(), 1u);
  EXPECT_EQ(dead(), (Texts{"expired", "expired"}));
  advance(1'000);
  EXPECT_EQ(queue->ready_count(), 0u);
  EXPECT_EQ(dead(), Texts{"expired"});
  EXPECT_EQ(alarm, kNeverDue);
  make_durable();
  EXPECT_EQ(in_store(store), 0u);
}

TEST_F(QueueLifeTest, WhatIsLateIsNotHandedOutThoughNobodyWasWoken) {
  settings.message_ttl_ms = 100;
  apply();
  publish(1);
  now += 100;  // the alarm is late
  consume();
  EXPECT_EQ(taken(), Texts{});
  EXPECT_EQ(dead(), Texts{"expired"});
}

TEST_F(QueueLifeTest, AShortLifeBehindALongOneEndsInTime) {
  publish(1, false);
  publish(1, true, "50");
  publish(1, false, "40");
  publish(1, true, "500");  // beyond the window
  make_durable();
  advance(40);
  EXPECT_EQ(queue->ready_count(), 3u);
  advance(10);
  EXPECT_EQ(queue->ready_count(), 2u);
  advance(450);
  EXPECT_EQ(queue->ready_count(), 1u);
  EXPECT_EQ(dead(), Texts(3, "expired"));
  get();
  EXPECT_EQ(taken(), Texts{"1"});
}

TEST_F(QueueLifeTest, ZeroIsForThoseWhoCanTakeItAtOnce) {
  settings.message_ttl_ms = 0;
  apply();
  publish(1);
  EXPECT_EQ(dead(), Texts{"expired"});
  consume(1);
  publish(2);
  EXPECT_EQ(taken(), Texts{"2"});
  EXPECT_EQ(dead(), Texts{"expired"});
  settle(0, Outcome::Requeue);
  EXPECT_EQ(taken(), Texts{});
  EXPECT_EQ(dead(), Texts{"expired"});
  EXPECT_EQ(queue->ready_count(), 0u);
}

TEST_F(QueueLifeTest, UnsettledOnesAreSparedUntilTheyReturn) {
  settings.message_ttl_ms = 100;
  apply();
  consume();
  publish(2);
  EXPECT_EQ(taken(), (Texts{"1", "2"}));
  advance(99);
  settle(0, Outcome::Requeue);
  EXPECT_EQ(taken(), Texts{"1"});
  advance(1);
  settle(1, Outcome::Requeue);
  settle(2, Outcome::Requeue);
  EXPECT_EQ(taken(), Texts{});
  EXPECT_EQ(dead(), (Texts{"expired", "expired"}));
}

TEST_F(QueueLifeTest, ANewTimeToLiveHoldsForWhatIsThere) {
  publish(3);
  advance(500);
  settings.message_ttl_ms = 1'000;
  apply();
  EXPECT_EQ(queue->ready_count(), 3u);
  advance(500);
  EXPECT_EQ(queue->ready_count(), 0u);
  publish(1);
  settings.message_ttl_ms.reset();
  apply();
  advance(10'000);
  EXPECT_EQ(queue->ready_count(), 1u);
}

TEST_F(QueueLifeTest, TheBacklogExpiresFromTheStore) {
  settings.message_ttl_ms = 100;
  apply();
  publish(50);
  make_durable();
  queue->evict();
  EXPECT_EQ(queue->info().messages_paged, 50u);
  advance(99);
  EXPECT_TRUE(fetches.empty());
  EXPECT_EQ(queue->ready_count(), 50u);
  advance(1);
  EXPECT_EQ(queue->ready_count(), 0u);
  EXPECT_EQ(dead(), Texts(50, "expired"));
  make_durable();
  EXPECT_EQ(in_store(store), 0u);
}

TEST_F(QueueLifeTest, LivesOfTheirOwnEndInTheStoreToo) {
  for (int i = 0; i < 20; ++i) {
    publish(1, true, "60000");
    publish(1, true, std::to_string(100 + 10 * i));
    publish(1, true);
  }
  make_durable();
  queue->evict();
  EXPECT_EQ(queue->info().messages_paged, 60u);
  advance(1'000);
  EXPECT_EQ(queue->ready_count(), 40u);
  EXPECT_EQ(dead(), Texts(20, "expired"));
  advance(60'000);
  EXPECT_EQ(queue->ready_count(), 20u);
  make_durable();
  EXPECT_EQ(in_store(store), 20u);
  consume(0, true);
  answer_all();
  make_durable();
  answer_all();
  EXPECT_EQ(taken().size(), 20u);
  EXPECT_EQ(dead().size(), 20u);
}

TEST_F(QueueLifeTest, ARestartFindsThemAgain) {
  publish(4, true, "100");
  publish(1, true);
  make_durable();
  open();
  queue->restore({kStored, 5, 5, 5 * persistence::content_size(*message(true)), {}, {}}, true);
  queue->restore_expiring();
  queue->start(*this);
  advance(99);
  EXPECT_EQ(queue->ready_count(), 5u);
  advance(20);
  EXPECT_EQ(queue->ready_count(), 1u);
  EXPECT_EQ(dead(), Texts(4, "expired"));
}

TEST_F(QueueLifeTest, AfterARestartTheQueuesOwnTimeGoesOn) {
  settings.message_ttl_ms = 100;
  apply();
  publish(5);
  make_durable();
  advance(50);
  open();
  queue->restore({kStored, 5, 5, 5 * persistence::content_size(*message(true)), {}, {}}, true);
  queue->start(*this);
  advance(49);
  EXPECT_EQ(queue->ready_count(), 5u);
  advance(1);
  EXPECT_EQ(queue->ready_count(), 0u);
}

TEST_F(QueueLifeTest, TheOldestGiveWay) {
  settings.max_length = 2;
  apply();
  publish(5);
  EXPECT_EQ(queue->ready_count(), 2u);
  EXPECT_EQ(dead(), Texts(3, "maxlen"));
  consume(2);
  EXPECT_EQ(taken(), (Texts{"4", "5"}));
  publish(2);
  EXPECT_EQ(queue->ready_count(), 2u);
  settle(1, Outcome::Requeue);  // and goes out again at once
  settle(0, Outcome::Requeue);
  EXPECT_EQ(dead(), Texts{});
  EXPECT_EQ(taken(), (Texts{"5", "4"}));
}

TEST_F(QueueLifeTest, BytesAreThoseOfReadyBodies) {
  settings.max_length_bytes = 250;
  apply();
  publish(2);
  EXPECT_EQ(dead(), Texts{});
  publish(1, true, {}, 60);
  EXPECT_EQ(dead(), Texts{"maxlen"});
  EXPECT_EQ(queue->ready_count(), 2u);
  publish(1, true, {}, 251);  // beyond the window
  make_durable();
  answer_all();
  EXPECT_EQ(queue->ready_count(), 0u);
  queue->purge(*this);
  publish(2);
  EXPECT_EQ(queue->ready_count(), 2u);
}

TEST_F(QueueLifeTest, ALimitThatComesLaterIsKeptFromThenOn) {
  publish(20);
  make_durable();
  queue->evict();
  settings.max_length = 5;
  apply();
  queue->deliver(*this);
  answer_all();
  make_durable();
  answer_all();
  EXPECT_EQ(queue->ready_count(), 5u);
  EXPECT_EQ(dead(), Texts(15, "maxlen"));
}

TEST_F(QueueLifeTest, AFullQueueRefuses) {
  settings.max_length = 1;
  settings.overflow = Overflow::RejectPublish;
  apply();
  EXPECT_EQ(queue->publish(message(true), *this), Queue::Taken::Stored);
  EXPECT_EQ(queue->publish(message(true), *this), Queue::Taken::Refused);
  EXPECT_EQ(dead(), Texts{});
  EXPECT_EQ(queue->publish(message(false), *this, true), Queue::Taken::InMemory);
  settings.overflow = Overflow::RejectPublishDlx;
  apply();
  EXPECT_EQ(queue->publish(message(true), *this), Queue::Taken::Refused);
  EXPECT_EQ(dead(), Texts{"maxlen"});
  EXPECT_EQ(queue->ready_count(), 2u);
}

TEST_F(QueueLifeTest, SoManyReturnsAndNoMore) {
  settings.delivery_limit = 2;
  apply();
  publish(1);
  consume();
  settle(0, Outcome::Requeue);
  settle(1, Outcome::Requeue);
  EXPECT_EQ(taken(), (Texts{"1", "1", "1"}));
  EXPECT_EQ(deliveries.back().returns, 2u);
  EXPECT_EQ(dead(), Texts{});
  settle(2, Outcome::Requeue);
  EXPECT_EQ(taken(), Texts{});
  EXPECT_EQ(dead(), Texts{"delivery_limit"});
  make_durable();
  EXPECT_EQ(in_store(store), 0u);
}

TEST_F(QueueLifeTest, AQueueThatNobodyUsesExpires) {
  settings.expires_ms = 1'000;
  apply();
  EXPECT_FALSE(advance(999));
  queue->touch(*this);  // a declaration
  EXPECT_FALSE(advance(999));
  consume();
  EXPECT_FALSE(advance(5'000));
  queue->cancel(ref());
  queue->touch(*this);
  EXPECT_FALSE(advance(999));
  publish(1);  // is no use
  EXPECT_TRUE(advance(1));
}

// As a queue does that delays messages for a while, on a broker that was held up for longer.
TEST_F(QueueLifeTest, WhatHasExpiredLeavesBeforeTheQueueGoes) {
  settings.expires_ms = 200;
  for (const bool evicted : {false, true}) {
    for (const bool own : {false, true}) {
      settings.message_ttl_ms = own ? std::nullopt : std::optional<std::int64_t>(100);
      open();
      publish(5, true, own ? std::optional<std::string>("100") : std::nullopt);
      make_durable();
      if (evicted) queue->evict();
      now += 1'000;
      EXPECT_TRUE(advance(100));
      EXPECT_EQ(dead(), Texts(5, "expired")) << evicted << own;
    }
  }
}

// Nobody is waiting for what cannot become a dead letter, or has time left.
TEST_F(QueueLifeTest, TheQueueGoesWithWhatHasNotExpired) {
  settings.message_ttl_ms = 300;
  settings.expires_ms = 200;
  apply();
  publish(5);
  make_durable();
  queue->evict();
  EXPECT_TRUE(advance(200));
  EXPECT_EQ(dead(), Texts{});
  settings.message_ttl_ms = 100;
  settings.dead_letter_exchange.reset();
  open();
  publish(5);
  make_durable();
  queue->evict();
  now += 1'000;
  EXPECT_TRUE(advance(0));
}

class RandomLifeTest : public QueueLifeTest, public testing::WithParamInterface<unsigned> {
 protected:
  unsigned below(unsigned n) { return static_cast<unsigned>(dice() % n); }

  void settle_next(Outcome outcome) {
    if (settled == deliveries.size()) return;
    if (outcome == Outcome::Ack) ++acked;
    settle(settled++, outcome);
  }
  void publish_any() {
    std::optional<std::string> expiration;
    if (below(2) == 0) expiration = std::to_string(below(300));
    publish(1, below(3) != 0, expiration);
    ++published;
  }
  void step() {
    switch (below(10)) {
      case 0:
      case 1:
      case 2:
      case 3:
        return publish_any();
      case 4:
        return make_durable();
      case 5:
        if (!fetches.empty()) answer();
        return;
      case 6:
        if (below(3) == 0) queue->evict();
        if (below(2) == 0) queue->page_out(*this);
        return;
      case 7:
        if (!pieces.empty()) store_piece();
        return;
      case 8:
        now += below(20);
        if (alarm > now) return;
        alarm = kNeverDue;
        ASSERT_FALSE(queue->wake(*this));
        return;
      default:
        if (deliveries.empty() && below(20) == 0) consume(3);
        settle_next(below(4) == 0 ? Outcome::Requeue : Outcome::Ack);
    }
  }
  void come_to_rest() {
    for (int i = 0; i < 20; ++i) {
      while (!pieces.empty()) store_piece();
      make_durable();
      answer_all();
    }
  }

  std::mt19937 dice{GetParam()};
  std::size_t published = 0;
  std::size_t acked = 0;
  std::size_t settled = 0;
};

// Any order of events: every message ends once, in one way, and leaves nothing behind.
TEST_P(RandomLifeTest, EveryMessageEndsOnce) {
  if (below(2) == 0) settings.message_ttl_ms = 200 + below(200);
  if (below(4) == 0) settings.max_length = 30 + below(60);
  if (below(4) == 0) settings.delivery_limit = below(3);
  apply();
  for (int i = 0; i < 400; ++i) step();
  for (int i = 0; i < 20; ++i) {
    come_to_rest();
    advance(100);
  }
  if (queue->consumer_count() == 0) consume(3);
  for (std::size_t i = 0; i < 2 * published; ++i) {
    come_to_rest();
    settle_next(Outcome::Ack);
  }
  come_to_rest();
  EXPECT_EQ(queue->ready_count(), 0u);
  EXPECT_EQ(queue->info().messages_unacknowledged, 0u);
  EXPECT_EQ(acked + letters.size(), published);
  EXPECT_EQ(in_store(store), 0u);
  EXPECT_EQ(in_store(paged), 0u);
}

INSTANTIATE_TEST_SUITE_P(Seeds, RandomLifeTest, testing::Range(1u, 200u));

}  // namespace
}  // namespace harrier::broker
