// SPDX-License-Identifier: Apache-2.0
//
// SeqSlots: one slot per message of a queue, by position. Made for what queues do: append at the
// end, erase near the front, both without an allocation per message. Erasing in the middle leaves
// an empty slot; when more than half of the slots are empty they are closed up, so memory stays
// proportional to what is held. A Slot has a `seq`, and its `filled()` and `clear()` say whether
// it stands for a message. Not synchronised: its owner's lock guards it.
#pragma once

#include <algorithm>
#include <deque>
#include <optional>
#include <utility>

#include "persistence/write_batch.hpp"

namespace harrier::persistence {

template <class Slot>
class SeqSlots {
 public:
  using Slots = std::deque<Slot>;
  using ConstIterator = typename Slots::const_iterator;

  std::size_t size() const { return slots_.size() - empty_; }
  std::size_t slot_count() const { return slots_.size(); }  // for tests of the memory bound
  std::optional<Seq> first() const {
    return slots_.empty() ? std::nullopt : std::optional<Seq>(slots_.front().seq);
  }

  // Replaces the one at this position, which is returned.
  std::optional<Slot> insert(Slot slot) {
    if (slots_.empty() || slots_.back().seq < slot.seq) {
      slots_.push_back(std::move(slot));
      return std::nullopt;
    }
    const auto at = lower(slot.seq);
    if (at->seq != slot.seq) {
      slots_.insert(at, std::move(slot));
      return std::nullopt;
    }
    std::optional<Slot> replaced;
    if (at->filled()) {
      replaced = std::move(*at);
    } else {
      --empty_;
    }
    *at = std::move(slot);
    return replaced;
  }

  Slot* find(Seq seq) {
    const auto at = lower(seq);
    return at == slots_.end() || at->seq != seq || !at->filled() ? nullptr : &*at;
  }

  // Empties those from `from` to `up_to`, both included; visit(Slot&) before each.
  template <class Visit>
  void erase(Seq from, Seq up_to, Visit&& visit) {
    for (auto at = lower(from); at != slots_.end() && at->seq <= up_to; ++at) {
      if (!at->filled()) continue;
      visit(*at);
      at->clear();
      ++empty_;
    }
    close_up();
  }

  // All slots from this position on, empty ones included.
  ConstIterator from(Seq seq) const {
    return std::lower_bound(slots_.begin(), slots_.end(), seq, before);
  }
  ConstIterator end() const { return slots_.end(); }

 private:
  // Below this many slots closing up is not worth it.
  static constexpr std::size_t kCloseUpSlotsMin = 64;

  static bool before(const Slot& slot, Seq seq) { return slot.seq < seq; }

  typename Slots::iterator lower(Seq seq) {
    // Most of what leaves is near the front, so try there before searching.
    if (slots_.empty() || seq <= slots_.front().seq) return slots_.begin();
    return std::lower_bound(slots_.begin(), slots_.end(), seq, before);
  }

  void close_up() {
    while (!slots_.empty() && !slots_.front().filled()) {
      slots_.pop_front();
      --empty_;
    }
    while (!slots_.empty() && !slots_.back().filled()) {
      slots_.pop_back();
      --empty_;
    }
    // Each such pass is paid for by the erasures since the last one: constant time per message.
    if (slots_.size() < kCloseUpSlotsMin || empty_ * 2 <= slots_.size()) return;
    std::erase_if(slots_, [](const Slot& slot) { return !slot.filled(); });
    empty_ = 0;
  }

  Slots slots_;            // ascending
  std::size_t empty_ = 0;  // the first and the last slot are never empty
};

}  // namespace harrier::persistence
