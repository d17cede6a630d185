// SPDX-License-Identifier: Apache-2.0
//
// A queue with several lanes: which lane is which, and what all of them together keep in memory.
#include <utility>

#include "broker/core/queue.hpp"

namespace harrier::broker {

namespace {

// What the lanes together may have in memory of what the store has, before those below the one that
// is being served give theirs up.
constexpr std::uint64_t kLanesWindows = 2;

}  // namespace

Lane& Queue::upper_lane(std::uint8_t level) {
  if (!levels_) levels_ = std::make_unique<Levels>(main_);
  groups_.reset();  // from before a restart, when there were none
  if (Lane* const known = levels_->find(level)) return *known;
  Lane& lane = levels_->add(std::make_unique<Lane>(id_, level, durable_, residents_ != nullptr));
  if (expires_) lane.begin_expiry(ttl_ms_);
  return lane;
}

Lane* Queue::lane_of(StoreId part) {
  const auto level = static_cast<unsigned>(part_of(part));
  if (level == 0) return &main_;
  if (!levels_ || level > priorities_.highest) return nullptr;
  return levels_->find(static_cast<std::uint8_t>(level));
}

std::uint64_t Queue::content_bytes() const {
  std::uint64_t bytes = 0;
  for_each_occupied([&](const Lane& lane) { bytes += lane.content_bytes(); });
  return bytes;
}

// The lane that is next, those whose heads somebody waits for, and where levels take turns those
// that are short too, so that no turn waits for its page.
bool Queue::refill_levels(bool wanted, Outlet& outlet) {
  const Lane* const next = wanted ? lane_in_turn() : nullptr;
  const bool looks_at_all = next != nullptr && priorities_.mixes();
  bool had_more = false;
  const auto look = [&](Lane& lane) {
    const bool head_is_wanted = wants_head(lane, outlet);
    const bool takes_turns = next != nullptr && priorities_.mixes() && !lane.ready.empty();
    if (!head_is_wanted && !takes_turns && &lane != next) return;
    if (refill(lane, head_is_wanted, outlet)) had_more = true;
  };
  if (looks_at_all) {
    levels_->for_each_occupied(look);
    return had_more;
  }
  if (expires_) levels_->for_each_due(outlet.unix_ms(), look);
  if (next != nullptr) look(*levels_->find(next->level));
  if (limit_ && &lane_to_drop() != next) look(lane_to_drop());
  return had_more;
}

// From the lowest on. What was given up comes back when it is next.
void Queue::trim_levels() {
  const std::uint64_t most = kLanesWindows * residents_->window_bytes;
  if (levels_->resident_bytes() <= most) return;
  const Lane* const next = lane_in_turn();
  levels_->for_each_upwards([&](Lane& lane) {
    if (&lane == next || levels_->resident_bytes() <= most) return;
    lane.evict();
    levels_->changed(lane);
  });
}

}  // namespace harrier::broker
