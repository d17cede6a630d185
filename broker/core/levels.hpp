// SPDX-License-Identifier: Apache-2.0
//
// Levels: the lanes of a queue whose messages have priorities, and which of them is served next
// (conformance 8.5, 8.6). Owned by its queue, made when the first message above level 0 comes; the
// lane of level 0 stays the queue's own. A lane is made when it is first used, and stays. The queue
// tells of every change in a lane, so sums and the highest level are known without looking through
// up to 256 lanes. Nothing here fails.
#pragma once

#include <array>
#include <bit>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "broker/core/arguments.hpp"
#include "broker/core/lane.hpp"
#include "broker/core/lane_dues.hpp"

namespace harrier::broker {

// What a queue's arguments make of priorities. A value.
struct PriorityRule {
  enum class Kind : std::uint8_t {
    None,    // one level
    Levels,  // x-max-priority: one level for each priority up to the highest (C-456)
    Halves,  // quorum queues: 0 to 4 are normal, 5 and above are high (C-461)
  };
  static constexpr std::uint8_t kHighFrom = 5;

  Kind kind = Kind::None;
  std::uint8_t highest = 0;  // level
  Millis ageing_ms = 0;      // a message gains a level for each such time that it waits; 0: never

  std::uint8_t level_of(const protocol::Message& message) const {
    if (kind == Kind::None) return 0;
    return message.properties().has(protocol::kPriority) ? level_of_priority(message) : 0;
  }
  // Whether lower levels are served though higher ones have messages.
  bool mixes() const { return kind == Kind::Halves || ageing_ms > 0; }

 private:
  std::uint8_t level_of_priority(const protocol::Message& message) const;
};
PriorityRule priority_rule(const QueueSettings& settings);

class Levels {
 public:
  explicit Levels(Lane& lowest);

  // Null: it has never been used.
  Lane* find(std::uint8_t level) const {
    if (level == 0) return &lowest_;
    return level <= above_.size() ? above_[level - 1u].get() : nullptr;
  }
  Lane& add(std::unique_ptr<Lane> lane);
  // After every change of what is in it.
  void changed(const Lane& lane);

  // The lane whose head is next, wherever that is; null: all are empty.
  Lane* next(const PriorityRule& rule) const;
  void served(const Lane& lane);
  // When something is next due in any lane. A time in the past is true; a later one may be too
  // early.
  Millis first_due(Millis now);
  // Visits the lanes where something is due, the highest first, and those only; what the visit does
  // to them is noted. Nothing is known of lanes without an Expiry.
  template <class Visit>
  void for_each_due(Millis now, Visit&& visit) {
    if (!dues_) return;
    std::size_t below = LaneDues::kLevels;
    while (const auto level = dues_->highest_due(below, now)) {
      Lane& lane = *find(static_cast<std::uint8_t>(*level));
      visit(lane);
      changed(lane);
      below = *level;
    }
  }
  // What gives way first when there is too much (C-453); null: all are empty.
  Lane* lowest_occupied() const;

  std::uint64_t count() const { return sums_.count; }
  std::uint64_t fresh_bytes() const { return sums_.fresh; }
  std::uint64_t resident_bytes() const { return sums_.resident; }
  std::uint64_t tail_bytes() const { return sums_.tail; }
  bool any_behind() const { return sums_.behind > 0; }
  // Of that level and all above it.
  std::uint64_t fresh_bytes_from(unsigned level) const;
  // What that lane may have in memory if the queue may have `window`: what higher lanes leave of
  // it, and a small share in any case.
  std::uint64_t share(const Lane& lane, std::uint64_t window) const;

  // From the lowest lane on, the first piece of what no store has and memory has no room for: see
  // Backlog. `from` is its lane.
  std::vector<persistence::StoredMessage> cut_piece(std::uint64_t window_bytes,
                                                    std::uint64_t bytes_max, Lane*& from);

  template <class Visit>
  void for_each(Visit&& visit) const {  // of those that were ever used, the highest first
    for (auto at = above_.rbegin(); at != above_.rend(); ++at) {
      if (*at) visit(**at);
    }
    visit(lowest_);
  }
  template <class Visit>
  void for_each_upwards(Visit&& visit) const {
    visit(lowest_);
    for (const auto& lane : above_) {
      if (lane) visit(*lane);
    }
  }
  template <class Visit>
  void for_each_occupied(Visit&& visit) const {
    for (std::size_t word = occupied_.size(); word-- > 0;) {
      for (std::uint64_t bits = occupied_[word]; bits != 0;) {
        const unsigned bit = 63u - static_cast<unsigned>(std::countl_zero(bits));
        bits &= ~(std::uint64_t{1} << bit);
        visit(*find(static_cast<std::uint8_t>(word * 64 + bit)));
      }
    }
  }

 private:
  // Of the 2:1 service of quorum queues.
  static constexpr unsigned kHighsInTurn = 2;

  struct Sums {
    std::uint64_t count = 0;     // messages
    std::uint64_t fresh = 0;     // bytes in memory that have not been out
    std::uint64_t resident = 0;  // bytes in memory that the store has too, if it has them
    std::uint64_t tail = 0;
    std::uint64_t behind = 0;  // messages that wait beside the backlog
    void add(const Sums& more);
    void take(const Sums& less);
  };

  Lane* longest_waiting(Millis ageing_ms) const;
  unsigned occupied_lanes() const;

  Lane& lowest_;
  std::vector<std::unique_ptr<Lane>> above_;  // by level - 1; null: never used
  std::vector<Sums> known_;                   // by level
  Sums sums_;                                 // of all
  std::unique_ptr<LaneDues> dues_;            // null: no lane has an Expiry
  std::array<std::uint64_t, 4> occupied_{};   // a bit for each level that has messages
  unsigned highs_served_ = 0;                 // since the last of level 0, while that had some
};

}  // namespace harrier::broker
