// SPDX-License-Identifier: Apache-2.0
#include "persistence/seq_ranges.hpp"

#include <algorithm>
#include <iterator>
#include <limits>
#include <utility>

namespace harrier::persistence {

namespace {

constexpr Seq kSeqMax = std::numeric_limits<Seq>::max();

Seq behind(Seq seq) { return seq == kSeqMax ? kSeqMax : seq + 1; }

}  // namespace

// Growing at the end, as most do, takes no allocation.
void SeqRanges::add(Seq from, Seq up_to) {
  auto at = ranges_.upper_bound(from);
  const auto before = at == ranges_.begin() ? ranges_.end() : std::prev(at);
  if (before != ranges_.end() && behind(before->second) >= from) {
    at = before;
  } else if (at != ranges_.end() && at->first <= behind(up_to)) {
    auto node = ranges_.extract(at++);
    node.key() = from;
    at = ranges_.insert(at, std::move(node));
  } else {
    ranges_.emplace_hint(at, from, up_to);
    return;
  }
  at->second = std::max(at->second, up_to);
  for (auto next = std::next(at); next != ranges_.end() && next->first <= behind(at->second);) {
    at->second = std::max(at->second, next->second);
    next = ranges_.erase(next);
  }
}

void SeqRanges::remove(Seq seq) {
  auto at = ranges_.upper_bound(seq);
  if (at == ranges_.begin()) return;
  --at;
  const auto [from, up_to] = *at;
  if (up_to < seq) return;
  ranges_.erase(at);
  if (from < seq) ranges_.emplace(from, seq - 1);
  if (seq < up_to) ranges_.emplace(seq + 1, up_to);
}

std::optional<Seq> SeqRanges::end_of(Seq seq) const {
  const auto after = ranges_.upper_bound(seq);
  if (after == ranges_.begin()) return std::nullopt;
  const Seq end = std::prev(after)->second;
  return end < seq ? std::nullopt : std::optional<Seq>(end);
}

SeqRanges::Iterator SeqRanges::reaching(Seq seq) const {
  const auto after = ranges_.upper_bound(seq);
  if (after == ranges_.begin()) return after;
  const auto before = std::prev(after);
  return before->second >= seq ? before : after;
}

}  // namespace harrier::persistence
