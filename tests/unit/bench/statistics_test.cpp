// SPDX-License-Identifier: Apache-2.0
#include "broker/bench/statistics.hpp"

#include <gtest/gtest.h>

namespace harrier::bench {
namespace {

TEST(Spread, OfOddEvenAndNoValues) {
  EXPECT_EQ(spread_of({5, 1, 9}), (Spread{1, 5, 9}));
  EXPECT_EQ(spread_of({4, 1, 2, 9}), (Spread{1, 3, 9}));
  EXPECT_EQ(spread_of({7}), (Spread{7, 7, 7}));
  EXPECT_EQ(spread_of({}), Spread{});
}

TEST(Spread, IsAShareOfTheMedian) {
  EXPECT_DOUBLE_EQ(spread_of({90, 100, 120}).relative(), 0.3);
  EXPECT_DOUBLE_EQ(Spread{}.relative(), 0);
}

TEST(Format, KeepsThreeDigitsAndSeparatesThousands) {
  EXPECT_EQ(format_figure(0), "0");
  EXPECT_EQ(format_figure(0.01234), "0.0123");
  EXPECT_EQ(format_figure(4.5678), "4.57");
  EXPECT_EQ(format_figure(78.93), "78.9");
  EXPECT_EQ(format_figure(999), "999");
  EXPECT_EQ(format_figure(1234.4), "1,234");
  EXPECT_EQ(format_figure(850000), "850,000");
  EXPECT_EQ(format_figure(12345678), "12,345,678");
  EXPECT_EQ(format_figure(-123456), "-123,456");
  EXPECT_EQ(format_figure(-123), "-123");
}

TEST(Format, RatiosNeedBothSides) {
  EXPECT_EQ(format_ratio(2000, 850), "x2.35");
  EXPECT_EQ(format_ratio(0, 850), "-");
  EXPECT_EQ(format_ratio(850, 0), "-");
}

}  // namespace
}  // namespace harrier::bench
