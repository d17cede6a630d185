// SPDX-License-Identifier: Apache-2.0
//
// OutputBuffer: what one connection has yet to write: small things copied into blocks, large bodies
// referenced. Owned by its session; the socket's side gathers slices from the front and consumes
// what the kernel took. Its bound is kept by those who append: consumers stop at their unsent
// limits, and the session stops reading while much is unsent.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <span>

#include "protocol/message.hpp"

namespace harrier::broker {

class OutputBuffer {
 public:
  // One block holds many small deliveries and is one allocation; idle connections hold none.
  static constexpr std::size_t kBlockSize = 16 * 1024;
  // Bodies up to this size are copied: an own slice costs more than copying 2 KiB does.
  static constexpr std::size_t kCopyMax = 2 * 1024;

  std::size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }
  std::uint64_t appended_total() const { return appended_total_; }  // ever; heartbeats look at it

  std::uint64_t consumed_total() const { return consumed_total_; }  // what the socket took

  // Room for `size` contiguous bytes; commit() says where the writing ended. Nothing else may be
  // called in between.
  std::uint8_t* reserve(std::size_t size);
  void commit(const std::uint8_t* end);

  // Bytes that belong to `message`, copied or kept alive.
  void append(const protocol::MessagePtr& message, protocol::ByteView bytes);
  void append_copy(protocol::ByteView bytes);

  // Fills `slices` from the front; returns how many it filled.
  std::size_t gather(std::span<protocol::ByteView> slices) const;
  void consume(std::size_t size);
  void clear();

 private:
  struct Segment {
    std::unique_ptr<std::uint8_t[]> block;  // or
    protocol::MessagePtr message;
    const std::uint8_t* begin = nullptr;
    const std::uint8_t* end = nullptr;
    std::size_t capacity = 0;  // of the block
  };

  std::deque<Segment> segments_;
  std::size_t size_ = 0;
  std::uint64_t appended_total_ = 0;
  std::uint64_t consumed_total_ = 0;
};

}  // namespace harrier::broker
