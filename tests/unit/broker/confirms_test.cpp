// SPDX-License-Identifier: Apache-2.0
#include "broker/core/confirms.hpp"

#include <random>
#include <set>
#include <string>

#include <gtest/gtest.h>

namespace harrier::broker {
namespace {

// "ack 3*" is an ack with multiple.
std::string flush(Confirms& confirms) {
  std::string text;
  const auto say = [&](const char* what, std::uint64_t sequence, bool multiple) {
    text += (text.empty() ? "" : ", ") + std::string(what) + std::to_string(sequence) +
            (multiple ? "*" : "");
  };
  confirms.flush([&](std::uint64_t sequence, bool multiple) { say("ack ", sequence, multiple); },
                 [&](std::uint64_t sequence) { say("nack ", sequence, false); });
  return text;
}

TEST(ConfirmsTest, CoalescesWhatIsSettledUpToTheFirstThatIsNot) {
  Confirms confirms;
  for (int i = 0; i < 5; ++i) confirms.add(1);
  for (const std::uint64_t sequence : {3u, 1u, 2u, 5u}) confirms.settle(sequence, true);
  EXPECT_EQ(flush(confirms), "ack 3*");
  EXPECT_EQ(flush(confirms), "");
  confirms.settle(4, true);
  EXPECT_EQ(flush(confirms), "ack 5*");
  EXPECT_EQ(confirms.open_count(), 0u);
}

TEST(ConfirmsTest, ASingleOneIsNotMultiple) {
  Confirms confirms;
  EXPECT_EQ(confirms.add(0), 1u);  // routed nowhere
  EXPECT_TRUE(confirms.has_settled());
  EXPECT_EQ(flush(confirms), "ack 1");
}

TEST(ConfirmsTest, WaitsForEveryQueue) {
  Confirms confirms;
  confirms.add(2);
  confirms.settle(1, true);
  EXPECT_EQ(flush(confirms), "");
  confirms.settle(1, true);
  EXPECT_EQ(flush(confirms), "ack 1");
}

TEST(ConfirmsTest, ARefusalSplitsTheRun) {
  Confirms confirms;
  for (int i = 0; i < 5; ++i) confirms.add(1);
  for (std::uint64_t sequence = 1; sequence <= 5; ++sequence) {
    confirms.settle(sequence, sequence != 3);
  }
  EXPECT_EQ(flush(confirms), "ack 2*, nack 3, ack 5*");
}

TEST(ConfirmsTest, OneRefusingQueueOfTwoIsARefusal) {
  Confirms confirms;
  confirms.add(2);
  confirms.settle(1, false);
  confirms.settle(1, true);
  EXPECT_EQ(flush(confirms), "nack 1");
}

TEST(ConfirmsTest, NeverAnswersTwiceAndForgetsNothing) {
  std::mt19937_64 random(5);
  Confirms confirms;
  std::uint64_t added = 0;
  std::uint64_t answered = 0;
  std::set<std::uint64_t> open;
  for (int step = 0; step < 20'000; ++step) {
    switch (random() % 3) {
      case 0:
        open.insert(confirms.add(1));
        ++added;
        break;
      case 1:
        if (!open.empty()) {
          auto at = open.begin();
          std::advance(
              at, static_cast<std::ptrdiff_t>(random() % std::min<std::size_t>(open.size(), 9)));
          confirms.settle(*at, random() % 10 != 0);
          open.erase(at);
        }
        break;
      default:
        confirms.flush(
            [&](std::uint64_t sequence, bool multiple) {
              ASSERT_GT(sequence, answered);
              ASSERT_EQ(multiple, sequence - answered > 1);
              answered = sequence;
            },
            [&](std::uint64_t sequence) { ASSERT_EQ(sequence, ++answered); });
        ASSERT_EQ(answered, open.empty() ? added : *open.begin() - 1);
    }
  }
  confirms.settle(answered, true);  // no longer open: ignored
  confirms.settle(added + 10, true);
  EXPECT_EQ(confirms.open_count(), added - answered);
}

}  // namespace
}  // namespace harrier::broker
