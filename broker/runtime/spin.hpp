// SPDX-License-Identifier: Apache-2.0
//
// Spin: whether a shard that has run out of work should look again for some microseconds before it
// sleeps. Waking a sleeping thread takes longer than many a round trip, so a client that answers at
// once is met awake; but looking in vain costs as much as work does. So each time nothing came, the
// next ones are skipped, twice as many as before, and one success forgets them. Owned by its shard.
#pragma once

#include <algorithm>
#include <chrono>

namespace harrier::broker {

class Spin {
 public:
  // How long to look; 0: never.
  explicit Spin(std::chrono::microseconds budget) : budget_(budget) {}

  std::chrono::microseconds budget() const { return budget_; }

  // Asked once before each sleep; if so, `ended` is due.
  bool due() {
    if (budget_.count() == 0) return false;
    if (skips_left_ == 0) return true;
    --skips_left_;
    return false;
  }

  void ended(bool found_work) {
    skips_ = found_work ? 0 : std::min(2 * skips_ + 1, kSkipsMax);
    skips_left_ = skips_;
  }

 private:
  static constexpr unsigned kSkipsMax = 127;

  const std::chrono::microseconds budget_;
  unsigned skips_ = 0;
  unsigned skips_left_ = 0;
};

}  // namespace harrier::broker
