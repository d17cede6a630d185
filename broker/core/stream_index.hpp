// SPDX-License-Identifier: Apache-2.0
//
// StreamIndex: where in a stream which bytes and which times are, chunk by chunk, for retention and
// for starting at a time. A value inside its stream. It never holds more than kChunksMax chunks:
// when there are more, neighbours become one, so a chunk is a small share of the stream, however
// long that is. Of what was there before a restart only the sum is known, and stands as one chunk
// in front, which is measured from its front when that is needed.
#pragma once

#include <cstdint>
#include <deque>
#include <optional>

#include "broker/core/backlog.hpp"
#include "broker/core/ids.hpp"

namespace harrier::broker {

struct StreamChunk {
  Seq from = 0;
  Seq up_to = 0;  // included
  std::uint64_t bytes = 0;
  Millis first_ms = 0;  // since 1970; of no meaning if it is not measured
  Millis last_ms = 0;
  bool measured = true;
};

class StreamIndex {
 public:
  // A retention of 1/128 of a stream that has outgrown it is as fine as anybody asked for.
  static constexpr std::size_t kChunksMax = 256;

  // Chunks of this size and of this time are long enough; at least one byte and one millisecond.
  void set_grain(std::uint64_t bytes, Millis ms);
  void restore(Seq from, Seq up_to, std::uint64_t bytes) {
    chunks_.push_back({from, up_to, bytes, 0, 0, false});
    bytes_ = bytes;
  }
  void add(Seq seq, std::uint64_t bytes, Millis ms);

  std::uint64_t bytes() const { return bytes_; }
  std::size_t size() const { return chunks_.size(); }
  const StreamChunk& front() const { return chunks_.front(); }
  // The chunk in front is known now for its first messages, up to that position; the rest of it
  // stays as it is.
  void measured(Seq up_to, std::uint64_t bytes, Millis first_ms, Millis last_ms);
  void doubt_front() { chunks_.front().measured = false; }  // to be measured, in smaller pieces
  void drop_front();
  // Of the only chunk all but its last message, which has that size, goes.
  void keep_last(std::uint64_t bytes);

  // Where the first message of that time or later is, if it is there at all; nullopt if all that
  // is known is older.
  std::optional<SeqRange> range_of(Millis ms) const;

 private:
  void merge_neighbours();

  std::deque<StreamChunk> chunks_;
  std::uint64_t bytes_ = 0;
  std::uint64_t grain_bytes_ = 1;
  Millis grain_ms_ = kForever;
  static constexpr Millis kForever = INT64_MAX;
};

}  // namespace harrier::broker
