// SPDX-License-Identifier: Apache-2.0
//
// What a queue keeps in memory, and what it leaves to the store.
#include <algorithm>
#include <utility>

#include "broker/core/queue.hpp"
#include "protocol/check.hpp"

namespace harrier::broker {

namespace {

// What a queue with a waiting consumer may hold when the shard's budget is used up: enough to keep
// a consumer busy while the next page comes.
constexpr std::uint64_t kSmallWindowBytes = 64 * 1024;
// A piece that is paged out at a time, in less than a millisecond also if its messages are small.
// Its memory is free when the store has it.
constexpr std::uint64_t kPieceBytes = 1024 * 1024;
// How far beyond its window a page may take a queue, by the unstored messages that lie between.
constexpr std::uint64_t kPageWindows = 2;

}  // namespace

bool Queue::restore(const persistence::RecoveredQueue& held, bool clean) {
  if (part_of(held.queue) != QueuePart::Main) return false;
  if (stream_) {
    stream_->restore(held.messages, held.bytes, held.seq_max);
    return true;
  }
  HARRIER_CHECK(residents_ != nullptr || held.messages == 0);
  next_seq_ = held.seq_max + 1;
  if (!clean) redelivered_to_ = held.seq_max;
  main_.backlog.restore(held.messages, held.bytes);
  if (limit_) limit_->restore(main_.content_bytes(), next_seq_ - 1);
  return true;
}

// Whether a new message that the store gets may stay in memory too.
bool Queue::keeps(const Lane& lane, const protocol::Message& message) const {
  if (residents_ == nullptr) return true;
  const std::uint64_t held = lane.ready.fresh().bytes();
  if (held == 0 && !available_.empty()) return true;  // it goes out at once
  const std::uint64_t then = held + message.footprint();
  if (then > residents_->window_bytes) return false;
  if (!residents_->full()) return true;
  if (consumer_count_ == 0) return false;
  residents_->wanted = true;
  return then <= kSmallWindowBytes;
}

void Queue::put_behind(Lane& lane, Ready ready, bool stored) {
  if (!stored) {
    lane.backlog.add_unstored(std::move(ready));
    return;
  }
  const bool may_catch_up = consumer_count_ > 0 && !residents_->full();
  lane.backlog.add_stored(std::move(ready), may_catch_up ? residents_->window_bytes / 2 : 0);
}

std::uint64_t Queue::window_now(bool head_is_wanted) const {
  if (!residents_->full()) return residents_->window_bytes;
  residents_->wanted = true;
  // Consumers that can't take anything need nothing ready.
  const bool hungry =
      !waiting_gets_.empty() || !available_.empty() || gated_count_ > 0 || head_is_wanted;
  return hungry ? std::min(residents_->window_bytes, kSmallWindowBytes) : 0;
}

bool Queue::refill(Outlet& outlet) {
  const bool head_is_wanted = wants_head(main_, outlet);
  return (head_is_wanted || !idle()) && refill(main_, head_is_wanted, outlet);
}

// Ahead of the consumers: asks for more when less than half of the window is left. True if there
// was more in memory.
bool Queue::refill(Lane& lane, bool head_is_wanted, Outlet& outlet) {
  Backlog& backlog = lane.backlog;
  if (backlog.empty() || backlog.fetching()) return false;
  const std::uint64_t window = window_now(head_is_wanted);
  const std::uint64_t held = lane.ready.fresh().bytes();
  if (window == 0 || (held > 0 && held >= window / 2)) return false;
  if (backlog.in_memory()) {
    backlog.surface(kPageWindows * window, lane.ready.fresh());
    return true;
  }
  const auto request = backlog.next_fetch(window - held, next_seq_, outlet.durable_through());
  if (request) {
    outlet.fetch(lane.part, *request);
  } else if (!is_waiting_) {
    is_waiting_ = true;
    residents_->waiting.push_back(entry_.id);
  }
  return false;
}

void Queue::fetched(Fetched& page, Outlet& outlet) {
  if (stream_) {
    stream_->fetched(page, outlet);
    if (is_timed()) set_alarm(outlet);
    return;
  }
  Lane& lane = main_;
  if (expires_ && lane.is_sweep(page.token)) {
    swept(lane, page, outlet);
    return;
  }
  std::optional<SeqRange> drop;
  if (!lane.backlog.fetched(page.token, page.messages, page.next,
                            kPageWindows * residents_->window_bytes, lane.ready.fresh(), drop))
    return;
  if (drop) outlet.drop_paged(lane.part, drop->from, drop->up_to);
  deliver(outlet);
}

void Queue::store_moved(Outlet& outlet) {
  if (stream_) return stream_->store_moved(outlet);
  is_waiting_ = false;
  deliver(outlet);
}

void Queue::answer_gets(Outlet& outlet) {
  while (!waiting_gets_.empty() && can_answer()) {
    const Get get = waiting_gets_.front();  // out of the list first: an answer may lead to the next
    waiting_gets_.erase(waiting_gets_.begin());
    outlet.notify(get.reply.connection, Reply{get.reply, take_for(get, outlet)});
  }
}

bool Queue::evict() {
  if (stream_) return stream_->evict();
  const std::uint64_t before = accounted_bytes_;
  main_.evict();
  if (holder_) residents_->holders.erase(*std::exchange(holder_, std::nullopt));
  account();
  return accounted_bytes_ < before;
}

bool Queue::page_out(Outlet& outlet) {
  auto piece = main_.backlog.cut_piece(main_.ready.fresh(), residents_->window_bytes, kPieceBytes);
  if (piece.empty() && unstored_)
    residents_->unstored.erase(*std::exchange(unstored_, std::nullopt));
  account();
  if (piece.empty()) return false;
  outlet.page_out(main_.part, std::move(piece), main_.backlog.last_token());
  return true;
}

void Queue::paged_out(const PagedOut& piece, Outlet& outlet) {
  if (const auto drop = main_.backlog.piece_stored(piece.token))
    outlet.drop_paged(main_.part, drop->from, drop->up_to);
  deliver(outlet);
}

// Keeps the shard's sums and lists true.
void Queue::account() {
  if (residents_ == nullptr) return;
  const std::uint64_t fresh = main_.ready.fresh().bytes();
  const std::uint64_t resident = entry_.durable ? main_.resident_bytes() : 0;
  residents_->bytes += resident - accounted_bytes_;
  accounted_bytes_ = resident;
  if (resident > 0 && !holder_)
    holder_ = residents_->holders.insert(residents_->holders.end(), entry_.id);
  if (unstored_) return;
  const bool beyond_window = fresh > residents_->window_bytes && fresh > resident;
  if (beyond_window || !main_.backlog.behind().empty())
    unstored_ = residents_->unstored.insert(residents_->unstored.end(), entry_.id);
}

}  // namespace harrier::broker
