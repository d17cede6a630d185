// SPDX-License-Identifier: Apache-2.0
#include "broker/core/recent_history.hpp"

#include <algorithm>
#include <iterator>
#include <limits>
#include <utility>

namespace harrier::broker {

namespace {

constexpr Seq kNothing = std::numeric_limits<Seq>::max();
// Of what is in memory, at a time: enqueued in a millisecond or two. More follow when these have
// arrived, so that a long history does not stand in the way of everything else.
constexpr std::size_t kHandedAtOnce = 1'000;
constexpr std::size_t kPageBytes = 256 * 1024;

std::uint64_t bit_of(ShardId shard) { return std::uint64_t{1} << shard; }

std::uint64_t all_of(unsigned shards) {
  return shards >= kShardsMax ? ~std::uint64_t{0} : (std::uint64_t{1} << shards) - 1;
}

}  // namespace

// What lies in the store then stays there until it has been read, so it is not copied. A page that
// is on its way to drop the oldest would take some of it out.
void RecentHistory::begin(const HandOver& order, const Mark& mark, Seq next_seq,
                          std::uint64_t excess) {
  const auto [at, is_first] = handovers_.try_emplace(order.number);
  Handover& handover = at->second;
  if (is_first) {
    handover.order = std::make_shared<const HandOver>(order);
    handover.end = next_seq;
    handover.excess = excess;
    handover.next = lane_.backlog.empty() ? kNothing : lane_.backlog.from();
    if (!lane_.backlog.empty()) lane_.backlog.forget_fetch();
    const auto hold = [&](const Ready& ready) { handover.held.push_back(ready); };
    lane_.ready.for_each(hold);
    lane_.backlog.behind().for_each(hold);
  }
  handover.passed |= bit_of(mark.from);
  handover.complete = handover.passed == all_of(mark.shards);
  handover.open = handover.open || mark.from == mark.here;
}

void RecentHistory::came(const MessagePtr& message, ShardId from, Outlet& outlet) {
  for (auto& [number, handover] : handovers_) {
    if ((handover.passed & bit_of(from)) != 0) continue;
    if (handover.open && !has_more(handover)) {
      emit(handover, message, outlet);
    } else {
      handover.late.push_back(message);
    }
  }
}

bool RecentHistory::is_reading() const {
  return std::ranges::any_of(handovers_,
                             [](const auto& each) { return each.second.next != kNothing; });
}

bool RecentHistory::has_more(const Handover& handover) const {
  return !handover.held.empty() || handover.next != kNothing || !handover.late.empty();
}

bool RecentHistory::wants_page(const Handover& handover) const {
  return handover.open && handover.unsettled == 0 && handover.next != kNothing &&
         (handover.held.empty() || handover.held.front().seq >= handover.next);
}

void RecentHistory::emit(Handover& handover, MessagePtr message, Outlet& outlet) {
  ++handover.unsettled;
  outlet.hand_over({handover.order, std::move(message)});
}

bool RecentHistory::hand_over(Handover& handover, MessagePtr message, Outlet& outlet) {
  if (handover.excess > 0) {
    --handover.excess;
    return false;
  }
  emit(handover, std::move(message), outlet);
  return true;
}

// What is in memory, up to what has to be read first.
void RecentHistory::feed(Handover& handover, Outlet& outlet) {
  if (!handover.open || handover.unsettled > 0) return;
  std::deque<Ready>& held = handover.held;
  for (std::size_t handed = 0; handed < kHandedAtOnce; held.pop_front()) {
    if (held.empty() || held.front().seq >= handover.next) break;
    if (hand_over(handover, std::move(held.front().message), outlet)) ++handed;
  }
  if (!held.empty() || handover.next != kNothing) return;
  for (MessagePtr& message : std::exchange(handover.late, {}))
    emit(handover, std::move(message), outlet);
}

bool RecentHistory::serve(Seq next_seq, Outlet& outlet) {
  wants_turn_ = false;
  for (auto at = handovers_.begin(); at != handovers_.end();) {
    const auto each = at++;
    feed(each->second, outlet);
    end_if_done(each, outlet);
  }
  if (fetch_token_ != 0) return false;
  const auto reader = std::ranges::find_if(
      handovers_, [this](const auto& each) { return wants_page(each.second); });
  if (reader == handovers_.end()) return false;
  const auto request =
      lane_.backlog.next_sweep(reader->second.next, kPageBytes, next_seq, outlet.durable_through());
  if (!request) return true;
  fetch_token_ = request->token;
  fetch_from_ = reader->second.next;
  fetch_end_ = request->end;
  outlet.fetch(lane_.part, *request);
  return false;
}

// For everybody who wants something of it: after a restart many may come at once.
bool RecentHistory::fetched(Fetched& page, Outlet& outlet) {
  if (fetch_token_ == 0 || page.token != fetch_token_) return false;
  fetch_token_ = 0;
  lane_.backlog.sweep_ended();
  const Seq end = std::min(page.next.value_or(fetch_end_), fetch_end_);
  for (auto& [number, handover] : handovers_) {
    if (!wants_page(handover) || handover.next < fetch_from_ || handover.next >= end) continue;
    take_page(handover, page, end, outlet);
  }
  return true;
}

// What has gone to the store meanwhile is in both.
void RecentHistory::take_page(Handover& handover, const Fetched& page, Seq end, Outlet& outlet) {
  end = std::min(end, handover.end);
  std::deque<Ready>& held = handover.held;
  const auto take_held = [&](Seq below) {
    for (; !held.empty() && held.front().seq < below; held.pop_front())
      hand_over(handover, std::move(held.front().message), outlet);
  };
  auto stored =
      std::ranges::lower_bound(page.messages, handover.next, {}, &persistence::StoredMessage::seq);
  for (; stored != page.messages.end() && stored->seq < end; ++stored) {
    take_held(stored->seq);
    if (!held.empty() && held.front().seq == stored->seq) held.pop_front();
    hand_over(handover, stored->message, outlet);
  }
  take_held(end);
  handover.next = end >= handover.end ? kNothing : end;
}

void RecentHistory::sent(std::uint32_t number, std::size_t copies, Outlet& outlet) {
  const auto at = handovers_.find(number);
  if (at == handovers_.end()) return;
  at->second.unsettled += copies;
  settled(number, outlet);
}

void RecentHistory::settled(std::uint32_t number, Outlet& outlet) {
  const auto at = handovers_.find(number);
  if (at == handovers_.end()) return;
  if (--at->second.unsettled > 0) return;
  if (has_more(at->second)) {
    wants_turn_ = true;
  } else {
    end_if_done(at, outlet);
  }
}

void RecentHistory::end_if_done(Handovers::iterator at, Outlet& outlet) {
  const Handover& handover = at->second;
  if (!handover.complete || handover.unsettled > 0 || has_more(handover)) return;
  outlet.handed_over(handover.order->number);
  handovers_.erase(at);
}

void RecentHistory::close(Outlet& outlet) {
  for (const auto& [number, handover] : std::exchange(handovers_, {})) outlet.handed_over(number);
}

}  // namespace harrier::broker
