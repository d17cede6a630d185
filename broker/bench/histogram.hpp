// SPDX-License-Identifier: Apache-2.0
//
// A histogram of 64-bit values with a relative error below half a per cent: 128 linear steps for
// every power of two, so that recording is a shift and an increment and percentiles to p99.99 need
// no samples kept. A value without thread or owner; two of them add up to the histogram of both.
#pragma once

#include <cstdint>
#include <limits>
#include <vector>

namespace harrier::bench {

class Histogram {
 public:
  Histogram();

  void record(std::uint64_t value);
  void add(const Histogram& other);
  void clear();

  std::uint64_t count() const { return count_; }
  std::uint64_t min() const { return count_ == 0 ? 0 : min_; }
  std::uint64_t max() const { return max_; }
  double mean() const { return count_ == 0 ? 0.0 : sum_ / static_cast<double>(count_); }
  // The value that `percent` per cent of the recorded ones do not exceed: 0 the smallest, 100 the
  // largest; 0 if nothing was recorded.
  std::uint64_t percentile(double percent) const;

 private:
  std::vector<std::uint64_t> buckets_;
  std::uint64_t count_ = 0;
  std::uint64_t min_ = std::numeric_limits<std::uint64_t>::max();
  std::uint64_t max_ = 0;
  double sum_ = 0;
};

}  // namespace harrier::bench
