// SPDX-License-Identifier: Apache-2.0
//
// What waits until it is due, in one queue over a store whose answers and dones come when the test
// says so: the queue where an exchange delays, by a random model with crashes, and a queue whose
// returned messages wait.
#include <algorithm>
#include <map>
#include <random>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "tests/unit/broker/delayed_fixture.hpp"

namespace harrier::broker {
namespace {

TEST_F(DelayedMessagesTest, GoOnWhenTheyAreDueInThatOrder) {
  open("amq.delayed.x");
  EXPECT_EQ(publish("late", {.delay_ms = 3'000}), Queue::Taken::Stored);
  publish("soon", {.delay_ms = 1'000});
  EXPECT_EQ(publish("memory", {.delay_ms = 2'000, .persistent = false}), Queue::Taken::Stored);
  publish("soon-too", {.delay_ms = 1'000});
  rest();
  EXPECT_EQ(queue->shown_count(), 4u);
  EXPECT_EQ(queue->ready_count(), 0u);
  EXPECT_EQ(alarm, now + 1'000);
  advance(999);
  EXPECT_TRUE(released.empty());
  advance(1);
  ASSERT_EQ(released.size(), 2u);
  const auto delay = released[0]->properties().headers().find("x-delay");
  EXPECT_EQ(delay->as_integer(), -1'000);  // C-513
  EXPECT_EQ(take_released(), (Texts{"soon", "soon-too"}));
  advance(1'000);
  EXPECT_EQ(take_released(), (Texts{"memory"}));
  advance(1'000);
  EXPECT_EQ(take_released(), (Texts{"late"}));
  EXPECT_EQ(store.stats().messages, 0u);
}

TEST_F(DelayedMessagesTest, MillionsCostTheirWindow) {
  open("amq.delayed.x");
  std::mt19937_64 random(3);
  std::size_t most = 0;
  for (int i = 0; i < 20'000; ++i) {
    publish(std::to_string(i), {.delay_ms = static_cast<std::int64_t>(1 + random() % 100'000),
                                .persistent = i % 2 == 0});
    most = std::max(most, queue->info().delayed_in_memory);
    if (i % 100 == 99) {
      ++now;
      rest();
    }
  }
  EXPECT_GT(queue->shown_count(), 19'000u);
  EXPECT_LT(most, 250u);  // the window, and what came in this and the last millisecond
  std::size_t count = take_released().size();
  while (queue->shown_count() > 0) {
    advance(500);
    EXPECT_LT(queue->info().delayed_in_memory, 250u);
    count += take_released().size();
  }
  EXPECT_EQ(count, 20'000u);
}

// What is larger than the window is fetched once, not again and again.
TEST_F(DelayedMessagesTest, OneMayBeLargerThanTheWindow) {
  open("amq.delayed.x");
  publish("small", {.delay_ms = 1'000});
  const std::string large = std::string(2 * residents.window_bytes, 'x');
  for (int i = 0; i < 3; ++i) publish(large, {.delay_ms = 2'000 + 100 * i});
  rest();
  reopen(false);
  rest();  // and it comes to that
  EXPECT_EQ(queue->shown_count(), 4u);
  EXPECT_LE(queue->info().delayed_in_memory, 2u);
  advance(1'000);
  EXPECT_EQ(take_released(), (Texts{"small"}));
  advance(1'200);
  EXPECT_EQ(released.size(), 3u);
}

TEST_F(DelayedMessagesTest, OverdueAfterARestart) {
  open("amq.delayed.x");
  publish("a", {.delay_ms = 1'000});
  publish("b", {.delay_ms = 500});
  publish("transient", {.delay_ms = 100, .persistent = false});
  publish("c", {.delay_ms = 100'000});
  rest();
  now += 5'000;
  reopen(false);
  rest();
  EXPECT_EQ(take_released(), (Texts{"transient", "b", "a"}));
  publish("d", {.delay_ms = 95'000});  // due when c is: the position of that is taken
  rest();
  advance(95'000);
  EXPECT_EQ(take_released(), (Texts{"c", "d"}));
}

TEST_F(DelayedMessagesTest, AreCancelledAndReplacedByTheirId) {
  open("amq.delayed.x");
  for (int i = 0; i < 200; ++i)
    publish(std::to_string(i), {.delay_ms = 1'000 + i * 20, .id = std::to_string(i)});
  rest();
  ++now;
  for (const int i : {0, 7, 150, 199}) publish("", {.id = std::to_string(i), .cancel = true});
  publish("new", {.delay_ms = 10, .id = "100", .replace = true});
  publish("again", {.delay_ms = 20, .id = "199"});  // after the cancel: it stays
  rest();
  EXPECT_EQ(queue->shown_count(), 200u - 5 + 2);
  advance(10);
  EXPECT_EQ(take_released(), (Texts{"new"}));
  advance(10'000);
  Texts expected{"again"};
  for (int i = 0; i < 200; ++i) {
    if (i != 0 && i != 7 && i != 100 && i != 150 && i != 199) expected.push_back(std::to_string(i));
  }
  EXPECT_EQ(take_released(), expected);
  EXPECT_EQ(store.stats().messages, 0u);
}

TEST_F(DelayedMessagesTest, ACancelSurvivesACrash) {
  open("amq.delayed.x");
  for (int i = 0; i < 200; ++i)
    publish(std::to_string(i), {.delay_ms = 1'000 + i * 20, .id = std::to_string(i)});
  rest();
  ++now;
  EXPECT_EQ(publish("", {.id = "150", .cancel = true}), Queue::Taken::Stored);
  commit();
  reopen(false);  // before the store was looked through
  rest();
  EXPECT_EQ(queue->shown_count(), 199u);
  advance(10'000);
  const Texts texts = take_released();
  EXPECT_EQ(texts.size(), 199u);
  EXPECT_EQ(std::ranges::count(texts, "150"), 0);
}

// The wish is confirmed, and what it names is due before the store has been looked through.
TEST_F(DelayedMessagesTest, WhatIsCancelledDoesNotGoWhileTheStoreIsLookedThrough) {
  open("amq.delayed.x");
  for (int i = 0; i < 200; ++i)
    publish(std::to_string(i), {.delay_ms = 1'000 + i * 20, .id = std::to_string(i)});
  rest();
  ++now;
  publish("", {.id = "150", .cancel = true});
  commit();
  wake();
  ASSERT_EQ(fetches.size(), 1u);
  const Fetched scan = std::exchange(fetches, {}).front();  // its answer takes its time
  advance(10'000);
  const Texts texts = take_released();
  EXPECT_EQ(texts.size(), 199u);
  EXPECT_EQ(std::ranges::count(texts, "150"), 0);
  fetches.push_back(scan);
  rest();
  EXPECT_EQ(queue->shown_count(), 0u);
  EXPECT_EQ(store.stats().messages, 0u);
}

TEST_F(DelayedMessagesTest, OfATransientExchangeWaitInMemory) {
  open("amq.delayed.x", {}, false);
  EXPECT_EQ(publish("a", {.delay_ms = 1'000, .id = "a"}), Queue::Taken::InMemory);
  EXPECT_EQ(publish("b", {.delay_ms = 1'000, .id = "b"}), Queue::Taken::InMemory);
  EXPECT_EQ(publish("", {.id = "a", .cancel = true}), Queue::Taken::InMemory);
  EXPECT_TRUE(batch.empty());
  advance(1'000);
  EXPECT_EQ(take_released(), (Texts{"b"}));
}

// Never before its time, never twice, never lost once it was durable, equal due times in order.
class DelayedModelTest : public DelayedMessagesTest {
 protected:
  struct Waiting {
    Millis due = 0;
    std::uint64_t batch = 0;
  };

  void publish_one(std::mt19937_64& random) {
    const std::string text = std::to_string(++last_);
    Wish wish;
    wish.delay_ms = static_cast<std::int64_t>(1 + random() % (random() % 2 == 0 ? 50 : 5'000));
    wish.persistent = random() % 4 != 0;
    publish(text, wish);
    waiting_[text] = {now + wish.delay_ms, current_batch()};
    check_released();
  }
  void check_released() {
    for (const MessagePtr& each : std::exchange(released, {})) {
      const std::string text = text_of(*each);
      const auto at = waiting_.find(text);
      ASSERT_TRUE(at != waiting_.end()) << text << " again";
      EXPECT_LE(at->second.due, now) << text << " before its time";
      gone_.emplace_back(current_batch(), *at);
      waiting_.erase(at);
    }
  }
  void committed() { gone_.clear(); }
  void crash() {
    for (auto& [in, each] : gone_) waiting_.insert(each);
    gone_.clear();
    std::erase_if(waiting_, [&](const auto& each) { return each.second.batch > durable; });
    reopen(false);
    check_released();
  }

  std::uint64_t last_ = 0;
  std::map<std::string, Waiting> waiting_;
  std::vector<std::pair<std::uint64_t, std::pair<const std::string, Waiting>>> gone_;
};

TEST_F(DelayedModelTest, RandomUse) {
  open("amq.delayed.x");
  for (unsigned seed = 1; seed <= 20; ++seed) {
    std::mt19937_64 random(seed);
    for (int step = 0; step < 1'500; ++step) {
      const std::uint64_t choice = random() % 100;
      if (choice < 45) {
        publish_one(random);
      } else if (choice < 60) {
        now += static_cast<Millis>(random() % 40);
      } else if (choice < 75) {
        wake();
      } else if (choice < 88) {
        answer();
      } else if (choice < 99 || random() % 4 != 0) {
        check_released();
        committed();
        commit();
      } else {
        crash();
      }
      check_released();
      ASSERT_EQ(queue->shown_count(), waiting_.size()) << "seed " << seed << " step " << step;
    }
    rest();
    check_released();
    committed();
    for (const auto& [text, each] : waiting_)
      ASSERT_GT(each.due + 16, now) << text << " is overdue";
  }
  advance(10'000);
  check_released();
  EXPECT_TRUE(waiting_.empty());
  EXPECT_EQ(store.stats().messages, 0u);
}

// ---- retries ----

TEST_F(RetryTest, WaitsLongerEachTimeAndComesAhead) {
  open("q", retry("failed"));
  for (const char* text : {"a", "b", "c", "d", "e"}) publish(text, {});
  consume();
  EXPECT_EQ(take_delivered(), (Texts{"a", "b", "c"}));
  settle(last[0], Outcome::Fail);
  EXPECT_EQ(take_delivered(), (Texts{"d"}));
  const Delivery d = last[0];
  advance(99);
  EXPECT_EQ(queue->info().messages_delayed, 1u);
  advance(1);
  settle(d, Outcome::Ack);
  EXPECT_EQ(take_delivered(), (Texts{"a"}));  // before e
  EXPECT_EQ(last[0].returns, 1u);
  EXPECT_TRUE(last[0].redelivered);
  settle(last[0], Outcome::Fail);
  EXPECT_EQ(take_delivered(), (Texts{"e"}));
  settle(last[0], Outcome::Ack);
  advance(199);
  EXPECT_EQ(take_delivered(), (Texts{}));
  advance(1);
  EXPECT_EQ(take_delivered(), (Texts{"a"}));
  settle(last[0], Outcome::Fail);
  advance(250);  // no more than that
  EXPECT_EQ(take_delivered(), (Texts{"a"}));
  settle(last[0], Outcome::Ack);
  rest();
  EXPECT_EQ(store.stats().messages, 2u);  // b and c
}

TEST_F(RetryTest, OfAGroupComesAheadOfTheRest) {
  protocol::Table arguments = retry("all");
  arguments.add("x-message-group-header", "routing-key");  // all are of one
  open("q", arguments);
  for (const char* text : {"a", "b", "c", "d", "e"}) publish(text, {});
  consume();
  EXPECT_EQ(take_delivered(), (Texts{"a", "b", "c"}));
  const std::vector<Delivery> first = last;
  settle(first[0], Outcome::Fail);
  EXPECT_EQ(take_delivered(), (Texts{"d"}));  // it does not hold up its group
  advance(100);
  settle(first[1], Outcome::Ack);
  EXPECT_EQ(take_delivered(), (Texts{"a"}));
  settle(first[2], Outcome::Ack);
  EXPECT_EQ(take_delivered(), (Texts{"e"}));
}

// Each level has its own, and what waits comes back to it.
TEST_F(RetryTest, KeepsItsLevelAndItsTimeToLive) {
  protocol::Table arguments = retry("all");
  arguments.add_int32("x-max-priority", 5).add_int32("x-message-ttl", 150);
  open("q", arguments);
  publish("low", {});
  publish("high", {.priority = 3});
  consume();
  EXPECT_EQ(take_delivered().size(), 2u);
  const std::vector<Delivery> first = last;
  settle(first[0], Outcome::Fail);
  settle(first[1], Outcome::Fail);
  advance(100);
  EXPECT_EQ(take_delivered(), (Texts{"high", "low"}));
  settle(last[0], Outcome::Fail);
  settle(last[1], Outcome::Ack);
  advance(200);  // past its time to live: it is gone, and not given out
  EXPECT_EQ(take_delivered(), (Texts{}));
  EXPECT_EQ(queue->info().messages_delayed, 0u);
  EXPECT_EQ(store.stats().messages, 0u);
}

// A retry that comes ahead may have come later, and expires later.
TEST_F(RetryTest, ExpiresByItsOwnTimeWhateverIsAheadOfIt) {
  protocol::Table arguments = retry("all", "fixed");
  arguments.add_int32("x-message-ttl", 1'000);
  open("q", arguments);
  publish("early", {});
  consume();
  EXPECT_EQ(take_delivered(), (Texts{"early"}));
  const Delivery early = last[0];
  advance(500);
  publish("late", {});
  rest();
  EXPECT_EQ(take_delivered(), (Texts{"late"}));
  const Delivery late = last[0];
  queue->cancel(late.consumer);
  settle(late, Outcome::Fail);
  advance(50);
  settle(early, Outcome::Fail);  // due after the other: behind it
  advance(100);
  EXPECT_EQ(queue->info().messages_ready, 2u);
  advance(349);
  EXPECT_EQ(queue->info().messages_ready, 2u);
  advance(1);
  EXPECT_EQ(queue->info().messages_ready, 1u);
  advance(500);
  EXPECT_EQ(queue->info().messages_ready, 0u);
  EXPECT_EQ(store.stats().messages, 0u);
}

TEST_F(RetryTest, TheTypeSaysWhoWaits) {
  for (const char* type : {"failed", "returned", "all", "disabled"}) {
    for (const Outcome outcome : {Outcome::Fail, Outcome::Requeue}) {
      open("q", retry(type));
      publish("a", {});
      consume();
      take_delivered();
      settle(last[0], outcome);
      const bool waits = type == std::string_view("all") ||
                         (type == std::string_view("failed") && outcome == Outcome::Fail) ||
                         (type == std::string_view("returned") && outcome == Outcome::Requeue);
      EXPECT_EQ(take_delivered().empty(), waits) << type;
      EXPECT_EQ(queue->info().messages_delayed, waits ? 1u : 0u) << type;
      queue->close(*this);
      commit();
    }
  }
}

TEST_F(RetryTest, SurvivesARestartWithItsTimeAndCount) {
  open("q", retry("all", "exponential"));
  publish("a", {});
  publish("b", {});
  consume();
  take_delivered();
  settle(last[0], Outcome::Fail);
  rest();
  now += 50;
  reopen(true);
  rest();
  consume();
  EXPECT_EQ(take_delivered(), (Texts{"b"}));
  advance(50);
  EXPECT_EQ(take_delivered(), (Texts{"a"}));
  EXPECT_EQ(last[0].returns, 1u);
  rest();
  reopen(false);  // a was with a consumer: it is due still
  rest();
  consume();
  EXPECT_EQ(take_delivered(), (Texts{"a", "b"}));
  EXPECT_EQ(last[0].returns, 1u);
  settle(last[0], Outcome::Ack);
  settle(last[1], Outcome::Ack);
  rest();
  EXPECT_EQ(store.stats().messages, 0u);
}

TEST_F(RetryTest, TheLastReturnIsADeadLetterAndPurgeTakesThemAll) {
  protocol::Table arguments = retry("all");
  arguments.add_int32("x-delivery-limit", 1);
  open("q", arguments);
  publish("a", {});
  publish("b", {});
  consume();
  take_delivered();
  settle(last[0], Outcome::Fail);
  settle(last[1], Outcome::Fail);
  advance(100);
  EXPECT_EQ(take_delivered(), (Texts{"a", "b"}));
  settle(last[0], Outcome::Fail);  // dropped: there is no exchange for it
  rest();
  EXPECT_EQ(queue->info().messages_delayed, 0u);
  EXPECT_EQ(store.stats().messages, 1u);
  publish("c", {});
  take_delivered();
  settle(last[0], Outcome::Requeue);
  EXPECT_EQ(queue->purge(*this), 1u);
  rest();
  EXPECT_EQ(store.stats().messages, 1u);  // b is with the consumer
}

TEST(RetryDelayTest, GrowsByItsStrategyAndShrinksByItsJitter) {
  QueueSettings settings;
  EXPECT_FALSE(RetryDelay::of(settings));
  settings.delayed_retry = DelayedRetry::All;
  settings.delayed_retry_min_ms = 100;
  settings.delayed_retry_max_ms = 1'000;
  const auto delays = [&] {
    std::vector<Millis> all;
    for (const std::uint32_t returns : {1u, 2u, 3u, 4u, 11u, 4'000'000'000u})
      all.push_back(RetryDelay::of(settings)->delay_ms(returns, returns));
    return all;
  };
  EXPECT_EQ(delays(), (std::vector<Millis>{100, 200, 300, 400, 1'000, 1'000}));
  settings.retry_strategy = RetryStrategy::Exponential;
  EXPECT_EQ(delays(), (std::vector<Millis>{100, 200, 400, 800, 1'000, 1'000}));
  settings.retry_strategy = RetryStrategy::Fixed;
  EXPECT_EQ(delays(), (std::vector<Millis>{100, 100, 100, 100, 100, 100}));
  settings.retry_jitter_percent = 50;
  std::set<Millis> seen;
  for (std::uint64_t salt = 0; salt < 1'000; ++salt)
    seen.insert(RetryDelay::of(settings)->delay_ms(1, salt));
  EXPECT_EQ(*seen.begin(), 50);
  EXPECT_EQ(*seen.rbegin(), 100);
}

}  // namespace
}  // namespace harrier::broker
