// SPDX-License-Identifier: Apache-2.0
//
// What a queue keeps in memory, and what it leaves to the store.
#include <algorithm>
#include <utility>

#include "broker/core/queue.hpp"
#include "broker/core/stream.hpp"
#include "protocol/check.hpp"

namespace harrier::broker {

namespace {

// What a queue with a waiting consumer may hold when the shard's budget is used up: enough to keep
// a consumer busy while the next page comes.
constexpr std::uint64_t kSmallWindowBytes = 64 * 1024;
constexpr std::uint64_t kLargeBytes = 64 * 1024;
constexpr std::uint64_t kLargeKept = 16;
// A piece that is paged out at a time, in less than a millisecond also if its messages are small.
// Its memory is free when the store has it.
constexpr std::uint64_t kPieceBytes = 1024 * 1024;
// How far beyond its window a page may take a queue, by the unstored messages that lie between.
constexpr std::uint64_t kPageWindows = 2;
// How far a queue looks for messages of groups that are free, when all that it has in memory is of
// groups that must wait: so many windows, but this many bytes in any case, and no more than those
// when memory is short.
constexpr std::uint64_t kWindowsAhead = 16;
constexpr std::uint64_t kBytesAhead = 1024 * 1024;

}  // namespace

bool Queue::restore_stream_offset(std::string tag, const persistence::Bytes& value) {
  return stream_ && stream_->restore_offset(std::move(tag), value);
}

std::uint32_t Queue::stream_count() const { return stream_->shown_count(); }
std::uint32_t Queue::reader_count() const { return stream_->consumer_count(); }

void Queue::write_late(Outlet& outlet) {
  if (stream_) stream_->write_offsets(outlet);
}

bool Queue::used_since_last_asked() {
  return stream_ ? stream_->used_since_last_asked() : std::exchange(used_, false);
}

bool Queue::restore(const persistence::RecoveredQueue& held, bool clean) {
  const auto part = static_cast<unsigned>(part_of(held.queue));
  if (stream_) {
    if (part_of(held.queue) != QueuePart::Main) return false;
    stream_->restore(held.messages, held.bytes, held.seq_max);
    return true;
  }
  if (part_of(held.queue) == QueuePart::Delayed) {
    HARRIER_CHECK(residents_ != nullptr || held.messages == 0);
    delayed().restore(held.messages, held.bytes, held.seq_max);
    return true;
  }
  if (part > priorities_.highest) return false;
  HARRIER_CHECK(residents_ != nullptr || held.messages == 0);
  Lane& lane = lane_at(static_cast<std::uint8_t>(part));
  next_seq_ = std::max(next_seq_, held.seq_max + 1);
  if (!clean) redelivered_to_ = std::max(redelivered_to_, held.seq_max);
  lane.backlog.restore(held.messages, held.bytes);
  changed(lane);
  if (limit_) limit_->restore(content_bytes(), next_seq_ - 1);
  return true;
}

// Whether a new message that the store gets may stay in memory too.
bool Queue::keeps(const Lane& lane, const protocol::Message& message) const {
  if (residents_ == nullptr) return true;
  const std::uint64_t held =
      levels_ ? levels_->fresh_bytes_from(lane.level) : lane.ready.fresh().bytes();
  if (held == 0 && roster_.any_available()) return true;  // it goes out at once
  const std::uint64_t then = held + message.footprint();
  if (then > window_for(message)) return false;
  if (!residents_->full()) return true;
  if (roster_.count() == 0) return false;
  residents_->wanted = true;
  return then <= kSmallWindowBytes;
}

// A window of large messages is soon full, and what is read back is copied and checked once more:
// for consumers that are here a few of them are kept, as far as nobody else needs the memory.
std::uint64_t Queue::window_for(const protocol::Message& message) const {
  const std::uint64_t window = residents_->window_bytes;
  if (message.footprint() < kLargeBytes || roster_.count() == 0) return window;
  return std::max(window, std::min(kLargeKept * message.footprint(), residents_->left()));
}

void Queue::put_behind(Lane& lane, Ready ready, bool stored) {
  std::uint64_t tail_bytes_max = 0;
  if (stored && roster_.count() > 0 && !residents_->full()) {
    tail_bytes_max = residents_->window_bytes / 2;
    if (levels_) {
      const std::uint64_t others = levels_->tail_bytes() - lane.backlog.tail().bytes();
      tail_bytes_max -= std::min(tail_bytes_max, others);
    }
  }
  lane.put_behind(std::move(ready), stored, tail_bytes_max);
  changed(lane);
}

std::uint64_t Queue::window_now(bool head_is_wanted) const {
  if (!residents_->full()) return residents_->window_bytes;
  residents_->wanted = true;
  // Consumers that can't take anything need nothing ready.
  const bool hungry =
      !waiting_gets_.empty() || roster_.any_available() || roster_.gated() > 0 || head_is_wanted;
  return hungry ? std::min(residents_->window_bytes, kSmallWindowBytes) : 0;
}

bool Queue::refill(bool wanted, Outlet& outlet) {
  if (levels_) return refill_levels(wanted, outlet);
  const bool head_is_wanted = wants_head(main_, outlet);
  return (head_is_wanted || wanted) && refill(main_, head_is_wanted, outlet);
}

// Ahead of the consumers: asks for more when less than half of the window is left. True if there
// was more in memory.
bool Queue::refill(Lane& lane, bool head_is_wanted, Outlet& outlet) {
  Backlog& backlog = lane.backlog;
  if (backlog.empty() || backlog.fetching()) return false;
  std::uint64_t window = window_now(head_is_wanted);
  if (levels_) window = levels_->share(lane, window);
  const std::uint64_t held = lane.ready.fresh().bytes();
  if (window == 0) return false;
  std::uint64_t wanted_bytes = window - std::min(window, held);
  if (held > 0 && held >= window / 2) {
    if (!groups_ || !looks_ahead(outlet)) return false;
    wanted_bytes = std::max(window, kSmallWindowBytes);
  }
  if (backlog.in_memory()) {
    backlog.surface(kPageWindows * window, lane.ready.fresh());
    changed(lane);
    return true;
  }
  const auto request = backlog.next_fetch(wanted_bytes, next_seq_, outlet.durable_through());
  if (request) {
    outlet.fetch(lane.part, *request);
  } else {
    residents_->wait(id_, is_waiting_);
  }
  return false;
}

std::uint64_t Queue::ahead_max() const {
  return residents_->full() ? kBytesAhead
                            : std::max(kBytesAhead, kWindowsAhead * residents_->window_bytes);
}

// Somebody could take a message, nothing in memory is for him, and what is there is not yet too
// much.
bool Queue::looks_ahead(const Outlet& outlet) {
  if (main_.ready.fresh().bytes() >= ahead_max()) return false;
  if (!waiting_gets_.empty()) return true;
  if (!may_hand_out(outlet) || (!roster_.any_available() && roster_.gated() == 0)) return false;
  bool is_short = false;
  roster_.for_each([&](const QueueConsumer& each) {
    is_short = is_short || (roster_.has_room(each) && !groups_->offers(each.slot));
  });
  return is_short;
}

// The same for a get, which waits for what comes.
bool Queue::looks_ahead_for(const Get& get, const Outlet& outlet) {
  const bool is_more = !main_.backlog.empty() && main_.ready.fresh().bytes() < ahead_max();
  if (!is_more || !may_hand_out(outlet)) return false;
  groups_->look_through(main_.ready, outlet.unix_ms());
  return !groups_->has_for_get(roster_.getter_slot(get.channel));
}

void Queue::fetched(Fetched& page, Outlet& outlet) {
  if (stream_) {
    stream_->fetched(page, outlet);
    set_alarm(outlet);
    return;
  }
  if (part_of(page.part) == QueuePart::Delayed) {
    const bool scanned = exchange_ && exchange_->scanned(page, outlet);
    if (scanned || delayed_->fetched(page, outlet)) deliver(outlet);
    return;
  }
  Lane* const of = lane_of(page.part);
  HARRIER_CHECK(of != nullptr);
  Lane& lane = *of;
  if (expires_ && lane.is_sweep(page.token)) {
    swept(lane, page, outlet);
    return;
  }
  if (history_ && history_->fetched(page, outlet)) {
    serve_history(outlet);
    deliver(outlet);  // what was too many may go now
    return;
  }
  std::optional<SeqRange> drop;
  const std::uint64_t window =
      groups_ ? std::max(residents_->window_bytes, kSmallWindowBytes) : residents_->window_bytes;
  if (!lane.backlog.fetched(page.token, page.messages, page.next, kPageWindows * window,
                            lane.ready.fresh(), drop))
    return;
  changed(lane);
  if (drop) outlet.drop_paged(lane.part, drop->from, drop->up_to);
  deliver(outlet);
}

void Queue::store_moved(Outlet& outlet) {
  if (stream_) {
    stream_->store_moved(outlet);
    set_alarm(outlet);
    return;
  }
  is_waiting_ = false;
  deliver(outlet);
  if (history_) serve_history(outlet);
}

void Queue::answer_gets(Outlet& outlet) {
  while (!waiting_gets_.empty() && can_answer(waiting_gets_.front(), outlet)) {
    const Get get = waiting_gets_.front();  // out of the list first: an answer may lead to the next
    waiting_gets_.erase(waiting_gets_.begin());
    outlet.notify(get.reply.connection, Reply{get.reply, take_for(get, outlet)});
  }
}

bool Queue::evict() {
  if (stream_) return stream_->evict();
  const std::uint64_t before = accounted_bytes_;
  if (delayed_) delayed_->evict();
  for_each_occupied([this](Lane& lane) {
    lane.evict();
    changed(lane);
  });
  if (groups_ && !main_.backlog.empty()) groups_->forget_from(main_.backlog.from());
  if (holder_) residents_->holders.erase(*std::exchange(holder_, std::nullopt));
  account();
  return accounted_bytes_ < before;
}

bool Queue::page_out(Outlet& outlet) {
  if (history_ && history_->is_reading()) return false;
  Lane* from = &main_;
  // What was looked for ahead is not given up at once.
  const std::uint64_t window =
      groups_ && !idle() ? std::max(2 * kBytesAhead, 2 * kWindowsAhead * residents_->window_bytes)
                         : residents_->window_bytes;
  const std::size_t ready = main_.ready.size();
  auto piece = levels_ ? levels_->cut_piece(window, kPieceBytes, from)
                       : main_.cut_piece(window, kPieceBytes);
  if (groups_ && main_.ready.size() < ready) groups_->forget_from(main_.backlog.from());
  if (piece.empty() && unstored_)
    residents_->unstored.erase(*std::exchange(unstored_, std::nullopt));
  account();
  if (piece.empty()) return false;
  outlet.page_out(from->part, std::move(piece), from->backlog.last_token());
  return true;
}

void Queue::paged_out(const PagedOut& piece, Outlet& outlet) {
  Lane* const lane = lane_of(piece.part);
  HARRIER_CHECK(lane != nullptr);
  if (const auto drop = lane->backlog.piece_stored(piece.token))
    outlet.drop_paged(lane->part, drop->from, drop->up_to);
  deliver(outlet);
  if (history_) serve_history(outlet);
}

// Keeps the shard's sums and lists true.
void Queue::account() {
  if (residents_ == nullptr) return;
  if (levels_ && durable_) trim_levels();
  const std::uint64_t fresh = levels_ ? levels_->fresh_bytes() : main_.ready.fresh().bytes();
  const std::uint64_t held = levels_ ? levels_->resident_bytes() : main_.resident_bytes();
  std::uint64_t resident = durable_ ? held : 0;
  const bool beyond_window = fresh > residents_->window_bytes && fresh > resident;
  if (delayed_) resident += delayed_->spare_bytes();
  residents_->bytes += resident - accounted_bytes_;
  accounted_bytes_ = resident;
  if (resident > 0 && !holder_)
    holder_ = residents_->holders.insert(residents_->holders.end(), id_);
  if (unstored_) return;
  if (beyond_window || (levels_ ? levels_->any_behind() : !main_.backlog.behind().empty()))
    unstored_ = residents_->unstored.insert(residents_->unstored.end(), id_);
}

}  // namespace harrier::broker
