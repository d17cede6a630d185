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

TEST(SpinTest, LooksNoLongerThanATurnTookSinceTheLastLook) {
  Spin spin(microseconds(50));
  ASSERT_TRUE(spin.due());
  EXPECT_EQ(spin.budget(microseconds(20)), microseconds(20));
  spin.ended(false, microseconds(40));
  EXPECT_FALSE(spin.due());
  ASSERT_TRUE(spin.due());
  EXPECT_EQ(spin.budget(microseconds(100)), microseconds(30));  // 60 in two turns
  spin.ended(true, microseconds(130));
  ASSERT_TRUE(spin.due());
  spin.ended(true);  // there was work already
  ASSERT_TRUE(spin.due());
  EXPECT_EQ(spin.budget(microseconds(140)), microseconds(5));
  EXPECT_EQ(spin.budget(microseconds(1'000)), microseconds(50));
}

TEST(SpinTest, NeverLooksWithoutABudget) {
  Spin spin(microseconds(0));
  for (int i = 0; i < 300; ++i) EXPECT_FALSE(spin.due());
}

}  // namespace
}  // namespace harrier::broker
