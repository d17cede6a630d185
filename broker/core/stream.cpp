// SPDX-License-Identifier: Apache-2.0
#include "broker/core/stream.hpp"

#include <algorithm>

#include "protocol/check.hpp"

namespace harrier::broker {

namespace {

// As for queues: what a stream that is read may keep when the shard's budget is used up.
constexpr std::uint64_t kSmallWindowBytes = 64 * 1024;
// Of one fetch: little enough for many readers in different places, enough to be worth one.
constexpr std::uint64_t kPageBytesMin = 16 * 1024;
constexpr std::uint64_t kPageBytesMax = 256 * 1024;

}  // namespace

Stream::Stream(const routing::QueueEntryPtr& entry, const std::string& vhost, UnsentLimits limits,
               Residents* residents)
    : entry_(entry), vhost_(vhost), limits_(limits), residents_(residents) {}

Stream::~Stream() {
  if (residents_ == nullptr) return;
  residents_->bytes -= accounted_bytes_;
  if (holder_) residents_->holders.erase(*holder_);
}

// A stream loses messages at its front only, so the counters tell where it begins.
void Stream::restore(std::uint64_t messages, std::uint64_t bytes, Seq seq_max) {
  HARRIER_CHECK(residents_ != nullptr || messages == 0);
  next_seq_ = seq_max + 1;
  first_seq_ = next_seq_ - std::min(messages, seq_max);
  durable_to_ = seq_max;
  if (messages > 0) index_.restore(first_seq_, seq_max, bytes);
}

void Stream::describe(QueueInfo& info) const {
  info.messages_ready = count();
  info.messages_paged = count() - std::min<std::uint64_t>(count(), tail_.size());
  info.resident_bytes = accounted_bytes_;
  info.messages_published = next_seq_ - 1;
  info.consumers = consumer_count();
  for (const auto& reader : readers_) {
    if (reader) info.messages_unacknowledged += reader->unsettled.size();
  }
}

void Stream::publish(MessagePtr message, Outlet& outlet) {
  const Seq seq = next_seq_++;
  const Millis now = outlet.unix_ms();
  last_bytes_ = persistence::content_size(*message);
  outlet.record(persistence::Enqueue{stored_id(), seq, message, now, std::nullopt});
  index_.add(seq, last_bytes_, now);
  tail_.push(seq, std::move(message), now);
  note_batch(seq, outlet);
  if (limited()) retain(outlet);
  if (note_durable(outlet)) deliver(outlet);
  trim();
  account();
}

// ---- what is durable ----

void Stream::note_batch(Seq seq, Outlet& outlet) {
  if (residents_ == nullptr || outlet.current_batch() <= outlet.durable_through()) return;
  open_.add(outlet.current_batch(), seq);
  residents_->wait(entry_->id, is_waiting_);
}

// True if there is more than before.
bool Stream::note_durable(const Outlet& outlet) {
  open_.forget(outlet.durable_through());
  const Seq now = open_.empty() ? next_seq_ - 1 : open_.first() - 1;
  return std::exchange(durable_to_, now) < now;
}

void Stream::store_moved(Outlet& outlet) {
  is_waiting_ = false;
  const bool more = note_durable(outlet);
  if (!open_.empty()) residents_->wait(entry_->id, is_waiting_);
  if (!more) return;
  if (limited()) retain(outlet);
  deliver(outlet);
  trim();
  account();
}

// ---- memory ----

std::uint64_t Stream::window_now() const {
  if (!residents_->full()) return residents_->window_bytes;
  if (consumers_.empty()) return 0;
  residents_->wanted = true;
  return std::min(residents_->window_bytes, kSmallWindowBytes);
}

std::size_t Stream::page_bytes() const {
  const std::uint64_t window = window_now();
  const std::uint64_t share = window / (behind_count_ + 1);
  return std::clamp(share, std::min(window, kPageBytesMin), kPageBytesMax);
}

// What is not durable yet is in memory anyway, and the store has no copy to give readers; while
// somebody waits for it, it stays.
void Stream::trim() {
  if (residents_ == nullptr) return;
  const std::uint64_t window = window_now();
  const bool awaited = !listed_.empty() && !residents_->full();
  while (tail_.bytes() > window && (!awaited || tail_.first() <= durable_to_)) tail_.pop();
  pages_.shrink(window);
}

void Stream::account() {
  if (residents_ == nullptr) return;
  const std::uint64_t resident = tail_.bytes() + pages_.bytes();
  residents_->bytes += resident - accounted_bytes_;
  accounted_bytes_ = resident;
  if (resident > 0 && !holder_)
    holder_ = residents_->holders.insert(residents_->holders.end(), entry_->id);
}

bool Stream::evict() {
  const std::uint64_t before = accounted_bytes_;
  tail_.clear();
  pages_.shrink(0);
  if (holder_) residents_->holders.erase(*std::exchange(holder_, std::nullopt));
  account();
  return accounted_bytes_ < before;
}

}  // namespace harrier::broker
