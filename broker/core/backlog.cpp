// SPDX-License-Identifier: Apache-2.0
#include "broker/core/backlog.hpp"

#include <algorithm>
#include <utility>

#include "protocol/check.hpp"

namespace harrier::broker {

using persistence::content_size;
using persistence::StoredMessage;

namespace {

// Memory that a message takes beside its content, roughly: a page of small messages grows by that.
constexpr std::uint64_t kMemoryPerMessage = 72;
// The backlog counts as nearly caught up below this many tails.
constexpr std::uint64_t kTailsNear = 4;

}  // namespace

void Backlog::count_in(const protocol::Message& message) {
  ++stored_;
  stored_bytes_ += content_size(message);
}

// A store that holds more or less than was counted has broken its promise, or we have.
void Backlog::count_out(const protocol::Message& message) {
  HARRIER_CHECK(stored_ > 0);
  --stored_;
  stored_bytes_ -= std::min<std::uint64_t>(content_size(message), stored_bytes_);
}

void Backlog::restore(std::uint64_t messages, std::uint64_t bytes) {
  stored_ = messages;
  stored_bytes_ = bytes;
  from_ = 0;
}

void Backlog::recorded(Seq seq, std::uint64_t batch, std::uint64_t durable_through) {
  open_.forget(durable_through);
  open_.add(batch, seq);
}

void Backlog::add_stored(Ready ready, std::uint64_t tail_bytes_max) {
  if (stored_ == 0) from_ = ready.seq;
  if (expiry_ != nullptr) expiry_->stored(*ready.message, ready.seq, ready.enqueued_ms);
  const bool near = stored_bytes_ <= kTailsNear * tail_bytes_max;
  count_in(*ready.message);
  if (!near) {
    drop_tail();
    return;
  }
  tail_.push_back(std::move(ready));
  while (!tail_.empty() && tail_.bytes() > tail_bytes_max) tail_.pop_front();
}

void Backlog::evict(ReadyRun& run) {
  drop_tail();
  if (!durable_) return;
  while (run.persistent_bytes() > 0) {
    Ready ready = run.pop_back();
    from_ = ready.seq;
    if (is_stored(*ready.message)) {
      if (expiry_ != nullptr) expiry_->went_to_store(ready);
      count_in(*ready.message);
    } else {
      behind_.push_front(std::move(ready));
    }
    fetch_token_ = 0;  // it asks for higher positions only
  }
}

std::vector<StoredMessage> Backlog::cut_piece(ReadyRun& run, std::uint64_t window_bytes,
                                              std::uint64_t bytes_max) {
  std::vector<StoredMessage> piece;
  const auto add = [&](Ready ready) {
    if (expiry_ != nullptr) expiry_->went_to_store(ready);
    count_in(*ready.message);
    ++paged_out_;
    StoredMessage message;
    message.seq = ready.seq;
    message.message = std::move(ready.message);
    message.delivery_count = ready.returns;
    message.enqueued_at_ms = ready.enqueued_ms;
    piece.push_back(std::move(message));
  };
  std::uint64_t bytes = 0;
  if (!behind_.empty()) {
    while (!behind_.empty() && bytes < bytes_max) {
      bytes += memory_of(behind_.front());
      add(behind_.pop_front());
    }
    if (fetching()) fetch_end_ = std::min(fetch_end_, piece.front().seq);
    from_ = std::min(from_, piece.front().seq);
  } else {
    while (run.bytes() > window_bytes && run.size() > 1 && bytes < bytes_max) {
      bytes += memory_of(run.back());
      Ready ready = run.pop_back();
      from_ = ready.seq;
      fetch_token_ = 0;
      if (is_stored(*ready.message)) {
        if (expiry_ != nullptr) expiry_->went_to_store(ready);
        count_in(*ready.message);
      } else {
        add(std::move(ready));
      }
    }
    std::reverse(piece.begin(), piece.end());
  }
  if (bytes > 0) drop_tail();  // it would have gaps
  if (!piece.empty())
    pieces_.push_back({++last_token_, {piece.front().seq, piece.back().seq}, false});
  return piece;
}

std::optional<SeqRange> Backlog::piece_stored(std::uint64_t token) {
  HARRIER_CHECK(!pieces_.empty() && pieces_.front().token == token);
  const Piece piece = pieces_.front();
  pieces_.erase(pieces_.begin());
  return piece.dropped ? std::optional(piece.range) : std::nullopt;
}

Seq Backlog::first_invisible(Seq next_seq, std::uint64_t durable_through) {
  open_.forget(durable_through);
  Seq first = open_.empty() ? next_seq : std::min(next_seq, open_.first());
  for (const Piece& piece : pieces_) {
    if (!piece.dropped) first = std::min(first, piece.range.from);
  }
  return first;
}

std::optional<FetchRequest> Backlog::next_fetch(std::uint64_t memory_bytes, Seq next_seq,
                                                std::uint64_t durable_through) {
  const Seq end = first_invisible(next_seq, durable_through);
  if (end <= from_) {
    HARRIER_CHECK(from_ < next_seq || !open_.empty() || !pieces_.empty());
    return std::nullopt;
  }
  forget_absent(durable_through);
  fetch_token_ = ++last_token_;
  fetch_end_ = end;
  const std::uint64_t mean = (stored_bytes_ + stored_ - 1) / stored_;
  const std::uint64_t messages =
      std::max<std::uint64_t>(memory_bytes / (mean + kMemoryPerMessage), 1);
  return FetchRequest{from_, static_cast<std::size_t>(messages * mean), fetch_token_, end};
}

bool Backlog::fetched(std::uint64_t token, std::vector<StoredMessage>& messages,
                      std::optional<Seq> next, std::uint64_t memory_bytes_max, ReadyRun& run,
                      std::optional<SeqRange>& drop) {
  if (token != fetch_token_) return false;
  fetch_token_ = 0;
  merge(messages, next ? std::min(*next, fetch_end_) : fetch_end_, memory_bytes_max, run, drop);
  return true;
}

void Backlog::surface(std::uint64_t memory_bytes_max, ReadyRun& run) {
  std::vector<StoredMessage> none;
  std::optional<SeqRange> no_drop;
  merge(none, tail_.empty() ? kEnd : tail_.front().seq, memory_bytes_max, run, no_drop);
}

// Below `end` the store holds `messages` and nothing else; from the tail's first position on it
// holds the tail and nothing else.
void Backlog::merge(std::vector<StoredMessage>& messages, Seq end, std::uint64_t memory_bytes_max,
                    ReadyRun& run, std::optional<SeqRange>& drop) {
  const Seq tail_at = tail_.empty() ? kEnd : tail_.front().seq;
  const Seq messages_end = std::min(end, tail_at);
  if (end >= tail_at) end = kEnd;
  std::size_t at = 0;
  const std::uint64_t bytes_before = run.bytes();
  for (;;) {
    while (at < messages.size() && absent_.contains(messages[at].seq)) ++at;
    const bool in_page = at < messages.size() && messages[at].seq < messages_end;
    const bool in_tail = !in_page && end == kEnd && !tail_.empty();
    const Seq stored = in_page ? messages[at].seq : in_tail ? tail_.front().seq : end;
    const Seq unstored = behind_.empty() ? kEnd : behind_.front().seq;
    if (run.bytes() - bytes_before >= memory_bytes_max || std::min(stored, unstored) >= end) {
      from_ = stored;
      break;
    }
    if (unstored < stored) {
      run.push_back(behind_.pop_front());
    } else if (in_tail) {
      count_out(*tail_.front().message);
      if (expiry_ != nullptr) expiry_->came(tail_.front());
      run.push_back(tail_.pop_front());
    } else {
      StoredMessage& message = messages[at++];
      count_out(*message.message);
      if (!is_stored(*message.message)) {
        --paged_out_;
        drop = SeqRange{drop ? drop->from : message.seq, message.seq};
      }
      Ready ready{message.seq, std::move(message.message), message.delivery_count,
                  message.enqueued_at_ms};
      if (expiry_ != nullptr) expiry_->came(ready);
      run.push_back(std::move(ready));
    }
  }
  HARRIER_CHECK(end != kEnd || stored_ == 0 || from_ != kEnd);
  if (stored_ == 0) run.append(std::exchange(behind_, {}));
}

std::optional<FetchRequest> Backlog::next_sweep(Seq from, std::size_t bytes_max, Seq next_seq,
                                                std::uint64_t durable_through) {
  from = std::max(from, from_);
  const Seq end = first_invisible(next_seq, durable_through);
  if (from >= end) return std::nullopt;
  if (!fetching()) forget_absent(durable_through);
  sweeping_ = true;
  return FetchRequest{from, bytes_max, ++last_token_, end};
}

// An answer that was asked for before the batch was durable may still hold them.
void Backlog::forget_absent(std::uint64_t durable_through) {
  if (!sweeping_) absent_.forget(durable_through);
}

void Backlog::hold(Seq seq, std::uint64_t durable_through) {
  if (!fetching()) forget_absent(durable_through);
  absent_.hold(seq);
}

void Backlog::left_store(Seq seq, std::uint64_t batch, std::uint64_t durable_through) {
  if (!fetching()) forget_absent(durable_through);
  if (absent_.is_held(seq)) absent_.leaves(seq, batch);
}

void Backlog::note_gone(Seq seq, std::uint64_t batch, std::uint64_t durable_through) {
  absent_.leaves(seq, batch);
  if (!fetching()) forget_absent(durable_through);
}

bool Backlog::take_stored(Seq seq, const protocol::Message& message, std::uint64_t batch) {
  count_out(message);
  tail_.take(seq);
  absent_.leaves(seq, batch);
  fetch_token_ = 0;  // what is on its way may still have it
  const bool paged_out = !is_stored(message);
  if (paged_out) --paged_out_;
  return paged_out;
}

Backlog::Cleared Backlog::clear(Seq next_seq) {
  Cleared cleared;
  cleared.count = count();
  const SeqRange all{from_, next_seq - 1};
  if (stored_ > paged_out_) cleared.stored = absent_.without_held(all);
  if (paged_out_ > 0) cleared.paged_out = all;
  for (Piece& piece : pieces_) piece.dropped = true;
  stored_ = stored_bytes_ = paged_out_ = 0;
  tail_ = {};
  behind_ = {};
  fetch_token_ = 0;
  absent_.clear();  // a later message is above all that an answer on its way may hold
  sweeping_ = false;
  return cleared;
}

}  // namespace harrier::broker
