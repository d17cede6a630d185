// SPDX-License-Identifier: Apache-2.0
//
// Spin: whether, and for how long, a shard that has run out of work should look again before it
// sleeps. Waking a sleeping thread takes longer than many a round trip, so a client that answers at
// once is met awake; but looking in vain costs as much as work does. So a look is short, and longer
// only while so much comes that many share it. Each time nothing came, the next ones are skipped,
// twice as many as before; one success forgets them. Owned by its shard.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>

namespace harrier::broker {

class Spin {
 public:
  using Duration = std::chrono::microseconds;
  using Time = std::chrono::steady_clock::time_point;

  // How long to look at most; 0: never.
  explicit Spin(Duration longest) : longest_(longest) {}

  // So many frames of clients, or messages of other shards, have come.
  void note_work(std::size_t count) { work_ += count; }

  // Asked once before each sleep; if so, `ended` is due.
  bool due() {
    if (longest_.count() == 0) return false;
    if (skips_left_ == 0) return true;
    --skips_left_;
    return false;
  }

  Duration budget(Time now) {
    if (now - counted_since_ >= kCounted) {
      work_per_ms_ = static_cast<std::int64_t>(work_) * kCounted / (now - counted_since_);
      counted_since_ = now;
      work_ = 0;
    }
    return std::min(std::max(kShortest, Duration(work_per_ms_ / kSharedBy)), longest_);
  }

  void ended(bool found_work) {
    skips_ = found_work ? 0 : std::min(2 * skips_ + 1, kSkipsMax);
    skips_left_ = skips_;
  }

 private:
  static constexpr unsigned kSkipsMax = 127;
  static constexpr Duration kShortest{20};
  static constexpr std::chrono::nanoseconds kCounted = std::chrono::milliseconds(1);
  static constexpr std::int64_t kSharedBy = 5;  // frames per millisecond, for each microsecond

  const Duration longest_;
  unsigned skips_ = 0;
  unsigned skips_left_ = 0;
  Time counted_since_{};
  std::uint64_t work_ = 0;        // since then
  std::int64_t work_per_ms_ = 0;  // before that
};

}  // namespace harrier::broker
