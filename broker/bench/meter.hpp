// SPDX-License-Identifier: Apache-2.0
//
// What a run counts and times while it runs. Latencies count for messages that were meant to be
// sent within the measured window, whenever they complete: a broker that stalls is not spared.
// Owned by a run, one thread.
#pragma once

#include <cstdint>

#include "broker/bench/histogram.hpp"
#include "broker/bench/loop.hpp"

namespace harrier::bench {

struct Meter {
  std::uint64_t published = 0, confirmed = 0, delivered = 0;
  std::uint64_t pending = 0;   // put aside before the run, see Workload
  std::uint64_t rejected = 0;  // by consumers that do nothing else
  std::uint64_t published_bytes = 0, delivered_bytes = 0;
  std::uint64_t last_published_ns = 0, last_confirmed_ns = 0, last_delivered_ns = 0;
  Histogram confirm_ns, delivery_ns;
  Histogram lag_ns;  // how late the load tool itself was with sending
  std::uint64_t window_start_ns = kNever, window_end_ns = kNever;

  bool measures(std::uint64_t sent_ns) const {
    return sent_ns >= window_start_ns && sent_ns < window_end_ns;
  }
};

}  // namespace harrier::bench
