// SPDX-License-Identifier: Apache-2.0
//
// The readers of a stream: where each begins, what it is given, and what its acknowledgements mean.
#include <algorithm>
#include <limits>

#include "broker/core/stream.hpp"

namespace harrier::broker {

using protocol::ReplyCode;

namespace {

// A search for a time ends when so few messages are left: the reader passes over them.
constexpr Seq kScanMax = 64;

template <class... Cases>
struct Overloaded : Cases... {
  using Cases::operator()...;
};
template <class... Cases>
Overloaded(Cases...) -> Overloaded<Cases...>;

}  // namespace

// ---- coming and going ----

std::optional<Refused> Stream::consume(const Consume& request) {
  if (exclusive_consumer_ || (request.exclusive && !consumers_.empty())) {
    return Refused{ReplyCode::AccessRefused,
                   "queue '" + entry_->name + "' in vhost '" + vhost_ + "' in exclusive use"};
  }
  if (free_slots_.empty()) {
    free_slots_.push_back(static_cast<std::uint32_t>(readers_.size()));
    readers_.emplace_back();
  }
  auto reader = std::make_unique<StreamReader>();
  reader->slot = free_slots_.back();
  free_slots_.pop_back();
  reader->ref = request.consumer;
  reader->wish = request.stream ? request.stream : std::make_shared<const StreamSubscription>();
  reader->prefetch = request.prefetch;
  reader->exclusive = request.exclusive;
  exclusive_consumer_ = request.exclusive;
  consumers_.emplace(reader->ref, reader->slot);
  list(*reader);
  readers_[reader->slot] = std::move(reader);
  return std::nullopt;
}

StreamReader* Stream::find(const ConsumerRef& ref) {
  const auto found = consumers_.find(ref);
  return found == consumers_.end() ? nullptr : at(found->second);
}

void Stream::cancel(const ConsumerRef& ref) {
  StreamReader* const reader = find(ref);
  if (reader == nullptr) return;
  detach(*reader);
  if (reader->unsettled.empty()) free_slot(*reader);
}

// What it has not settled stays with its channel; nothing goes back (C-487).
void Stream::detach(StreamReader& reader) {
  reader.cancelled = true;
  if (reader.exclusive) exclusive_consumer_ = false;
  consumers_.erase(reader.ref);
  set_behind(reader, false);
  if (std::exchange(reader.listed, false)) std::erase(listed_, reader.slot);
}

void Stream::free_slot(StreamReader& reader) {
  const std::uint32_t slot = reader.slot;
  if (reader.due) std::erase(due_, slot);
  if (reader.asking) std::erase(asking_, slot);
  readers_[slot].reset();
  free_slots_.push_back(slot);
}

void Stream::release(const ChannelRef& channel) {
  for (const auto& slot : readers_) {
    if (!slot || !(slot->ref.channel == channel)) continue;
    StreamReader& reader = *slot;
    if (!reader.cancelled) detach(reader);
    free_slot(reader);
  }
}

void Stream::cancel_all(Outlet& outlet) {
  for (const auto& reader : readers_) {
    if (reader && !reader->cancelled)
      outlet.notify(reader->ref.channel.connection, ConsumerCancelled{reader->ref});
  }
}

// ---- credit ----

// Acknowledged or rejected: the same here (C-482).
void Stream::settle(const Settle& settle, Outlet& outlet) {
  StreamReader* const reader = at(settle.slot);
  if (reader != nullptr && reader->unsettled.take(settle.seq)) {
    if (reader->wish->is_tracked()) note_progress(*reader, outlet);
    if (!reader->cancelled) {
      make_due(*reader);
    } else if (reader->unsettled.empty()) {
      free_slot(*reader);
    }
  }
  if (!settle.more) serve_due(outlet);
}

void Stream::note_progress(StreamReader& reader, Outlet& outlet) {
  const StreamSubscription& wish = *reader.wish;
  if (offsets_.note(entry_->id, wish.tag, reader.done_to(), wish.tracks.value_or(false), outlet))
    outlet.before_commit(entry_->id);
}

void Stream::set_prefetch(const SetPrefetch& change, Outlet& outlet) {
  StreamReader* const reader = find(change.consumer);
  if (reader == nullptr) return;
  reader->prefetch = change.prefetch;
  make_due(*reader);
  serve_due(outlet);
}

void Stream::sent(const Sent& sent, Outlet& outlet) {
  StreamReader* const reader = find(sent.consumer);
  if (reader == nullptr) return;
  reader->unsent_messages -= std::min(sent.messages, reader->unsent_messages);
  reader->unsent_bytes -= std::min(sent.bytes, reader->unsent_bytes);
  make_due(*reader);
  serve_due(outlet);
}

// One that waits for the next message, or for the store, is served when that comes.
void Stream::make_due(StreamReader& reader) {
  if (reader.listed || reader.asking || std::exchange(reader.due, true)) return;
  due_.push_back(reader.slot);
}

void Stream::serve_due(Outlet& outlet) {
  if (due_.empty()) return;
  for (const std::uint32_t slot : std::exchange(due_, {})) {
    StreamReader* const reader = at(slot);
    if (reader == nullptr || !std::exchange(reader->due, false)) continue;
    pump(*reader, outlet);
  }
  account();
}

void Stream::list(StreamReader& reader) {
  if (!std::exchange(reader.listed, true)) listed_.push_back(reader.slot);
}

// ---- reading ----

void Stream::deliver(Outlet& outlet) {
  if (listed_.empty()) return;
  for (const std::uint32_t slot : std::exchange(listed_, {})) {
    StreamReader& reader = *at(slot);
    reader.listed = false;
    pump(reader, outlet);
  }
  account();
}

void Stream::pump(StreamReader& reader, Outlet& outlet) {
  if (reader.cancelled || reader.asking || !outlet.delivers()) return;
  if (reader.next == 0) place(reader, outlet);
  if (reader.seek && !has_sought(reader, outlet)) return;
  while (reader.can_take(limits_)) {
    reader.next = std::max(reader.next, first_seq_);
    if (reader.next > durable_to_) {
      set_behind(reader, false);
      list(reader);
      return;
    }
    const auto found = look_up(reader.next);
    if (!found) {
      ask(reader, StreamFetch::Kind::Page, reader.next, outlet);
      return;
    }
    if (found->message == nullptr) {
      reader.next = found->end;
      continue;
    }
    reader.next = found->seq + 1;
    if (found->seq < reader.skip_below) {
      if (found->enqueued_ms < reader.skip_older_ms) continue;
      reader.skip_below = 0;
    }
    if (reader.wish->wants(**found->message)) hand_over(reader, *found, outlet);
  }
}

void Stream::hand_over(StreamReader& reader, const StreamStretch& found, Outlet& outlet) {
  used_ = true;
  MessagePtr message = *found.message;
  ++reader.unsent_messages;
  reader.unsent_bytes += message->body().size();
  reader.unsettled.insert(found.seq, {});
  Delivery delivery;
  delivery.consumer = reader.ref;
  delivery.queue = entry_->id;
  delivery.seq = found.seq;
  delivery.slot = reader.slot;
  delivery.shows_offset = true;
  delivery.message = std::move(message);
  outlet.deliver(std::move(delivery));
}

std::optional<StreamStretch> Stream::look_up(Seq seq) {
  if (const StreamTail::Entry* const entry = tail_.find(seq))
    return StreamStretch{&entry->message, seq, entry->enqueued_ms, 0};
  return pages_.find(seq);
}

void Stream::set_behind(StreamReader& reader, bool behind) {
  if (std::exchange(reader.behind, behind) == behind) return;
  behind_count_ += behind ? 1 : ~std::size_t{0};
  if (behind_count_ == 0) pages_.shrink(0);
}

void Stream::ask(StreamReader& reader, StreamFetch::Kind kind, Seq from, Outlet& outlet) {
  reader.asking = true;
  set_behind(reader, true);
  if (pages_.join(kind, from, reader.slot)) return;
  if (!pages_.may_open()) {
    asking_.push_back(reader.slot);
    return;
  }
  FetchRequest request;
  request.from = from;
  request.bytes_max = kind == StreamFetch::Kind::Probe ? 1 : page_bytes();
  request.end = durable_to_ + 1;
  request.token = pages_.open({kind, from, request.end, {reader.slot}});
  outlet.fetch(stored_id(), request);
}

void Stream::fetched(Fetched& page, Outlet& outlet) {
  const auto fetch = pages_.close(page.token);
  if (!fetch) return;
  if (fetch->kind == StreamFetch::Kind::Measure) {
    measured(page, *fetch);
    retain(outlet);
  } else if (fetch->kind == StreamFetch::Kind::Page) {
    const Seq end = std::min(page.next.value_or(fetch->end), fetch->end);
    while (!page.messages.empty() && page.messages.back().seq >= end) page.messages.pop_back();
    pages_.keep(fetch->from, end, std::move(page.messages), window_now());
  }
  for (const std::uint32_t slot : fetch->slots) {
    StreamReader* const reader = at(slot);
    if (reader == nullptr) continue;
    reader->asking = false;
    if (fetch->kind == StreamFetch::Kind::Probe && reader->seek && !page.messages.empty())
      narrow(*reader, fetch->from, page.messages.front().seq, page.messages.front().enqueued_at_ms);
    pump(*reader, outlet);
  }
  while (pages_.may_open() && !asking_.empty()) {
    StreamReader* const reader = at(asking_.front());
    asking_.pop_front();
    if (reader == nullptr) continue;
    reader->asking = false;
    pump(*reader, outlet);
  }
  trim();
  account();
}

// ---- where to begin (C-480) ----

void Stream::place(StreamReader& reader, Outlet& outlet) {
  const StreamSubscription& wish = *reader.wish;
  if (const auto known = wish.is_tracked() ? offsets_.find(wish.tag) : std::nullopt) {
    reader.next = std::max(*known, first_seq_);
    return;
  }
  const auto start = [&](StreamStart where) {
    if (where == StreamStart::First) reader.next = first_seq_;
    if (where == StreamStart::Last) reader.next = std::max(next_seq_ - 1, first_seq_);
    if (where == StreamStart::Next) reader.next = next_seq_;
  };
  const auto position = [&](StreamPosition where) {
    const Seq seq = where.offset < 0 ? 1 : static_cast<Seq>(where.offset) + 1;
    reader.next = std::max(seq, first_seq_);
  };
  const auto timestamp = [&](StreamTimestamp when) {
    constexpr auto kSecondsMax =
        static_cast<std::uint64_t>(std::numeric_limits<Millis>::max() / 1'000);
    start_at_time(reader, static_cast<Millis>(std::min(when.seconds, kSecondsMax)) * 1'000);
  };
  const auto interval = [&](StreamInterval ago) {
    const Millis now = outlet.unix_ms();
    start_at_time(reader, ago.seconds > now / 1'000 ? 0 : now - ago.seconds * 1'000);
  };
  std::visit(Overloaded{start, position, timestamp, interval},
             wish.offset.value_or(StreamStart::Next));
  // Who asked to be remembered is, from here on: it misses nothing if it comes back before it has
  // acknowledged anything.
  if (wish.tracks.value_or(false) && !wish.tag.empty() && !reader.seek && reader.next <= next_seq_)
    note_progress(reader, outlet);
}

// What is not durable cannot be searched, only waited for.
void Stream::start_at_time(StreamReader& reader, Millis ms) {
  const auto range = index_.range_of(ms);
  if (!range) {
    reader.next = next_seq_;
    return;
  }
  reader.next = std::max(range->from, first_seq_);
  reader.seek = StreamSeek{reader.next, std::min(range->up_to, durable_to_), ms};
  reader.skip_older_ms = ms;
  reader.skip_below = range->up_to + 1;
}

// By halves; false if the store has to be asked.
bool Stream::has_sought(StreamReader& reader, Outlet& outlet) {
  StreamSeek& seek = *reader.seek;
  seek.from = std::max(seek.from, first_seq_);
  while (seek.from + kScanMax <= seek.up_to) {
    const Seq middle = seek.from + (seek.up_to - seek.from) / 2;
    const auto found = look_up(middle);
    if (!found) {
      ask(reader, StreamFetch::Kind::Probe, middle, outlet);
      return false;
    }
    narrow(reader, middle, found->message == nullptr ? middle : found->seq,
           found->message == nullptr ? seek.ms : found->enqueued_ms);
  }
  reader.next = seek.from;
  reader.seek.reset();
  return true;
}

void Stream::narrow(StreamReader& reader, Seq middle, Seq seq, Millis enqueued_ms) {
  StreamSeek& seek = *reader.seek;
  if (enqueued_ms < seek.ms) {
    seek.from = std::max(seek.from, seq + 1);
  } else {
    seek.up_to = std::min(seek.up_to, middle);
  }
}

}  // namespace harrier::broker
