// SPDX-License-Identifier: Apache-2.0
#include "persistence/seq_ranges.hpp"

#include <limits>
#include <random>
#include <set>

#include <gtest/gtest.h>

namespace harrier::persistence_tests {
namespace {

using persistence::Seq;
using persistence::SeqRanges;

using Ranges = std::map<Seq, Seq>;
constexpr Seq kMax = std::numeric_limits<Seq>::max();

TEST(SeqRanges, JoinsWhatOverlapsOrTouches) {
  SeqRanges ranges;
  ranges.add(10, 20);
  ranges.add(30, 40);
  EXPECT_EQ(ranges.ranges(), (Ranges{{10, 20}, {30, 40}}));
  ranges.add(21, 29);
  EXPECT_EQ(ranges.ranges(), (Ranges{{10, 40}}));
  ranges.add(15, 16);
  EXPECT_EQ(ranges.ranges(), (Ranges{{10, 40}}));
  ranges.remove(20);
  EXPECT_EQ(ranges.ranges(), (Ranges{{10, 19}, {21, 40}}));
  EXPECT_EQ(ranges.end_of(19), 19u);
  EXPECT_EQ(ranges.end_of(20), std::nullopt);
  EXPECT_EQ(ranges.end_of(21), 40u);
}

TEST(SeqRanges, HoldsTheEndsOfTheNumbers) {
  SeqRanges ranges;
  ranges.add(5, kMax);
  ranges.add(0, 0);
  ranges.add(kMax, kMax);
  EXPECT_EQ(ranges.ranges(), (Ranges{{0, 0}, {5, kMax}}));
  ranges.add(1, 4);
  EXPECT_EQ(ranges.ranges(), (Ranges{{0, kMax}}));
  ranges.remove(0);
  ranges.remove(kMax);
  EXPECT_EQ(ranges.ranges(), (Ranges{{1, kMax - 1}}));
}

TEST(SeqRanges, IsASetOfPositions) {
  std::mt19937 random(1);
  for (int round = 0; round < 50; ++round) {
    SeqRanges ranges;
    std::set<Seq> model;
    for (int step = 0; step < 100; ++step) {
      const Seq from = random() % 60;
      if (random() % 2 == 0) {
        const Seq up_to = from + random() % 8;
        ranges.add(from, up_to);
        for (Seq seq = from; seq <= up_to; ++seq) model.insert(seq);
      } else {
        ranges.remove(from);
        model.erase(from);
      }
      std::set<Seq> held;
      Seq above = 0;
      for (const auto& [first, last] : ranges.ranges()) {
        ASSERT_LE(first, last);
        ASSERT_TRUE(held.empty() || first > above + 1);
        for (Seq seq = first; seq <= last; ++seq) {
          held.insert(seq);
          ASSERT_EQ(ranges.end_of(seq), last);
        }
        above = last;
      }
      ASSERT_EQ(held, model);
    }
  }
}

}  // namespace
}  // namespace harrier::persistence_tests
