// SPDX-License-Identifier: Apache-2.0
#include "broker/core/delayed_messages.hpp"

#include <algorithm>
#include <charconv>
#include <iterator>
#include <utility>

#include "protocol/bytes.hpp"
#include "protocol/check.hpp"

namespace harrier::broker {

using persistence::content_size;

namespace {

constexpr unsigned kStepBits = 4;
static_assert(DelayedMessages::kStepMs == Millis{1} << kStepBits);
constexpr unsigned kNumberBits = 25;
constexpr std::uint64_t kNumbersMax = std::uint64_t{1} << kNumberBits;
constexpr unsigned kStretchBits = 18;  // 262 s; the counters of ten years are 1.2 million
// So many years after 1970 a time is cut: 139.
constexpr Millis kDueMax = (Millis{1} << (63 - kNumberBits + kStepBits)) - 1;
// Numbers that one record reserves at first; each further one as many as there are.
constexpr std::uint64_t kNumbersReserved = 1'000;
constexpr std::uint64_t kNumbersReservedMax = 100'000;
// Counters of stretches that are over are kept so long, in stretches: a clock may be set back.
constexpr std::uint64_t kStretchesKept = 30;
// Memory that a message takes beside its content, roughly.
constexpr std::uint64_t kMemoryPerMessage = 200;
constexpr std::size_t kPageBytesMin = 16 * 1024;

std::uint64_t stretch_of(Millis ms) { return static_cast<std::uint64_t>(ms) >> kStretchBits; }

std::uint64_t memory_of(const Delayed& delayed) {
  return delayed.message->footprint() + kMemoryPerMessage;
}

}  // namespace

std::optional<DelayedNumbers> read_delayed_numbers(const persistence::Define& definition) {
  const std::string& name = definition.name;
  if (!name.starts_with(kDelayedPrefix) || definition.value.size() != 8) return std::nullopt;
  const char* const end = name.data() + name.size();
  std::uint64_t queue = 0;
  DelayedNumbers numbers;
  const auto id = std::from_chars(name.data() + kDelayedPrefix.size(), end, queue);
  if (id.ec != std::errc{} || id.ptr == end || *id.ptr != ':') return std::nullopt;
  const auto stretch = std::from_chars(id.ptr + 1, end, numbers.stretch);
  if (stretch.ec != std::errc{} || stretch.ptr != end) return std::nullopt;
  numbers.queue = QueueId{queue};
  numbers.below = protocol::ByteReader(definition.value).u64();
  return numbers;
}

std::string DelayedMessages::number_name(std::uint64_t stretch) const {
  return std::string(kDelayedPrefix) + std::to_string(static_cast<std::uint64_t>(queue_)) + ':' +
         std::to_string(stretch);
}

void DelayedMessages::restore(std::uint64_t messages, std::uint64_t bytes, Seq seq_max) {
  given_to_ = seq_max;
  stored_ = messages;
  stored_bytes_ = bytes;
  if (messages > 0) horizon_ = 0;
}

void DelayedMessages::restore(const DelayedNumbers& numbers) {
  numbers_[numbers.stretch] = {numbers.below, numbers.below};
}

// ---- positions ----

// A stretch whose numbers are used up, 128'000 in every second of it, lends from the next.
Seq DelayedMessages::new_position(Millis due_ms, bool stored, Outlet& outlet) {
  due_ms = std::clamp<Millis>(due_ms, 0, kDueMax);
  forget_past_stretches(outlet);
  Numbers* numbers = &numbers_[stretch_of(due_ms)];
  while (numbers->next >= kNumbersMax) {
    due_ms = static_cast<Millis>((stretch_of(due_ms) + 1) << kStretchBits);
    numbers = &numbers_[stretch_of(due_ms)];
  }
  if (stored && numbers->next >= numbers->below) {
    numbers->below =
        numbers->next + std::clamp(numbers->next, kNumbersReserved, kNumbersReservedMax);
    persistence::Bytes value(8);
    protocol::put_u64(value.data(), numbers->below);
    outlet.record(persistence::Define{persistence::Kind::Counter, "",
                                      number_name(stretch_of(due_ms)), std::move(value)});
  }
  const std::uint64_t step = static_cast<std::uint64_t>(due_ms) >> kStepBits;
  const Seq seq = kDelayedFrom | step << kNumberBits | numbers->next++;
  given_to_ = std::max(given_to_, seq);
  return seq;
}

void DelayedMessages::forget_past_stretches(Outlet& outlet) {
  const std::uint64_t now = stretch_of(outlet.unix_ms());
  while (!numbers_.empty() && numbers_.begin()->first + kStretchesKept < now) {
    const auto& [stretch, numbers] = *numbers_.begin();
    if (numbers.below > 0)
      outlet.record(persistence::Forget{persistence::Kind::Counter, "", number_name(stretch)});
    numbers_.erase(numbers_.begin());
  }
}

// ---- in and out ----

bool DelayedMessages::add(Delayed delayed, Outlet& outlet) {
  forget_durable(outlet);
  delayed.stored = durable_ && (keeps_ == Keeps::All || delayed.message->persistent());
  const Seq seq = new_position(delayed.due_ms, delayed.stored, outlet);
  delayed.seq = seq;
  note_id(delayed);
  if (!delayed.stored) {
    unstored_.emplace(seq, std::move(delayed));
    return false;
  }
  outlet.record(
      persistence::Enqueue{part_, seq, delayed.message, delayed.enqueued_ms, delayed.due_ms});
  if (delayed.returns > 0) outlet.record(persistence::Requeue{part_, seq, delayed.returns});
  delayed.batch = outlet.current_batch();
  ++stored_;
  stored_bytes_ += content_size(*delayed.message);
  if (seq < horizon_) {
    keep_soon(std::move(delayed));
    shrink();
  } else {
    make_fresh(std::move(delayed));
  }
  return true;
}

void DelayedMessages::keep_soon(Delayed delayed) {
  soon_bytes_ += memory_of(delayed);
  const Seq seq = delayed.seq;
  soon_.emplace(seq, std::move(delayed));
}

void DelayedMessages::make_fresh(Delayed delayed) {
  const Seq seq = delayed.seq;
  fresh_order_.emplace_back(delayed.batch, seq);
  fresh_.emplace(seq, std::move(delayed));
}

void DelayedMessages::count_out(const protocol::Message& message) {
  HARRIER_CHECK(stored_ > 0);
  --stored_;
  stored_bytes_ -= std::min<std::uint64_t>(content_size(message), stored_bytes_);
}

std::uint64_t DelayedMessages::window() const {
  return tight_ ? std::min<std::uint64_t>(*window_bytes_, kPageBytesMin) : *window_bytes_;
}

bool DelayedMessages::last_may_leave() const { return std::prev(soon_.end())->first > taken_to_; }

// Out of the window, of which it is the end then.
void DelayedMessages::push_out_last() {
  Delayed evicted = std::move(soon_.extract(std::prev(soon_.end())).mapped());
  soon_bytes_ -= memory_of(evicted);
  horizon_ = evicted.seq;
  void_ = true;  // a page that is on its way has later ones only
  if (evicted.batch > durable_to_ || evicted.enqueued_ms >= now_ms_) make_fresh(std::move(evicted));
}

// Beyond the window goes what is due last; never so much that it would be asked for again at once.
void DelayedMessages::shrink() {
  if (!window_bytes_ || soon_bytes_ <= window()) return;
  while (soon_bytes_ > window() / 4 * 3 && last_may_leave()) {
    if (soon_bytes_ - memory_of(std::prev(soon_.end())->second) <= window() / 2) break;
    push_out_last();
  }
}

std::uint64_t DelayedMessages::spare_bytes() const {
  return soon_.empty() ? 0 : soon_bytes_ - memory_of(soon_.begin()->second);
}

void DelayedMessages::evict() {
  if (!window_bytes_) return;
  gave_up_ = true;
  while (soon_.size() > 1 && last_may_leave()) push_out_last();
}

// An answer that was asked for before they were durable does not have them. Those of this
// millisecond stay in any case, see in_memory_with_id().
void DelayedMessages::forget_durable(const Outlet& outlet) {
  const std::uint64_t durable = durable_to_ = outlet.durable_through();
  now_ms_ = outlet.unix_ms();
  if (asked_token_ != 0) return;
  while (!fresh_order_.empty() && fresh_order_.front().first <= durable) {
    const auto at = fresh_.find(fresh_order_.front().second);
    if (at != fresh_.end() && at->second.enqueued_ms >= outlet.unix_ms()) break;
    if (at != fresh_.end()) fresh_.erase(at);
    fresh_order_.pop_front();
  }
  if (scanning_ || std::exchange(gone_checked_to_, durable) == durable) return;
  std::erase_if(gone_, [&](const auto& each) { return each.second <= durable; });
}

const std::map<Seq, Delayed>* DelayedMessages::head() const {
  const Seq stored = soon_.empty() ? horizon_ : soon_.begin()->first;
  if (!unstored_.empty() && unstored_.begin()->first < stored) return &unstored_;
  return soon_.empty() ? nullptr : &soon_;
}

std::optional<Delayed> DelayedMessages::take_due(Millis now) {
  const std::map<Seq, Delayed>* const from = head();
  if (from == nullptr || from->begin()->second.due_ms > now) return std::nullopt;
  std::map<Seq, Delayed>& holder = from == &soon_ ? soon_ : unstored_;
  Delayed taken = std::move(holder.extract(holder.begin()).mapped());
  taken_to_ = std::max(taken_to_, taken.seq);
  if (taken.stored) {
    soon_bytes_ -= memory_of(taken);
    count_out(*taken.message);
  }
  return taken;
}

Millis DelayedMessages::next_due() const {
  const std::map<Seq, Delayed>* const from = head();
  return from == nullptr ? kNeverDue : from->begin()->second.due_ms;
}

void DelayedMessages::remove(Seq seq, const protocol::Message& message, const Outlet& outlet) {
  if (unstored_.erase(seq) > 0) return;
  if (const auto at = soon_.find(seq); at != soon_.end()) {
    soon_bytes_ -= memory_of(at->second);
    soon_.erase(at);
  }
  fresh_.erase(seq);
  count_out(message);
  gone_.emplace(seq, outlet.current_batch());
}

// ---- by id ----

const Delayed* DelayedMessages::find(Seq seq) const {
  for (const auto* holder : {&unstored_, &soon_, &fresh_}) {
    if (const auto at = holder->find(seq); at != holder->end()) return &at->second;
  }
  return nullptr;
}

void DelayedMessages::make_ids() {
  ids_.emplace();
  for (const auto* holder : {&unstored_, &soon_, &fresh_}) {
    for (const auto& [seq, delayed] : *holder) ids_->came(message_id_of(*delayed.message), seq);
  }
}

void DelayedMessages::note_id(const Delayed& delayed) {
  if (!ids_) return;
  if (ids_->is_stale(in_memory())) {
    const bool was_asked = ids_->was_asked();
    ids_.reset();
    if (!was_asked) return;
    make_ids();
  }
  ids_->came(message_id_of(*delayed.message), delayed.seq);
}

std::vector<const Delayed*> DelayedMessages::in_memory_with_id(std::string_view id) {
  if (!ids_) make_ids();
  std::vector<const Delayed*> found;
  for (const Seq seq : ids_->candidates(id)) {
    const Delayed* const delayed = find(seq);
    if (delayed == nullptr) {
      ids_->gone(id, seq);
    } else if (message_id_of(*delayed->message) == id) {
      found.push_back(delayed);
    }
  }
  return found;
}

// ---- the store ----

std::optional<FetchRequest> DelayedMessages::next_fetch(const Outlet& outlet) {
  forget_durable(outlet);
  if (asked_token_ != 0 || horizon_ == kEnd) return std::nullopt;
  const bool waits_for_last = tight_ || gave_up_;
  if (waits_for_last ? !soon_.empty() : soon_bytes_ > window() / 2) return std::nullopt;
  if (cleared_in_ > outlet.durable_through()) return std::nullopt;
  asked_token_ = ++last_token_;
  void_ = gave_up_ = false;
  const std::uint64_t each = stored_ > 0 ? stored_bytes_ / stored_ + 1 : 1;
  const std::uint64_t memory = window() - std::min(window(), soon_bytes_);
  const std::uint64_t bytes = memory * each / (each + kMemoryPerMessage);
  return FetchRequest{horizon_, std::max<std::size_t>(bytes, kPageBytesMin), asked_token_, kEnd};
}

bool DelayedMessages::fetched(Fetched& page, const Outlet& outlet) {
  if (asked_token_ == 0 || page.token != asked_token_) return false;
  asked_token_ = 0;
  if (std::exchange(void_, false)) return true;
  const Seq end = page.next.value_or(kEnd);
  for (persistence::StoredMessage& message : page.messages) {
    if (gone_.contains(message.seq)) continue;
    fresh_.erase(message.seq);
    Delayed delayed;
    delayed.seq = message.seq;
    delayed.message = std::move(message.message);
    delayed.due_ms = message.expires_at_ms.value_or(0);
    delayed.enqueued_ms = message.enqueued_at_ms;
    delayed.returns = message.delivery_count;
    delayed.stored = true;
    note_id(delayed);
    keep_soon(std::move(delayed));
  }
  while (!fresh_.empty() && fresh_.begin()->first < end)
    keep_soon(std::move(fresh_.extract(fresh_.begin()).mapped()));
  horizon_ = end;
  HARRIER_CHECK(end != kEnd || soon_.size() == stored_);
  forget_durable(outlet);
  shrink();
  return true;
}

FetchRequest DelayedMessages::begin_scan(Seq from) {
  scanning_ = true;
  return {from, 256 * 1024, ++last_token_, kEnd};
}

void DelayedMessages::clear(Outlet& outlet) {
  if (stored_ > 0) {
    // Below what was given out each by itself: others there may be with consumers.
    for (const auto& [seq, delayed] : soon_) {
      if (seq > taken_to_) break;
      outlet.record(persistence::Settle{part_, seq});
    }
    if (given_to_ > taken_to_) outlet.record(persistence::Purge{part_, taken_to_ + 1, given_to_});
    cleared_in_ = outlet.current_batch();
  }
  stored_ = stored_bytes_ = soon_bytes_ = 0;
  ids_.reset();
  unstored_.clear();
  soon_.clear();
  fresh_.clear();
  fresh_order_.clear();
  horizon_ = kEnd;
  void_ = true;
}

void DelayedMessages::close(Outlet& outlet) {
  if (!durable_) return;
  outlet.record(persistence::DropQueue{part_});
  for (const auto& [stretch, numbers] : numbers_) {
    if (numbers.below > 0)
      outlet.record(persistence::Forget{persistence::Kind::Counter, "", number_name(stretch)});
  }
}

}  // namespace harrier::broker
