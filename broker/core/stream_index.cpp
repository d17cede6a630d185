// SPDX-License-Identifier: Apache-2.0
#include "broker/core/stream_index.hpp"

#include <algorithm>

namespace harrier::broker {

void StreamIndex::set_grain(std::uint64_t bytes, Millis ms) {
  grain_bytes_ = std::max<std::uint64_t>(bytes, 1);
  grain_ms_ = std::max<Millis>(ms, 1);
}

void StreamIndex::add(Seq seq, std::uint64_t bytes, Millis ms) {
  bytes_ += bytes;
  if (!chunks_.empty()) {
    StreamChunk& last = chunks_.back();
    if (last.measured && last.bytes < grain_bytes_ && ms - last.first_ms < grain_ms_) {
      last.up_to = seq;
      last.bytes += bytes;
      last.last_ms = std::max(last.last_ms, ms);
      return;
    }
  }
  chunks_.push_back({seq, seq, bytes, ms, ms, true});
  if (chunks_.size() > kChunksMax) merge_neighbours();
}

// Two and two; what is not measured stays alone.
void StreamIndex::merge_neighbours() {
  std::deque<StreamChunk> merged;
  bool takes_one = false;
  for (const StreamChunk& chunk : chunks_) {
    if (takes_one && chunk.measured) {
      StreamChunk& before = merged.back();
      before.up_to = chunk.up_to;
      before.bytes += chunk.bytes;
      before.last_ms = std::max(before.last_ms, chunk.last_ms);
      takes_one = false;
    } else {
      merged.push_back(chunk);
      takes_one = chunk.measured;
    }
  }
  chunks_ = std::move(merged);
  grain_bytes_ *= 2;  // so that all chunks stay about as large
  if (grain_ms_ <= kForever / 2) grain_ms_ *= 2;
}

void StreamIndex::measured(Seq up_to, std::uint64_t bytes, Millis first_ms, Millis last_ms) {
  StreamChunk& rest = chunks_.front();
  const StreamChunk part{rest.from, up_to, bytes, first_ms, last_ms, true};
  if (up_to >= rest.up_to) {
    bytes_ = bytes_ - rest.bytes + bytes;  // exact from now on
    rest = part;
    return;
  }
  bytes_ += bytes > rest.bytes ? bytes - rest.bytes : 0;
  rest.from = up_to + 1;
  rest.bytes -= std::min(bytes, rest.bytes);
  chunks_.push_front(part);
}

void StreamIndex::drop_front() {
  bytes_ -= std::min(bytes_, chunks_.front().bytes);
  chunks_.pop_front();
}

void StreamIndex::keep_last(std::uint64_t bytes) {
  StreamChunk& only = chunks_.back();
  bytes_ = bytes;
  only.from = only.up_to;
  only.bytes = bytes;
  only.first_ms = only.last_ms;
}

std::optional<SeqRange> StreamIndex::range_of(Millis ms) const {
  for (std::size_t at = 0; at < chunks_.size(); ++at) {
    const StreamChunk& chunk = chunks_[at];
    if (chunk.measured) {
      if (chunk.last_ms >= ms) return SeqRange{chunk.from, chunk.up_to};
      continue;
    }
    // Behind it all is later than any of it.
    const bool later = at + 1 < chunks_.size() && chunks_[at + 1].first_ms < ms;
    if (!later) return SeqRange{chunk.from, chunk.up_to};
  }
  return std::nullopt;
}

}  // namespace harrier::broker
