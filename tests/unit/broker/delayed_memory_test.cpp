// SPDX-License-Identifier: Apache-2.0
//
// What messages that wait cost: their window belongs to the shard's budget and is given up for it,
// retries that are due are bounded by bytes, a turn routes no more than it has room for, and a
// clock that is set back breaks none of it.
#include <algorithm>
#include <map>
#include <random>
#include <set>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "tests/unit/broker/delayed_fixture.hpp"

namespace harrier::broker {
namespace {

class DelayedMemoryTest : public DelayedMessagesTest {
 protected:
  static constexpr int kMany = 200;

  void publish_many() {
    for (int i = 0; i < kMany; ++i) {
      expected.push_back(std::to_string(i));
      publish(expected.back(), {.delay_ms = 1'000 + i * 20});
    }
    rest();
    ++now;
    queue->deliver(*this);  // it learns that all of it is durable
    rest();
  }
  bool may_release_delayed() override { return room-- > 0; }

  Texts expected;
  int room = 1'000'000;
};

TEST_F(DelayedMemoryTest, TheWindowIsAccountedAndGivenUp) {
  open("amq.delayed.x");
  publish_many();
  publish("first", {.delay_ms = 500});
  rest();
  EXPECT_GT(residents.bytes, 1'000u);
  EXPECT_EQ(residents.bytes, queue->info().resident_bytes);
  EXPECT_EQ(residents.holders.size(), 1u);
  EXPECT_TRUE(queue->evict());
  EXPECT_EQ(residents.bytes, 0u);
  EXPECT_LE(queue->info().delayed_in_memory, 2u);
  EXPECT_FALSE(queue->evict());
  EXPECT_EQ(queue->shown_count(), kMany + 1u);
  advance(500);
  EXPECT_EQ(take_released(), (Texts{"first"}));  // what is left says when to look
  advance(100'000);
  EXPECT_EQ(take_released(), expected);
  EXPECT_EQ(store.stats().messages, 0u);
  EXPECT_EQ(residents.bytes, 0u);
}

// Also while a page is on its way, and for what is not durable yet.
TEST_F(DelayedMemoryTest, GivenUpAtAnyMoment) {
  open("amq.delayed.x");
  for (int i = 0; i < kMany; ++i) {
    expected.push_back(std::to_string(i));
    publish(expected.back(), {.delay_ms = 1'000 + i * 20});
    if (i % 7 == 0) queue->evict();
    if (i % 11 == 0) answer();
    if (i % 23 == 0) commit();
    if (i % 31 == 0) ++now;
  }
  Texts got;
  for (int i = 0; queue->shown_count() > 0; ++i) {
    ASSERT_LT(i, 100'000);
    now += 3;
    wake();
    queue->evict();
    if (i % 3 != 0) answer();
    if (i % 5 == 0) commit();
    for (std::string& text : take_released()) got.push_back(std::move(text));
  }
  EXPECT_EQ(got, expected);
  rest();
  EXPECT_EQ(store.stats().messages, 0u);
}

TEST_F(DelayedMemoryTest, WithoutABudgetAPageAtATime) {
  residents.window_bytes = 1'000'000;
  residents.bytes_max = 0;
  open("amq.delayed.x");
  publish_many();
  EXPECT_LT(queue->info().delayed_in_memory, 80u);  // of 16 KiB
  Texts got;
  while (queue->shown_count() > 0) {
    advance(100);
    EXPECT_LT(queue->info().delayed_in_memory, 80u);
    for (std::string& text : take_released()) got.push_back(std::move(text));
  }
  EXPECT_EQ(got, expected);
}

// By random use against a model: ids, cancels and replacements, in memory and in the store only.
TEST_F(DelayedMemoryTest, CancelsFindTheirOwnWhereverTheyWait) {
  for (const bool durable_exchange : {true, false}) {
    open("amq.delayed.x", {}, durable_exchange);
    std::mt19937_64 random(7);
    std::map<std::string, std::set<std::string>> waiting;  // texts, by id
    int last = 0;
    const auto any = [&](int bound) {
      return static_cast<int>(random() % static_cast<unsigned>(bound));
    };
    for (int step = 0; step < 6'000; ++step) {
      const std::string id = "id" + std::to_string(any(400));
      const std::string text = std::to_string(++last);
      const int choice = any(20);
      if (choice < 12) {
        publish(text, {.delay_ms = 1'000'000 + any(1'000), .id = id});
        waiting[id].insert(text);
      } else if (choice < 14) {
        publish("", {.id = id, .cancel = true});
        waiting.erase(id);
      } else if (choice < 16) {
        publish(text, {.delay_ms = 1'000'000 + any(1'000), .id = id, .replace = true});
        waiting[id] = {text};
      } else if (choice < 17) {
        ++now;
      } else if (choice < 18) {
        answer();
        queue->evict();
      } else {
        wake();
        commit();
      }
    }
    rest();
    advance(2'000'000);
    std::set<std::string> expected_texts;
    for (const auto& [id, texts] : waiting) expected_texts.insert(texts.begin(), texts.end());
    const Texts got = take_released();
    EXPECT_EQ(got.size(), expected_texts.size());
    EXPECT_EQ(std::set<std::string>(got.begin(), got.end()), expected_texts);
    EXPECT_EQ(store.stats().messages, 0u);
  }
}

// However many events a turn has.
TEST_F(DelayedMemoryTest, ATurnRoutesNoMoreThanItHasRoomFor) {
  open("amq.delayed.x");
  publish_many();
  room = 0;
  advance(0);
  now += 100'000;
  room = 50;
  for (int i = 0; i < 10; ++i) {
    wake();
    answer();
    commit();
    publish("more", {.delay_ms = 200'000});
  }
  EXPECT_EQ(released.size(), 50u);
  EXPECT_LE(alarm, now) << "it has more to do";
  room = 1'000'000;
  rest();
  EXPECT_EQ(take_released(), expected);
}

class RetryMemoryTest : public RetryTest {
 protected:
  // All of them fail and are due.
  void fail_many(int count) {
    consume(1'000);
    for (int i = 0; i < count; ++i) publish(std::to_string(i), {});
    rest();
    take_delivered();
    ASSERT_EQ(last.size(), static_cast<std::size_t>(count));
    queue->cancel(last.front().consumer);
    for (const Delivery& each : last) settle(each, Outcome::Fail);
    advance(100);
  }
};

TEST_F(RetryMemoryTest, ThoseThatAreReadyAreBoundedByBytes) {
  open("q", retry("failed"));
  fail_many(200);
  const std::uint64_t each = message("1", {})->footprint();
  const QueueInfo info = queue->info();
  EXPECT_GE(info.messages_ready * each, residents.window_bytes / 2);
  EXPECT_LE(info.messages_ready * each, residents.window_bytes + 2 * each);
  EXPECT_EQ(info.messages_ready + info.messages_delayed, 200u);
  consume(1'000);
  EXPECT_EQ(take_delivered().size(), 200u);
}

TEST_F(RetryMemoryTest, OneIsReadyHoweverLargeItIs) {
  residents.window_bytes = 1;
  open("q", retry("failed"));
  fail_many(3);
  EXPECT_EQ(queue->info().messages_ready, 1u);
  consume(1'000);
  EXPECT_EQ(take_delivered(), (Texts{"0", "1", "2"}));
}

// ---- a clock that is set back ----

class ClockSetBackTest : public RetryTest {
 protected:
  // x is due, is with a consumer again, and has a higher position than all that waits from then on.
  void hold_x_and_set_back(int others) {
    open("q", retry("failed"));
    consume(1'000);
    publish("x", {});
    for (int i = 0; i < others; ++i) publish(std::to_string(i), {});
    rest();
    take_delivered();
    const std::vector<Delivery> all = last;
    settle(all[0], Outcome::Fail);
    advance(100);
    ASSERT_EQ(take_delivered(), (Texts{"x"}));
    x = last[0];
    now -= 50'000;
    for (int i = 0; i < others; ++i) settle(all[static_cast<std::size_t>(i) + 1], Outcome::Fail);
    rest();
    ASSERT_EQ(queue->info().messages_delayed, static_cast<std::uint64_t>(others));
  }
  Delivery x;
};

TEST_F(ClockSetBackTest, WhatIsPurgedDoesNotComeBack) {
  hold_x_and_set_back(2);
  EXPECT_EQ(queue->purge(*this), 2u);
  rest();
  EXPECT_EQ(store.stats().messages, 1u);
  reopen(false);
  advance(100'000);
  consume(1'000);
  EXPECT_EQ(take_delivered(), (Texts{"x"}));
}

TEST_F(ClockSetBackTest, WhatIsWithAConsumerIsNotReadAgain) {
  hold_x_and_set_back(100);
  advance(300);
  const Texts got = take_delivered();
  EXPECT_EQ(std::set<std::string>(got.begin(), got.end()).size(), 100u);
  EXPECT_EQ(std::ranges::count(got, "x"), 0);
  for (const Delivery& each : last) settle(each, Outcome::Ack);
  settle(x, Outcome::Ack);
  rest();
  EXPECT_EQ(store.stats().messages, 0u);
}

}  // namespace
}  // namespace harrier::broker
