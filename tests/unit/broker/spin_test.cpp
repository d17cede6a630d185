// SPDX-License-Identifier: Apache-2.0
#include "broker/runtime/spin.hpp"

#include <gtest/gtest.h>

namespace harrier::broker {
namespace {

using std::chrono::microseconds;

// Sleeps until the next one that is preceded by a look.
int sleeps_before_next(Spin& spin) {
  int sleeps = 0;
  while (!spin.due()) ++sleeps;
  return sleeps;
}

TEST(SpinTest, LooksEachTimeWhileThatFindsWork) {
  Spin spin(microseconds(20));
  for (int i = 0; i < 100; ++i) {
    EXPECT_TRUE(spin.due());
    spin.ended(true);
  }
}

TEST(SpinTest, LooksMoreRarelyEachTimeItIsInVainAndForgetsThatAtOnce) {
  Spin spin(microseconds(20));
  for (const int sleeps : {0, 1, 3, 7, 15, 31, 63, 127, 127}) {
    EXPECT_EQ(sleeps_before_next(spin), sleeps);
    spin.ended(false);
  }
  EXPECT_EQ(sleeps_before_next(spin), 127);
  spin.ended(true);
  EXPECT_TRUE(spin.due());
}

TEST(SpinTest, LooksForLongerWhileMoreComes) {
  Spin spin(microseconds(50));
  Spin::Time now{std::chrono::hours(1)};
  EXPECT_EQ(spin.budget(now), microseconds(20));
  spin.note_work(60);  // 20 messages in a millisecond
  now += microseconds(1'000);
  EXPECT_EQ(spin.budget(now), microseconds(20));
  spin.note_work(300);
  EXPECT_EQ(spin.budget(now + microseconds(500)), microseconds(20));  // not counted yet
  now += microseconds(2'000);
  EXPECT_EQ(spin.budget(now), microseconds(30));
  spin.note_work(10'000);
  now += microseconds(1'000);
  EXPECT_EQ(spin.budget(now), microseconds(50));
  EXPECT_EQ(spin.budget(now + microseconds(900)), microseconds(50));
  now += std::chrono::seconds(10);
  EXPECT_EQ(spin.budget(now), microseconds(20));
  EXPECT_EQ(Spin(microseconds(5)).budget(now), microseconds(5));
}

TEST(SpinTest, NeverLooksWithoutABudget) {
  Spin spin(microseconds(0));
  for (int i = 0; i < 300; ++i) EXPECT_FALSE(spin.due());
}

}  // namespace
}  // namespace harrier::broker
