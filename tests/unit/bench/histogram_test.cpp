// SPDX-License-Identifier: Apache-2.0
#include "broker/bench/histogram.hpp"

#include <cmath>
#include <cstddef>
#include <limits>
#include <random>

#include <gtest/gtest.h>

namespace harrier::bench {
namespace {

TEST(Histogram, NothingRecordedIsZero) {
  const Histogram histogram;
  EXPECT_EQ(histogram.count(), 0u);
  EXPECT_EQ(histogram.min(), 0u);
  EXPECT_EQ(histogram.max(), 0u);
  EXPECT_EQ(histogram.percentile(50), 0u);
  EXPECT_EQ(histogram.mean(), 0.0);
}

TEST(Histogram, SmallValuesAreExact) {
  Histogram histogram;
  for (std::uint64_t value = 1; value <= 100; ++value) histogram.record(value);
  EXPECT_EQ(histogram.count(), 100u);
  EXPECT_EQ(histogram.min(), 1u);
  EXPECT_EQ(histogram.max(), 100u);
  EXPECT_DOUBLE_EQ(histogram.mean(), 50.5);
  EXPECT_EQ(histogram.percentile(0), 1u);
  EXPECT_EQ(histogram.percentile(50), 50u);
  EXPECT_EQ(histogram.percentile(99), 99u);
  EXPECT_EQ(histogram.percentile(99.1), 100u);
  EXPECT_EQ(histogram.percentile(100), 100u);
}

// One value alone: every percentile is it, and it is within [min, max], so exact.
TEST(Histogram, OneValueOfAnySizeIsExact) {
  for (unsigned bit = 0; bit < 64; ++bit) {
    for (const std::uint64_t delta : {0u, 1u}) {
      const std::uint64_t value = (std::uint64_t{1} << bit) - delta;
      Histogram histogram;
      histogram.record(value);
      EXPECT_EQ(histogram.percentile(99.99), value);
    }
  }
  Histogram histogram;
  histogram.record(std::numeric_limits<std::uint64_t>::max());
  EXPECT_EQ(histogram.percentile(50), std::numeric_limits<std::uint64_t>::max());
}

TEST(Histogram, PercentilesAreWithinHalfAPerCentOfTheSortedValues) {
  std::mt19937_64 random(7);
  std::lognormal_distribution<double> latencies(11, 2);
  std::vector<std::uint64_t> values;
  Histogram histogram;
  for (int i = 0; i < 100'000; ++i) {
    values.push_back(static_cast<std::uint64_t>(latencies(random)) + 1);
    histogram.record(values.back());
  }
  std::sort(values.begin(), values.end());
  for (const double percent : {0.1, 1.0, 10.0, 50.0, 90.0, 99.0, 99.9, 99.99, 100.0}) {
    const auto rank =
        static_cast<std::size_t>(std::ceil(percent / 100 * static_cast<double>(values.size())));
    const auto exact = static_cast<double>(values[rank - 1]);
    EXPECT_NEAR(static_cast<double>(histogram.percentile(percent)), exact, exact * 0.005)
        << percent;
  }
}

TEST(Histogram, AddingTwoIsRecordingBoth) {
  Histogram one, other, both;
  for (std::uint64_t value : {5u, 700u, 123'456u}) {
    one.record(value);
    both.record(value);
  }
  for (std::uint64_t value : {1u, 99'999'999u}) {
    other.record(value);
    both.record(value);
  }
  one.add(other);
  EXPECT_EQ(one.count(), both.count());
  EXPECT_EQ(one.min(), 1u);
  EXPECT_EQ(one.max(), 99'999'999u);
  EXPECT_DOUBLE_EQ(one.mean(), both.mean());
  for (const double percent : {0.0, 20.0, 40.0, 60.0, 80.0, 100.0}) {
    EXPECT_EQ(one.percentile(percent), both.percentile(percent));
  }
  one.clear();
  EXPECT_EQ(one.count(), 0u);
  EXPECT_EQ(one.percentile(50), 0u);
}

}  // namespace
}  // namespace harrier::bench
