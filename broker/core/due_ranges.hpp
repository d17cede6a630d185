// SPDX-License-Identifier: Apache-2.0
//
// DueRanges: when the next message in some stretch of a queue expires, for the part of the queue
// that is in the store only: a few hundred numbers, however many messages there are. A stretch that
// is due is swept: read, relieved of what has expired, and put back with what is due next in it.
// A value inside Expiry. Stretches may overlap, and may name messages that have gone: a sweep finds
// out. The price is accuracy: neighbours share one number, and sweeps keep a distance.
#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>
#include <optional>
#include <vector>

#include "broker/core/ids.hpp"

namespace harrier::broker {

inline constexpr Millis kNeverDue = std::numeric_limits<Millis>::max();

struct DueRange {
  Seq from = 0;  // both included
  Seq up_to = 0;
  std::uint64_t messages = 0;
  Millis due = kNeverDue;  // of the first
};

class DueRanges {
 public:
  static constexpr std::size_t kRangesMax = 512;
  static constexpr std::uint64_t kMessagesMin = 1024;  // before a new stretch begins

  bool empty() const { return ranges_.empty(); }
  std::size_t size() const { return ranges_.size(); }

  void add(Seq seq, Millis due) {
    // Nearly always the last one.
    auto at = std::ranges::upper_bound(ranges_, seq, {}, &DueRange::from);
    if (at != ranges_.begin() && extend(*std::prev(at), seq, due)) return;
    if (at != ranges_.end() && extend(*at, seq, due)) return;
    put({seq, seq, 1, due});
  }
  void put(const DueRange& range) {
    if (range.due == kNeverDue) return;
    const auto at = std::ranges::upper_bound(ranges_, range.from, {}, &DueRange::from);
    ranges_.insert(at, range);
    next_due_ = std::min(next_due_, range.due);
    if (ranges_.size() > kRangesMax) halve();
  }

  Millis next_due() const { return next_due_; }
  // Takes out a stretch that is due, the lowest of them.
  std::optional<DueRange> take(Millis now) {
    const auto at = std::ranges::find_if(ranges_, [&](const DueRange& r) { return r.due <= now; });
    if (at == ranges_.end()) return std::nullopt;
    const DueRange range = *at;
    ranges_.erase(at);
    find_next();
    return range;
  }
  // Nothing of interest is below.
  void forget_below(Seq seq) {
    if (std::erase_if(ranges_, [&](const DueRange& range) { return range.up_to < seq; }) > 0)
      find_next();
  }
  void clear() {
    ranges_.clear();
    next_due_ = kNeverDue;
  }

 private:
  void find_next() {
    next_due_ = kNeverDue;
    for (const DueRange& range : ranges_) next_due_ = std::min(next_due_, range.due);
  }

  bool extend(DueRange& range, Seq seq, Millis due) {
    const bool inside = range.from <= seq && seq <= range.up_to;
    if (!inside && range.messages >= messages_max_) return false;
    range.from = std::min(range.from, seq);
    range.up_to = std::max(range.up_to, seq);
    range.due = std::min(range.due, due);
    next_due_ = std::min(next_due_, due);
    ++range.messages;
    return true;
  }

  // Two neighbours become one: half as many, half as accurate.
  void halve() {
    messages_max_ *= 2;
    std::vector<DueRange> kept;
    for (std::size_t i = 0; i < ranges_.size(); i += 2) {
      DueRange range = ranges_[i];
      if (i + 1 < ranges_.size()) {
        range.up_to = std::max(range.up_to, ranges_[i + 1].up_to);
        range.messages += ranges_[i + 1].messages;
        range.due = std::min(range.due, ranges_[i + 1].due);
      }
      kept.push_back(range);
    }
    ranges_ = std::move(kept);
  }

  std::vector<DueRange> ranges_;  // by `from`
  Millis next_due_ = kNeverDue;
  std::uint64_t messages_max_ = kMessagesMin;
};

}  // namespace harrier::broker
