// SPDX-License-Identifier: Apache-2.0
#include "broker/core/lane.hpp"

#include <algorithm>
#include <utility>

namespace harrier::broker {

namespace {

// Of one page that is read to find what has expired.
constexpr std::size_t kSweepBytes = 256 * 1024;
// Between two sweeps of a queue, so that messages of many different times to live do not keep the
// store busy with nothing else: 100 sweeps in a second find more than a hundred thousand messages.
constexpr Millis kSweepPauseMs = 10;

}  // namespace

std::uint64_t Lane::content_bytes() const {
  std::uint64_t bytes = backlog.stored_bytes();
  const auto add = [&](const Ready& each) { bytes += persistence::content_size(*each.message); };
  ready.for_each(add);
  backlog.behind().for_each(add);
  return bytes;
}

void Lane::put_behind(Ready message, bool stored, std::uint64_t tail_bytes_max) {
  if (backlog.empty()) backlog_since_ms_ = message.enqueued_ms;
  if (stored) {
    backlog.add_stored(std::move(message), tail_bytes_max);
  } else {
    backlog.add_unstored(std::move(message));
  }
}

void Lane::evict() {
  if (!ready.fresh().empty()) backlog_since_ms_ = ready.fresh().front().enqueued_ms;
  if (expiry && !ready.empty()) expiry->head_due_ms = expiry->due(ready.front());
  backlog.evict(ready.fresh());
}

std::vector<persistence::StoredMessage> Lane::cut_piece(std::uint64_t window_bytes,
                                                        std::uint64_t bytes_max) {
  if (!ready.fresh().empty()) backlog_since_ms_ = ready.fresh().front().enqueued_ms;
  return backlog.cut_piece(ready.fresh(), window_bytes, bytes_max);
}

void Lane::purge(Seq next_seq, Outlet& outlet) {
  while (!ready.empty()) {
    const Ready gone = ready.pop();
    if (backlog.is_stored(*gone.message))
      outlet.record(persistence::Settle{part_at(gone.seq), gone.seq});
  }
  if (expiry) expiry->cleared();
  const Backlog::Cleared behind = backlog.clear(next_seq);
  for (const SeqRange& range : behind.stored)
    outlet.record(persistence::Purge{part, range.from, range.up_to});
  if (behind.paged_out) outlet.drop_paged(part, behind.paged_out->from, behind.paged_out->up_to);
}

// ---- too late ----

void Lane::begin_expiry(std::optional<Millis> ttl_ms) {
  if (!expiry) {
    expiry = std::make_unique<Expiry>();
    backlog.set_expiry(expiry.get());
  }
  expiry->set_ttl(ttl_ms);
}

std::vector<Ready> Lane::take_expired(Seq arriving, Outlet& outlet) {
  const Millis now = outlet.unix_ms();
  std::vector<Ready> dead;
  for (const Seq seq : expiry->take_due(now, arriving)) {
    auto found = ready.take(seq);
    if (!found) found = backlog.take_unstored(seq);
    if (!found) continue;
    if (pages_ && backlog.is_stored(*found->message))
      backlog.note_gone(seq, outlet.current_batch(), outlet.durable_through());
    dead.push_back(std::move(*found));
  }
  if (has_retries_in_turn()) {
    std::vector<Seq> late;
    ready.for_each_returned([&](const Ready& each) {
      if (each.seq != arriving && expiry->due(each) <= now) late.push_back(each.seq);
    });
    for (const Seq seq : late) {
      dead.push_back(*ready.take(seq));
      expiry->left(dead.back());
    }
  }
  while (!ready.empty() && ready.front().seq != arriving && expiry->due(ready.front()) <= now) {
    dead.push_back(ready.pop());
    expiry->left(dead.back());
  }
  std::ranges::sort(dead, {}, [](const Ready& each) { return rank_of(each.seq); });
  return dead;
}

Millis Lane::next_due(bool waiting) const {
  const Millis next = expiry->next_due();
  if (!ready.empty() && !head_is_away()) {
    Millis since = ready.front().enqueued_ms;
    if (has_retries_in_turn()) {
      ready.for_each_returned(
          [&](const Ready& each) { since = std::min(since, each.enqueued_ms); });
    }
    return std::min(next, expiry->due_in_turn(since));
  }
  if (backlog.empty() || !expiry->has_ttl() || backlog.fetching() || waiting) return next;
  return std::min(next, expiry->head_due_ms);
}

void Lane::sweep(Seq next_seq, Outlet& outlet) {
  const Millis now = outlet.unix_ms();
  if (!expiry->sweep) {
    if (now < expiry->sweeps_from_ms) return;
    expiry->ranges().forget_below(backlog.empty() ? next_seq : backlog.from());
    const auto range = expiry->ranges().take(now);
    if (!range) return;
    expiry->sweep.emplace();
    expiry->sweep->range = *range;
    expiry->sweep->next = range->from;
  }
  ExpirySweep& open = *expiry->sweep;
  if (open.token != 0) return;
  if (backlog.empty()) {
    expiry->sweep.reset();
    return;
  }
  const auto request =
      backlog.next_sweep(open.next, kSweepBytes, next_seq, outlet.durable_through());
  if (request) {
    open.token = request->token;
    open.end = request->end;
    outlet.fetch(part, *request);
    return;
  }
  end_sweep(now + kSweepPauseMs, outlet);  // the rest is not there yet
}

// What was not read counts as due as before.
void Lane::end_sweep(Millis unread_due_ms, Outlet& outlet) {
  const ExpirySweep done = *std::exchange(expiry->sweep, std::nullopt);
  DueRange range = done.range;
  range.due = done.due;
  range.messages = done.left;
  if (done.next <= range.up_to && unread_due_ms != kNeverDue) {
    range.due = std::min(range.due, unread_due_ms);
    range.messages = std::max<std::uint64_t>(range.messages, 1);
  }
  expiry->ranges().put(range);
  expiry->sweeps_from_ms = outlet.unix_ms() + kSweepPauseMs;
}

std::vector<persistence::StoredMessage> Lane::swept(Fetched& page, std::uint64_t window_bytes,
                                                    Outlet& outlet) {
  backlog.sweep_ended();
  ExpirySweep& open = *expiry->sweep;
  open.token = 0;
  const Millis now = outlet.unix_ms();
  std::vector<persistence::StoredMessage> dead;
  for (persistence::StoredMessage& stored : page.messages) {
    if (stored.seq > open.range.up_to || stored.seq >= open.end) break;
    if (!backlog.holds(stored.seq)) continue;
    const Millis due = expiry->due(*stored.message, stored.enqueued_at_ms);
    if (due > now) {
      if (!Expiry::has_own(*stored.message)) continue;
      open.due = std::min(open.due, due);
      ++open.left;
      continue;
    }
    if (backlog.take_stored(stored.seq, *stored.message, outlet.current_batch()))
      outlet.drop_paged(part, stored.seq, stored.seq);
    dead.push_back(std::move(stored));
  }
  open.next = std::min(page.next.value_or(open.end), open.end);
  if (open.next > open.range.up_to) end_sweep(kNeverDue, outlet);
  if (backlog.empty() && !backlog.behind().empty()) backlog.surface(window_bytes, ready.fresh());
  return dead;
}

}  // namespace harrier::broker
