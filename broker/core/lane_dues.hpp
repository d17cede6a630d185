// SPDX-License-Identifier: Apache-2.0
//
// LaneDues: when something is next due in each of a queue's lanes, so that who has expired is found
// without looking at up to 256 lanes: a tree over the levels in which each node knows the earliest
// time below it. A value inside Levels, on the queue's thread. Nothing fails.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <optional>

#include "broker/core/due_ranges.hpp"
#include "broker/core/ids.hpp"

namespace harrier::broker {

class LaneDues {
 public:
  static constexpr std::size_t kLevels = 256;

  LaneDues() { nodes_.fill(kNeverDue); }

  void set(std::size_t level, Millis due) {
    std::size_t at = kLevels + level;
    if (nodes_[at] == due) return;
    nodes_[at] = due;
    while ((at /= 2) > 0) {
      const Millis first = std::min(nodes_[2 * at], nodes_[2 * at + 1]);
      if (nodes_[at] == first) return;
      nodes_[at] = first;
    }
  }
  Millis first() const { return nodes_[1]; }
  // The highest level below `below` in which something is due; nullopt: there is none.
  std::optional<std::size_t> highest_due(std::size_t below, Millis now) const {
    return search(1, 0, kLevels, below, now);
  }

 private:
  // Among the levels [from, from + size), which are those of the node.
  std::optional<std::size_t> search(std::size_t node, std::size_t from, std::size_t size,
                                    std::size_t below, Millis now) const {
    if (from >= below || nodes_[node] > now) return std::nullopt;
    if (size == 1) return from;
    const std::size_t half = size / 2;
    if (const auto found = search(2 * node + 1, from + half, half, below, now)) return found;
    return search(2 * node, from, half, below, now);
  }

  std::array<Millis, 2 * kLevels> nodes_;  // 1: all; 2n and 2n + 1: the halves of n
};

}  // namespace harrier::broker
