// SPDX-License-Identifier: Apache-2.0
#include "broker/core/output_buffer.hpp"

#include <algorithm>

namespace harrier::broker {

using protocol::ByteView;

std::uint8_t* OutputBuffer::reserve(std::size_t size) {
  if (!segments_.empty() && segments_.back().block) {
    Segment& last = segments_.back();
    const auto used = static_cast<std::size_t>(last.end - last.block.get());
    if (last.capacity - used >= size) return last.block.get() + used;
  }
  Segment& fresh = segments_.emplace_back();
  fresh.capacity = std::max(size, kBlockSize);
  fresh.block = std::make_unique_for_overwrite<std::uint8_t[]>(fresh.capacity);
  fresh.begin = fresh.end = fresh.block.get();
  return fresh.block.get();
}

void OutputBuffer::commit(const std::uint8_t* end) {
  Segment& last = segments_.back();
  const auto grown = static_cast<std::size_t>(end - last.end);
  last.end = end;
  size_ += grown;
  appended_total_ += grown;
}

void OutputBuffer::append(const protocol::MessagePtr& message, ByteView bytes) {
  if (bytes.size() <= kCopyMax) {
    append_copy(bytes);
    return;
  }
  Segment& segment = segments_.emplace_back();
  segment.message = message;
  segment.begin = bytes.data();
  segment.end = bytes.data() + bytes.size();
  size_ += bytes.size();
  appended_total_ += bytes.size();
}

void OutputBuffer::append_copy(ByteView bytes) {
  if (bytes.empty()) return;
  commit(protocol::put_raw(reserve(bytes.size()), bytes));
}

std::size_t OutputBuffer::gather(std::span<ByteView> slices) const {
  std::size_t count = 0;
  for (const Segment& segment : segments_) {
    if (count == slices.size()) break;
    if (segment.begin != segment.end) slices[count++] = ByteView(segment.begin, segment.end);
  }
  return count;
}

void OutputBuffer::consume(std::size_t size) {
  size_ -= size;
  consumed_total_ += size;
  while (!segments_.empty()) {
    Segment& first = segments_.front();
    const auto held = static_cast<std::size_t>(first.end - first.begin);
    if (held > size) {
      first.begin += size;
      return;
    }
    size -= held;
    segments_.pop_front();
  }
}

void OutputBuffer::clear() {
  segments_.clear();
  size_ = 0;
}

}  // namespace harrier::broker
