// SPDX-License-Identifier: Apache-2.0
#include "broker/core/levels.hpp"

#include <algorithm>
#include <utility>

namespace harrier::broker {

std::uint8_t PriorityRule::level_of_priority(const protocol::Message& message) const {
  const std::uint8_t priority = message.properties().priority().value_or(0);
  if (kind == Kind::Halves) return priority >= kHighFrom ? 1 : 0;
  return std::min(priority, highest);
}

PriorityRule priority_rule(const QueueSettings& settings) {
  PriorityRule rule;
  if (settings.type == QueueType::Quorum) {
    rule.kind = PriorityRule::Kind::Halves;
    rule.highest = 1;
  } else if (settings.max_priority.value_or(0) > 0) {
    rule.kind = PriorityRule::Kind::Levels;
    rule.highest = static_cast<std::uint8_t>(*settings.max_priority);
  }
  rule.ageing_ms = settings.priority_ageing_ms.value_or(0);
  return rule;
}

void Levels::Sums::add(const Sums& more) {
  count += more.count;
  fresh += more.fresh;
  resident += more.resident;
  tail += more.tail;
  behind += more.behind;
}

void Levels::Sums::take(const Sums& less) {
  count -= less.count;
  fresh -= less.fresh;
  resident -= less.resident;
  tail -= less.tail;
  behind -= less.behind;
}

Levels::Levels(Lane& lowest) : lowest_(lowest), known_(1) { changed(lowest); }

Lane& Levels::add(std::unique_ptr<Lane> lane) {
  const std::size_t level = lane->level;
  if (above_.size() < level) {
    above_.resize(level);
    known_.resize(level + 1);
  }
  above_[level - 1] = std::move(lane);
  return *above_[level - 1];
}

void Levels::changed(const Lane& lane) {
  Sums now;
  now.count = lane.count();
  now.fresh = lane.ready.fresh().bytes();
  now.resident = lane.resident_bytes();
  now.tail = lane.backlog.tail().bytes();
  now.behind = lane.backlog.behind().size();
  Sums& known = known_[lane.level];
  sums_.take(known);
  sums_.add(now);
  known = now;
  const std::uint64_t bit = std::uint64_t{1} << lane.level % 64;
  if (now.count > 0) {
    occupied_[lane.level / 64] |= bit;
  } else {
    occupied_[lane.level / 64] &= ~bit;
  }
  if (!lane.expiry) return;
  if (!dues_) dues_ = std::make_unique<LaneDues>();
  dues_->set(lane.level, now.count > 0 ? lane.next_due(false) : kNeverDue);
}

// A page that has been asked for since puts off what was due in its lane; changed() comes with it.
Millis Levels::first_due(Millis now) {
  while (dues_ && dues_->first() <= now) {
    Lane& lane = *find(static_cast<std::uint8_t>(*dues_->highest_due(LaneDues::kLevels, now)));
    const Millis due = lane.next_due(false);
    if (due <= now) return due;
    dues_->set(lane.level, due);
  }
  return dues_ ? dues_->first() : kNeverDue;
}

Lane* Levels::next(const PriorityRule& rule) const {
  if (rule.ageing_ms > 0) return longest_waiting(rule.ageing_ms);
  const bool turn_of_lowest =
      rule.kind == PriorityRule::Kind::Halves && highs_served_ >= kHighsInTurn;
  if (turn_of_lowest && !lowest_.empty()) return &lowest_;
  for (std::size_t word = occupied_.size(); word-- > 0;) {
    if (occupied_[word] == 0) continue;
    const unsigned bit = 63u - static_cast<unsigned>(std::countl_zero(occupied_[word]));
    return find(static_cast<std::uint8_t>(word * 64 + bit));
  }
  return nullptr;
}

// Level plus age over the step is the same order at any time: that of when a message came, less a
// step for each of its levels. Of equals the higher level.
Lane* Levels::longest_waiting(Millis ageing_ms) const {
  Lane* best = nullptr;
  Millis best_since = 0;
  for_each_occupied([&](Lane& lane) {
    const Millis since = lane.head_since_ms() - lane.level * ageing_ms;
    if (best != nullptr && since >= best_since) return;
    best = &lane;
    best_since = since;
  });
  return best;
}

void Levels::served(const Lane& lane) {
  if (&lane == &lowest_ || lowest_.empty()) {
    highs_served_ = 0;
  } else if (highs_served_ < kHighsInTurn) {
    ++highs_served_;
  }
}

Lane* Levels::lowest_occupied() const {
  for (std::size_t word = 0; word < occupied_.size(); ++word) {
    if (occupied_[word] == 0) continue;
    const auto bit = static_cast<unsigned>(std::countr_zero(occupied_[word]));
    return find(static_cast<std::uint8_t>(word * 64 + bit));
  }
  return nullptr;
}

std::uint64_t Levels::fresh_bytes_from(unsigned level) const {
  std::uint64_t bytes = 0;
  for (std::size_t at = known_.size(); at-- > level;) bytes += known_[at].fresh;
  return bytes;
}

std::vector<persistence::StoredMessage> Levels::cut_piece(std::uint64_t window_bytes,
                                                          std::uint64_t bytes_max, Lane*& from) {
  std::vector<persistence::StoredMessage> piece;
  std::uint64_t above = sums_.fresh;
  for_each_upwards([&](Lane& lane) {
    if (!piece.empty()) return;
    above -= std::min(above, known_[lane.level].fresh);
    piece = lane.cut_piece(window_bytes - std::min(window_bytes, above), bytes_max);
    from = &lane;
    changed(lane);
  });
  return piece;
}

unsigned Levels::occupied_lanes() const {
  int lanes = 0;
  for (const std::uint64_t word : occupied_) lanes += std::popcount(word);
  return static_cast<unsigned>(lanes);
}

std::uint64_t Levels::share(const Lane& lane, std::uint64_t window) const {
  const std::uint64_t above = std::min(window, fresh_bytes_from(lane.level + 1u));
  const std::uint64_t least = window / (2 * std::max(occupied_lanes(), 1u));
  return std::max({window - above, least, std::min<std::uint64_t>(window, 1)});
}

}  // namespace harrier::broker
