// SPDX-License-Identifier: Apache-2.0
//
// Spin: whether, and for how long, a shard that has run out of work should look again before it
// sleeps. Waking a sleeping thread takes longer than many a round trip, so a client that answers at
// once is met awake; but looking in vain costs as much as work does. So a look takes no longer than
// the work between two sleeps took, and each time nothing came, the next ones are skipped, twice as
// many as before; one success forgets them. Owned by its shard. Times are those of its thread on
// the processor: waiting for the disk is not work.
#pragma once

#include <algorithm>
#include <chrono>

namespace harrier::broker {

class Spin {
 public:
  using Duration = std::chrono::nanoseconds;

  // How long to look at most; 0: never.
  explicit Spin(Duration longest) : longest_(longest) {}

  // Asked once before each sleep; if so, `ended` is due.
  bool due() {
    if (longest_.count() == 0) return false;
    ++sleeps_;
    if (skips_left_ == 0) return true;
    --skips_left_;
    return false;
  }

  // How long to look, for a thread that has used so much time so far.
  Duration budget(Duration used) const {
    return std::min((used - used_before_) / std::max(sleeps_, 1U), longest_);
  }

  void ended(bool found_work) {
    skips_ = found_work ? 0 : std::min(2 * skips_ + 1, kSkipsMax);
    skips_left_ = skips_;
  }
  // The same after a look of some time.
  void ended(bool found_work, Duration used) {
    ended(found_work);
    used_before_ = used;
    sleeps_ = 0;
  }

 private:
  static constexpr unsigned kSkipsMax = 127;

  const Duration longest_;
  unsigned skips_ = 0;
  unsigned skips_left_ = 0;
  Duration used_before_{0};  // when the last look ended
  unsigned sleeps_ = 0;      // since then
};

}  // namespace harrier::broker
