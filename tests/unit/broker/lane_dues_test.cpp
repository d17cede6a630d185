// SPDX-License-Identifier: Apache-2.0
//
// Which lanes of a queue have something due: against a plain array, and that a queue of 256 levels
// looks at those lanes only.
#include "broker/core/lane_dues.hpp"

#include <algorithm>
#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <random>
#include <vector>

#include <gtest/gtest.h>

#include "broker/core/levels.hpp"

namespace harrier::broker {
namespace {

TEST(LaneDuesTest, KnowsWhatAnArrayKnows) {
  std::mt19937 random(1);
  std::array<Millis, LaneDues::kLevels> model{};
  model.fill(kNeverDue);
  LaneDues dues;
  EXPECT_EQ(dues.first(), kNeverDue);
  for (int step = 0; step < 20'000; ++step) {
    const std::size_t level = random() % LaneDues::kLevels;
    const Millis due = random() % 3 == 0 ? kNeverDue : static_cast<Millis>(random() % 1'000);
    model[level] = due;
    dues.set(level, due);
    ASSERT_EQ(dues.first(), *std::ranges::min_element(model));
    const std::size_t below = random() % (LaneDues::kLevels + 1);
    const auto now = static_cast<Millis>(random() % 1'000);
    std::optional<std::size_t> expected;
    for (std::size_t i = 0; i < below; ++i) {
      if (model[i] <= now) expected = i;
    }
    ASSERT_EQ(dues.highest_due(below, now), expected);
  }
}

class LaneLooksTest : public testing::Test {
 protected:
  static constexpr std::uint8_t kHighest = 255;
  static constexpr Millis kTtl = 1'000;

  LaneLooksTest() {
    lowest.begin_expiry(kTtl);
    levels.changed(lowest);
    for (unsigned level = 1; level <= kHighest; ++level) {
      auto lane = std::make_unique<Lane>(QueueId{1}, static_cast<std::uint8_t>(level), true, true);
      lane->begin_expiry(kTtl);
      levels.add(std::move(lane));
    }
    for (unsigned level = 0; level <= kHighest; ++level) push(level, 10'000);
  }
  void push(unsigned level, Millis enqueued_ms) {
    Lane& lane = *levels.find(static_cast<std::uint8_t>(level));
    Ready ready;
    ready.seq = ++seq;
    ready.message = protocol::Message::create("", "q", protocol::Properties{}.encode(), {});
    ready.enqueued_ms = enqueued_ms;
    lane.ready.push(std::move(ready));
    levels.changed(lane);
  }
  // The lanes that are looked at; what is due in them goes.
  std::vector<unsigned> looks(Millis now) {
    std::vector<unsigned> seen;
    levels.for_each_due(now, [&](Lane& lane) {
      seen.push_back(lane.level);
      while (!lane.ready.empty() && lane.ready.front().enqueued_ms + kTtl <= now) lane.ready.pop();
    });
    return seen;
  }

  Lane lowest{QueueId{1}, 0, true, true};
  Levels levels{lowest};
  Seq seq = 0;
};

TEST_F(LaneLooksTest, NothingIsDueSoNoneIsLookedAt) {
  EXPECT_EQ(levels.first_due(0), 11'000);
  EXPECT_TRUE(looks(10'999).empty());
}

TEST_F(LaneLooksTest, ThoseWithSomethingDueTheHighestFirst) {
  Lane& lane = *levels.find(7);
  lane.ready.pop();
  levels.changed(lane);
  push(7, 9'000);
  lowest.ready.pop();
  levels.changed(lowest);
  push(0, 8'000);
  EXPECT_EQ(levels.first_due(0), 9'000);
  EXPECT_EQ(looks(10'000), (std::vector<unsigned>{7, 0}));
  EXPECT_TRUE(looks(10'000).empty());
  EXPECT_EQ(levels.count(), 254u);
  EXPECT_EQ(looks(11'000).size(), 254u);
  EXPECT_EQ(levels.count(), 0u);
  EXPECT_EQ(levels.first_due(0), kNeverDue);
}

}  // namespace
}  // namespace harrier::broker
