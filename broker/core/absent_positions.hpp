// SPDX-License-Identifier: Apache-2.0
//
// AbsentPositions: positions behind a queue's window of which the store holds, or may hold, a
// message that is not waiting there: it has gone out of its turn and is with a consumer, or back in
// memory; or it was taken off in a batch that may not be durable yet. What a page says of them is
// not believed. Owned by its Backlog; as many as messages are out of their turn, and what one flush
// takes.
#pragma once

#include <cstdint>
#include <limits>
#include <map>
#include <vector>

#include "broker/core/ids.hpp"

namespace harrier::broker {

struct SeqRange {  // both included
  Seq from = 0;
  Seq up_to = 0;
};

class AbsentPositions {
 public:
  bool empty() const { return batches_.empty(); }
  bool contains(Seq seq) const { return batches_.contains(seq); }
  bool is_held(Seq seq) const {
    const auto at = batches_.find(seq);
    return at != batches_.end() && at->second == kHeld;
  }

  // The store keeps it until leaves().
  void hold(Seq seq) { batches_.try_emplace(seq, kHeld); }
  // The store loses it in that batch, which is none before the last one's.
  void leaves(Seq seq, std::uint64_t batch) {
    const auto [at, fresh] = batches_.try_emplace(seq, batch);
    if (!fresh && at->second != kHeld) return;
    at->second = batch;
    leaving_.push_back({seq, batch});
  }
  // The store has lost them: nobody who asks it from now on finds them.
  void forget(std::uint64_t durable_through) {
    if (leaving_.empty() || leaving_.front().batch > durable_through) return;
    auto at = leaving_.begin();
    for (; at != leaving_.end() && at->batch <= durable_through; ++at) batches_.erase(at->seq);
    leaving_.erase(leaving_.begin(), at);
    if (leaving_.empty()) leaving_ = {};
  }
  void clear() {
    batches_.clear();
    leaving_.clear();
  }

  // All of that range but what the store has to keep.
  std::vector<SeqRange> without_held(SeqRange range) const {
    std::vector<SeqRange> parts;
    for (auto at = batches_.lower_bound(range.from);
         at != batches_.end() && at->first <= range.up_to; ++at) {
      if (at->second != kHeld) continue;
      if (range.from < at->first) parts.push_back({range.from, at->first - 1});
      range.from = at->first + 1;
    }
    if (range.from <= range.up_to) parts.push_back(range);
    return parts;
  }

 private:
  struct Leaving {
    Seq seq = 0;
    std::uint64_t batch = 0;
  };
  static constexpr std::uint64_t kHeld = std::numeric_limits<std::uint64_t>::max();

  std::map<Seq, std::uint64_t> batches_;  // in which each leaves the store, or kHeld
  std::vector<Leaving> leaving_;          // in the order of their batches
};

}  // namespace harrier::broker
