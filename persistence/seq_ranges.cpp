// SPDX-License-Identifier: Apache-2.0
#include "persistence/seq_ranges.hpp"

#include <algorithm>
#include <iterator>

namespace harrier::persistence {

void SeqRanges::add(Seq from, Seq up_to) {
  auto at = ranges_.upper_bound(from);
  // The one before may reach up to us, or touch: beware of up_to + 1 at the end of the numbers.
  if (at != ranges_.begin()) {
    const auto before = std::prev(at);
    if (before->second >= from || before->second + 1 == from) {
      from = before->first;
      up_to = std::max(up_to, before->second);
      at = ranges_.erase(before);
    }
  }
  while (at != ranges_.end() && (at->first <= up_to || at->first == up_to + 1)) {
    up_to = std::max(up_to, at->second);
    at = ranges_.erase(at);
  }
  ranges_.emplace_hint(at, from, up_to);
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

}  // namespace harrier::persistence
