// SPDX-License-Identifier: Apache-2.0
#include "persistence/status.hpp"

#include <gtest/gtest.h>

namespace harrier::persistence_tests {
namespace {

using persistence::Status;

TEST(Status, IsOkOrAText) {
  EXPECT_TRUE(Status().ok());
  EXPECT_EQ(Status().error(), "");
  EXPECT_FALSE(Status::failed("disk full").ok());
  EXPECT_EQ(Status::failed("disk full").error(), "disk full");
  EXPECT_EQ(Status::failed("a"), Status::failed("a"));
  EXPECT_NE(Status::failed("a"), Status());
}

TEST(Status, AFullDeviceIsAFailureApart) {
  EXPECT_TRUE(Status::full("disk full").is_full());
  EXPECT_FALSE(Status::full("disk full").ok());
  EXPECT_FALSE(Status::failed("disk full").is_full());
  EXPECT_FALSE(Status().is_full());
  EXPECT_NE(Status::full("a"), Status::failed("a"));
}

TEST(StatusDeathTest, AFailureHasAText) { EXPECT_DEATH((void)Status::failed(""), "empty"); }

}  // namespace
}  // namespace harrier::persistence_tests
