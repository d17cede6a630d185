// SPDX-License-Identifier: Apache-2.0
#include "broker/bench/ledger.hpp"

#include <random>

#include <gtest/gtest.h>

namespace harrier::bench {
namespace {

TEST(SequenceSet, KnowsWhatItHas) {
  SequenceSet set;
  EXPECT_EQ(set.first_missing(), 0u);
  for (std::uint64_t number = 0; number < 130; ++number) {
    EXPECT_TRUE(set.insert(number));
    EXPECT_EQ(set.first_missing(), number + 1);
  }
  for (std::uint64_t number = 0; number < 130; ++number) EXPECT_FALSE(set.insert(number));
  EXPECT_TRUE(set.insert(1000));
  EXPECT_FALSE(set.insert(1000));
  EXPECT_EQ(set.size(), 131u);
  EXPECT_EQ(set.first_missing(), 130u);
}

TEST(SequenceSet, TakesNumbersInAnyOrderOnce) {
  std::vector<std::uint64_t> numbers(5000);
  for (std::size_t i = 0; i < numbers.size(); ++i) numbers[i] = i;
  std::shuffle(numbers.begin(), numbers.end(), std::mt19937(3));
  SequenceSet set;
  for (const std::uint64_t number : numbers) EXPECT_TRUE(set.insert(number));
  for (const std::uint64_t number : numbers) EXPECT_FALSE(set.insert(number));
  EXPECT_EQ(set.size(), numbers.size());
  EXPECT_EQ(set.first_missing(), numbers.size());
}

class TwoByTwo : public testing::Test {
 protected:
  BodyHeader send(std::uint32_t publisher, std::uint32_t queue) {
    const std::uint32_t stream = ledger_.stream(publisher, queue);
    return {stream, ledger_.next_sequence(stream), 0};
  }
  const Violations& settled() {
    ledger_.settle();
    return ledger_.violations();
  }

  Ledger ledger_{2, 2, false};
  Ledger::View first_ = ledger_.view(0), second_ = ledger_.view(1);
};

TEST_F(TwoByTwo, AllThatWasSentMustArriveOnce) {
  std::vector<BodyHeader> to_first, to_second;
  for (int i = 0; i < 100; ++i) {
    to_first.push_back(send(0, 0));
    to_first.push_back(send(1, 0));
    to_second.push_back(send(1, 1));
  }
  for (const BodyHeader& header : to_first) ledger_.received(first_, header, false);
  EXPECT_FALSE(ledger_.complete());
  EXPECT_EQ(ledger_.underway(), 100u);
  for (const BodyHeader& header : to_second) ledger_.received(second_, header, false);
  EXPECT_TRUE(ledger_.complete());
  EXPECT_EQ(settled().total(), 0u);
}

TEST_F(TwoByTwo, LossIsFoundWithItsPlace) {
  const BodyHeader a = send(1, 0), b = send(1, 0), c = send(1, 0);
  ledger_.received(first_, a, false);
  ledger_.received(first_, c, false);
  EXPECT_FALSE(ledger_.complete());
  EXPECT_EQ(settled().lost, 1u);
  EXPECT_EQ(settled().texts.front(),
            "publisher 1 to queue 0: 1 of 3 messages never came, the first is " +
                std::to_string(b.sequence));
}

TEST_F(TwoByTwo, DuplicatesAreFoundEvenIfMarkedAsRedelivered) {
  const BodyHeader a = send(0, 0);
  ledger_.received(first_, a, false);
  ledger_.received(first_, a, true);
  EXPECT_EQ(settled().duplicates, 1u);
  EXPECT_EQ(settled().total(), 1u);
}

TEST_F(TwoByTwo, OrderIsByPublisherAndConsumer) {
  const BodyHeader a = send(0, 0), b = send(0, 0), other = send(1, 0);
  Ledger::View colleague = ledger_.view(0);
  ledger_.received(first_, b, false);
  ledger_.received(first_, other, false);
  ledger_.received(colleague, a, false);  // another consumer of the same queue may be slower
  EXPECT_EQ(ledger_.violations().total(), 0u);
  const BodyHeader c = send(0, 0), d = send(0, 0);
  ledger_.received(first_, d, false);
  ledger_.received(first_, c, false);
  EXPECT_EQ(settled().reordered, 1u);
  EXPECT_EQ(settled().total(), 1u);
}

TEST_F(TwoByTwo, WrongQueuesAndUnsentMessagesAreFound) {
  const BodyHeader a = send(0, 0);
  ledger_.received(second_, a, false);
  EXPECT_EQ(ledger_.violations().misrouted, 1u);
  ledger_.received(first_, {a.stream, a.sequence + 1, 0}, false);
  EXPECT_EQ(ledger_.violations().misrouted, 2u);
  ledger_.received(first_, {99, 0, 0}, false);
  EXPECT_EQ(ledger_.violations().misrouted, 3u);
  ledger_.damaged(first_);
  EXPECT_EQ(ledger_.violations().damaged, 1u);
}

TEST(LedgerClasses, OrderCountsWithinAClassOnly) {
  constexpr std::uint32_t kClasses = 3;
  Ledger ledger(1, 1, false, kClasses);
  Ledger::View view = ledger.view(0);
  std::vector<std::vector<BodyHeader>> sent(kClasses);
  for (int i = 0; i < 60; ++i) {
    const BodyHeader header{ledger.stream(0, 0), ledger.next_sequence(0), 0};
    sent[class_of(header, kClasses)].push_back(header);
  }
  for (const auto& same : sent) {  // one class after the other, each in its order
    ASSERT_GE(same.size(), 2u);
    for (std::size_t i = 0; i + 2 < same.size(); ++i) ledger.received(view, same[i], false);
  }
  EXPECT_EQ(ledger.violations().total(), 0u);
  for (const auto& same : sent) {
    ledger.received(view, same[same.size() - 1], false);
    ledger.received(view, same[same.size() - 2], false);
  }
  EXPECT_EQ(ledger.violations().reordered, kClasses);
  EXPECT_TRUE(ledger.complete());
}

TEST(LedgerFanout, EveryQueueGetsEverything) {
  Ledger ledger(1, 3, true);
  std::vector<Ledger::View> views = {ledger.view(0), ledger.view(1), ledger.view(2)};
  for (int i = 0; i < 10; ++i) {
    const BodyHeader header{ledger.stream(0, 0), ledger.next_sequence(0), 0};
    for (auto& view : views) {
      if (i == 4 && view.queue == 2) continue;
      ledger.received(view, header, false);
    }
  }
  EXPECT_EQ(ledger.expected(), 30u);
  EXPECT_EQ(ledger.received_once(), 29u);
  ledger.settle();
  EXPECT_EQ(ledger.violations().lost, 1u);
  EXPECT_EQ(ledger.violations().total(), 1u);
}

TEST(Violations, KeepsTheFirstTextsAndCountsAll) {
  Violations violations;
  for (int i = 0; i < 100; ++i) violations.note(violations.lost, 2, "text " + std::to_string(i));
  EXPECT_EQ(violations.lost, 200u);
  EXPECT_EQ(violations.total(), 200u);
  EXPECT_EQ(violations.texts.size(), 10u);
  EXPECT_EQ(violations.texts.back(), "text 9");
}

}  // namespace
}  // namespace harrier::bench
