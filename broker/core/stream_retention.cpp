// SPDX-License-Identifier: Apache-2.0
//
// What a stream gives up at its front, chunk by chunk (C-485).
#include <algorithm>

#include "broker/core/stream.hpp"

namespace harrier::broker {

namespace {

// The index begins this fine; see StreamIndex for what becomes of it.
constexpr std::uint64_t kGrainBytes = 64 * 1024;
// Shares of a limit that a chunk may have at most: what is kept is that close to the limit.
constexpr std::uint64_t kBytesShare = 16;
constexpr Millis kAgeShare = 64;
// Of one page that is read to learn the sizes of what was there before a restart.
constexpr std::size_t kMeasureBytes = 256 * 1024;

}  // namespace

void Stream::set_retention(const QueueSettings& settings) {
  bytes_max_.reset();
  if (settings.max_length_bytes)
    bytes_max_ = static_cast<std::uint64_t>(*settings.max_length_bytes);
  // Longer than anything can have lived is for ever.
  constexpr std::int64_t kSecondsMax = kMillisecondsMax / 1'000;
  max_age_ms_.reset();
  if (settings.max_age_s && *settings.max_age_s <= kSecondsMax)
    max_age_ms_ = *settings.max_age_s * 1'000;
  std::uint64_t grain = kGrainBytes;
  if (bytes_max_) grain = std::min(grain, *bytes_max_ / kBytesShare);
  if (settings.stream_segment_bytes_max)
    grain = std::min(grain, static_cast<std::uint64_t>(*settings.stream_segment_bytes_max));
  index_.set_grain(grain, max_age_ms_ ? *max_age_ms_ / kAgeShare : kMillisecondsMax);
}

bool Stream::is_excess(const StreamChunk& chunk, Millis now) const {
  if (bytes_max_ && index_.bytes() > *bytes_max_) return true;
  if (!max_age_ms_) return false;
  return !chunk.measured || chunk.last_ms + *max_age_ms_ <= now;
}

// With all of it much more would go than has to: a limit has come that is small beside the chunk.
bool Stream::is_coarse(const StreamChunk& chunk, Millis now) const {
  if (!chunk.measured || !bytes_max_ || chunk.from == chunk.up_to) return false;
  if (max_age_ms_ && chunk.last_ms + *max_age_ms_ <= now) return false;
  return index_.bytes() - chunk.bytes + 2 * (*bytes_max_ / kBytesShare) < *bytes_max_;
}

void Stream::retain(Outlet& outlet) {
  const Seq before = first_seq_;
  while (index_.size() > 0 && is_excess(index_.front(), outlet.unix_ms())) {
    const StreamChunk& front = index_.front();
    if (is_coarse(front, outlet.unix_ms())) index_.doubt_front();
    if (!front.measured) {
      measure(outlet);
      break;
    }
    if (index_.size() > 1) {
      first_seq_ = front.up_to + 1;
      index_.drop_front();
      continue;
    }
    first_seq_ = front.up_to;
    index_.keep_last(last_bytes_);
    break;
  }
  if (first_seq_ == before) return;
  outlet.record(persistence::Purge{stored_id(), before, first_seq_ - 1});
  tail_.drop_below(first_seq_);
  pages_.drop_below(first_seq_);
  account();
}

Millis Stream::next_due() const {
  if (!max_age_ms_ || index_.size() == 0 || count() <= 1) return kNeverDue;
  const StreamChunk& front = index_.front();
  if (front.measured) return front.last_ms + *max_age_ms_;
  return pages_.is_measuring() || first_seq_ > durable_to_ ? kNeverDue : 0;
}

std::uint64_t Stream::measure_bytes() const {
  if (!bytes_max_) return kMeasureBytes;
  return std::clamp<std::uint64_t>(*bytes_max_ / kBytesShare, 1, kMeasureBytes);
}

// What is not durable yet waits for its turn: see store_moved().
void Stream::measure(Outlet& outlet) {
  if (pages_.is_measuring() || first_seq_ > durable_to_) return;
  FetchRequest request;
  request.from = first_seq_;
  request.bytes_max = measure_bytes();
  request.end = std::min(index_.front().up_to, durable_to_) + 1;
  request.token = pages_.open({StreamFetch::Kind::Measure, request.from, request.end, {}});
  outlet.fetch(stored_id(), request);
}

void Stream::measured(const Fetched& page, const StreamFetch& fetch) {
  if (index_.size() == 0 || index_.front().measured || index_.front().from != fetch.from) return;
  const std::uint64_t bytes_max = measure_bytes();
  Seq end = std::min(page.next.value_or(fetch.end), fetch.end);
  std::uint64_t bytes = 0;
  Millis first_ms = 0;
  Millis last_ms = 0;
  for (const persistence::StoredMessage& stored : page.messages) {
    if (stored.seq >= end) break;
    const std::uint64_t size = persistence::content_size(*stored.message);
    if (bytes == 0) {
      first_ms = stored.enqueued_at_ms;
    } else if (bytes + size > bytes_max) {
      // The store may give a message more than it was asked for: a piece that is coarse again
      // would be measured for ever.
      end = stored.seq;
      break;
    }
    if (stored.seq + 1 == next_seq_) last_bytes_ = size;
    bytes += size;
    last_ms = std::max(last_ms, stored.enqueued_at_ms);
  }
  index_.measured(end - 1, bytes, first_ms, last_ms);
}

}  // namespace harrier::broker
