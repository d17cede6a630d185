// SPDX-License-Identifier: Apache-2.0
//
// SeqRanges: a set of positions as ranges. What consumers settle in order is one range however
// much it is. A value inside its owner, whose lock guards it.
#pragma once

#include <iterator>
#include <limits>
#include <map>
#include <utility>

#include "persistence/write_batch.hpp"

namespace harrier::persistence {

class SeqRanges {
 public:
  // Both included, here and in what comes back.
  void add(Seq from, Seq up_to) {
    auto at = first_reaching(from == 0 ? 0 : from - 1);
    if (at == ranges_.end() || at->first > behind(up_to)) {
      ranges_.emplace_hint(at, from, up_to);
      return;
    }
    if (at->first > from) {
      auto node = ranges_.extract(at++);
      node.key() = from;
      at = ranges_.insert(at, std::move(node));
    }
    if (at->second >= up_to) return;
    at->second = up_to;
    for (auto next = std::next(at); next != ranges_.end() && next->first <= behind(at->second);) {
      if (next->second > at->second) at->second = next->second;
      next = ranges_.erase(next);
    }
  }

  bool contains(Seq seq) const {
    const auto at = first_reaching(seq);
    return at != ranges_.end() && at->first <= seq;
  }

  // Ranges that reach `seq` or lie behind it, ascending; the first may begin before it.
  std::map<Seq, Seq>::const_iterator reaching(Seq seq) const { return first_reaching(seq); }
  std::map<Seq, Seq>::const_iterator begin() const { return ranges_.begin(); }
  std::map<Seq, Seq>::const_iterator end() const { return ranges_.end(); }
  bool empty() const { return ranges_.empty(); }
  std::size_t size() const { return ranges_.size(); }
  void clear() { ranges_.clear(); }

 private:
  static constexpr Seq kMax = std::numeric_limits<Seq>::max();

  static Seq behind(Seq seq) { return seq == kMax ? kMax : seq + 1; }

  // The first range that ends at `seq` or later.
  template <class Ranges>
  static auto search(Ranges& ranges, Seq seq) {
    auto at = ranges.upper_bound(seq);
    if (at == ranges.begin()) return at;
    const auto before = std::prev(at);
    return before->second >= seq ? before : at;
  }
  std::map<Seq, Seq>::iterator first_reaching(Seq seq) { return search(ranges_, seq); }
  std::map<Seq, Seq>::const_iterator first_reaching(Seq seq) const { return search(ranges_, seq); }

  std::map<Seq, Seq> ranges_;  // first -> last; apart by at least one position
};

}  // namespace harrier::persistence
