// SPDX-License-Identifier: Apache-2.0
//
// Residents: what the queues of one shard keep in memory though the store has it too, against its
// limit, and which queues to look at when there is too much. Owned by the engine, which does the
// looking; its queues keep the numbers true. Nothing here can fail.
#pragma once

#include <cstdint>
#include <list>
#include <utility>
#include <vector>

#include "broker/core/ids.hpp"

namespace harrier::broker {

struct Residents {
  std::uint64_t window_bytes = 1024 * 1024;  // of one queue
  std::uint64_t bytes_max = 0;               // of all
  std::uint64_t bytes = 0;
  bool wanted = false;  // a queue with consumers has gone without

  // Queues that hold such messages; the one that was looked at last is at the back. A queue is on
  // these lists while it lives, at most, so neither grows with those that have gone.
  std::list<QueueId> holders;
  // Queues with messages beyond their window that no store has.
  std::list<QueueId> unstored;
  // Queues whose next message is on its way to the store and can't be fetched before it is there.
  std::vector<QueueId> waiting;

  // Lists a queue as waiting, once; `is_waiting` is its own note of that.
  void wait(QueueId queue, bool& is_waiting) {
    if (!std::exchange(is_waiting, true)) waiting.push_back(queue);
  }

  bool full() const { return bytes >= bytes_max; }
  std::uint64_t left() const { return full() ? 0 : bytes_max - bytes; }
  bool needs_relief() const {
    return bytes > bytes_max || (wanted && bytes > bytes_max - bytes_max / 4);
  }
};

}  // namespace harrier::broker
