// SPDX-License-Identifier: Apache-2.0
#include <map>
#include <random>

#include "tests/unit/broker/queue_fixture.hpp"

namespace harrier::broker {
namespace {

class DeliveryTimeoutTest : public QueueFixture {
 protected:
  void make(Millis timeout_ms, std::int64_t delivery_limit = -1) {
    protocol::Table arguments;
    if (timeout_ms > 0) arguments.add_int64("x-consumer-timeout", timeout_ms);
    if (delivery_limit >= 0) arguments.add_int64("x-delivery-limit", delivery_limit);
    QueueFixture::make(arguments);
  }
  Consume impatient(char name, Millis timeout_ms, std::uint32_t prefetch = 0) {
    Consume wanted = request(name, prefetch);
    wanted.timeout_ms = timeout_ms;
    return wanted;
  }
  void apply(Millis timeout_ms) {
    auto policy = std::make_shared<EffectivePolicy>();
    policy->definition.add_int64("consumer-timeout", timeout_ms);
    queue->set_policy(policy, *this);
    alarm = now;
    pass(0);
  }
};

TEST_F(DeliveryTimeoutTest, OnlyTheLateOneGoesBackAndTheOthersStay) {
  make(100);
  consume('a', 2);
  publish();
  pass(60);
  publish();
  consume('b', 1);
  EXPECT_EQ(taken(), (Texts{"a1", "a2"}));
  pass(39);
  EXPECT_TRUE(taken().empty());
  pass(1);
  EXPECT_EQ(taken(), Texts{"b1r"});
  EXPECT_EQ(given.back().delivery.returns, 1u);
  EXPECT_EQ(queue->info().messages_unacknowledged, 2u);
  EXPECT_TRUE(notices.empty()) << "nobody is told";
  settle('b', 1);
  pass(60);
  EXPECT_EQ(taken(), Texts{"b2r"});
}

TEST_F(DeliveryTimeoutTest, AnAckInTimeEndsTheClock) {
  make(100);
  consume('a', 1);
  publish(2);
  pass(99);
  settle('a', 1);
  pass(99);
  EXPECT_EQ(taken(), (Texts{"a1", "a2"}));
  settle('a', 2);
  pass(1'000);
  EXPECT_TRUE(taken().empty());
  EXPECT_EQ(queue->ready_count(), 0u);
}

TEST_F(DeliveryTimeoutTest, ALateAckIsAcceptedAndSettlesNothing) {
  make(100);
  consume('a', 2);
  publish();
  const Delivery first = given.back().delivery;
  pass(100);
  EXPECT_EQ(taken(), (Texts{"a1", "a1r"}));  // to the same one again, under another tag
  settle(first, Outcome::Ack);
  EXPECT_EQ(queue->info().messages_unacknowledged, 1u);
  const Delivery second = given.back().delivery;
  settle(second, Outcome::Ack);
  EXPECT_EQ(queue->info().messages_unacknowledged, 0u);
  pass(1'000);
  EXPECT_TRUE(taken().empty());
  EXPECT_EQ(queue->ready_count(), 0u);
}

TEST_F(DeliveryTimeoutTest, WhoIsStuckGetsNothingNewUntilItSettles) {
  make(100);
  consume('a', 1);
  publish(2);
  const Delivery late = given.back().delivery;
  pass(500);
  EXPECT_EQ(taken(), Texts{"a1"});
  EXPECT_EQ(queue->ready_count(), 2u);
  settle(late, Outcome::Requeue);  // whatever it is: the message is back already
  EXPECT_EQ(taken(), Texts{"a1r"});
  settle(late, Outcome::Ack);  // once is enough
  EXPECT_TRUE(taken().empty());
  EXPECT_EQ(queue->info().messages_unacknowledged, 1u);
}

TEST_F(DeliveryTimeoutTest, ReturnsCountForTheDeliveryLimit) {
  protocol::Table arguments;
  arguments.add_int64("x-consumer-timeout", 100).add_int64("x-delivery-limit", 1);
  arguments.add("x-dead-letter-exchange", "");
  QueueFixture::make(arguments);
  consume('a', 10);
  publish();
  pass(200);
  EXPECT_EQ(taken(), (Texts{"a1", "a1r"}));
  ASSERT_EQ(letters.size(), 1u);
  EXPECT_EQ(queue->ready_count(), 0u);
}

TEST_F(DeliveryTimeoutTest, AConsumerMayAskForLessOrMoreButTheSmallerCounts) {
  make(100);
  consume(impatient('a', 30, 1));
  publish(2);
  consume(impatient('b', 500, 1));
  EXPECT_EQ(taken(), (Texts{"a1", "b2"}));
  pass(30);
  EXPECT_EQ(queue->ready_count(), 1u);
  pass(69);
  EXPECT_EQ(queue->ready_count(), 1u);
  pass(1);
  EXPECT_EQ(queue->ready_count(), 2u);
}

TEST_F(DeliveryTimeoutTest, OneConsumerAloneMayHaveATimeout) {
  make(0);
  consume(impatient('a', 50, 1));
  consume('b', 1);
  publish(2);
  pass(10'000);
  EXPECT_EQ(taken(), (Texts{"a1", "b2"}));
  EXPECT_EQ(queue->ready_count(), 1u);
  EXPECT_EQ(queue->info().messages_unacknowledged, 1u);
}

TEST_F(DeliveryTimeoutTest, WhatWasGotCountsToo) {
  make(100);
  publish();
  const auto got = queue->get({kQueue, ref('a').channel, false, {}}, *this);
  ASSERT_TRUE(got && got->message);
  pass(100);
  EXPECT_EQ(queue->ready_count(), 1u);
  consume('b');
  queue->settle({kQueue, got->seq, got->slot, Outcome::Ack, false, 0}, *this);
  EXPECT_EQ(queue->info().messages_unacknowledged, 1u);
  EXPECT_EQ(taken(), Texts{"b1r"});
}

TEST_F(DeliveryTimeoutTest, WhatACancelledConsumerHasIsLateToo) {
  make(100);
  consume('a');
  publish();
  const Delivery held = given.back().delivery;
  cancel('a');
  pass(100);
  EXPECT_EQ(queue->ready_count(), 1u);
  consume('b');  // gets the slot that has become free
  EXPECT_EQ(taken(), (Texts{"a1", "b1r"}));
  settle(held, Outcome::Ack);
  EXPECT_EQ(queue->info().messages_unacknowledged, 1u);
}

TEST_F(DeliveryTimeoutTest, WithoutAcknowledgementsNothingIsLate) {
  make(100);
  Consume wanted = request('a');
  wanted.no_ack = true;
  consume(wanted);
  publish();
  pass(1'000);
  EXPECT_EQ(taken(), Texts{"a1"});
}

TEST_F(DeliveryTimeoutTest, APolicyActsOnWhatIsOutAlready) {
  make(0);
  consume('a', 1);
  publish();
  pass(1'000);
  apply(100);
  pass(99);
  EXPECT_EQ(queue->ready_count(), 0u);
  pass(1);
  EXPECT_EQ(queue->ready_count(), 1u);
  settle('a', 1);  // late
  EXPECT_EQ(taken(), (Texts{"a1", "a1r"}));
  queue->set_policy(nullptr, *this);
  alarm = now;
  pass(10'000);
  EXPECT_EQ(queue->info().messages_unacknowledged, 1u);
}

TEST_F(DeliveryTimeoutTest, ABusyQueueIsNotWokenForEachMessage) {
  make(1'000);
  consume('a');
  int wakes = 0;
  for (int i = 0; i < 5'000; ++i) {
    publish();
    settle('a', static_cast<Seq>(i + 1));
    ++now;
    if (alarm > now) continue;
    alarm = kNeverDue;
    ++wakes;
    ASSERT_FALSE(queue->wake(*this));
  }
  EXPECT_LE(wakes, 7);
}

// Consumers that settle in time, late, never, or leave: against a simple model of who holds what.
class DeliveryTimeoutModelTest : public DeliveryTimeoutTest {
 protected:
  struct Out {
    char consumer = 0;
    Delivery delivery;
    Millis at = 0;
    bool late = false;
  };

  unsigned below(unsigned bound) { return static_cast<unsigned>(dice() % bound); }
  void take_up() {
    for (Given& each : std::exchange(given, {}))
      out.push_back({each.consumer, std::move(each.delivery), now, false});
  }
  void come(char name) {
    if (timeouts.contains(name)) return;
    timeouts[name] = below(2) == 0 ? 20 : 50;
    prefetch[name] = 1 + below(3);
    consume(impatient(name, timeouts[name], prefetch[name]));
  }
  void go(char name) {
    std::erase_if(out, [&](const Out& each) { return each.consumer == name; });
    timeouts.erase(name);
    queue->release(ref(name).channel, *this);
  }
  void settle_any() {
    if (out.empty()) return;
    const std::size_t at = below(static_cast<unsigned>(out.size()));
    const Out one = out[at];
    out.erase(out.begin() + static_cast<std::ptrdiff_t>(at));
    settle(one.delivery, Outcome::Ack);
    if (!one.late) ++settled;
  }
  void tick() {
    ++now;
    for (Out& each : out) each.late = each.late || now - each.at >= timeouts[each.consumer];
    if (alarm <= now) {
      alarm = kNeverDue;
      ASSERT_FALSE(queue->wake(*this));
    }
    take_up();
  }
  void act() {
    const char name = static_cast<char>('a' + below(4));
    switch (below(6)) {
      case 0:
        come(name);
        break;
      case 1:
        if (below(8) == 0) go(name);
        break;
      case 2:
      case 3:
        publish();
        ++published;
        break;
      case 4:
        settle_any();
        break;
      default:
        for (unsigned passed = below(15); passed > 0; --passed) tick();
    }
    take_up();
  }
  void check() {
    const auto held = static_cast<std::uint64_t>(std::ranges::count(out, false, &Out::late));
    ASSERT_EQ(queue->info().messages_unacknowledged, held);
    ASSERT_EQ(queue->ready_count() + held + settled, published);
    std::map<Seq, int> holders;
    std::map<char, unsigned> occupied;
    for (const Out& each : out) {
      ++occupied[each.consumer];
      if (each.late) continue;
      ASSERT_EQ(++holders[each.delivery.seq], 1) << each.delivery.seq;
    }
    bool any_free = false;
    for (const auto& [consumer, timeout] : timeouts) {
      ASSERT_LE(occupied[consumer], prefetch[consumer]);
      any_free = any_free || occupied[consumer] < prefetch[consumer];
    }
    ASSERT_TRUE(!any_free || queue->ready_count() == 0);
  }

  std::mt19937 dice;
  std::map<char, Millis> timeouts;
  std::map<char, unsigned> prefetch;
  std::vector<Out> out;
  std::uint64_t published = 0;
  std::uint64_t settled = 0;
};

TEST_F(DeliveryTimeoutModelTest, AnyMixOfEvents) {
  for (unsigned seed = 1; seed <= 30; ++seed) {
    dice.seed(seed);
    alarm = kNeverDue;
    make(50);
    timeouts.clear();
    out.clear();
    published = settled = 0;
    for (int step = 0; step < 600; ++step) {
      SCOPED_TRACE("seed " + std::to_string(seed) + ", step " + std::to_string(step));
      act();
      check();
      if (HasFatalFailure()) return;
    }
  }
}

}  // namespace
}  // namespace harrier::broker
