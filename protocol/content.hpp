// SPDX-License-Identifier: Apache-2.0
//
// Content assembly, one per channel: method -> header -> body*. Owned by the channel, used on its
// shard only. The body is copied once, from the receive buffer into the message. Errors are
// AmqpError values of C-089..C-099.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "protocol/frame.hpp"
#include "protocol/message.hpp"
#include "protocol/methods.hpp"

namespace harrier::protocol {

// Largest body that any configuration allows (C-094).
inline constexpr std::uint64_t kBodySizeAbsoluteMax = 536'870'912;

// A complete basic.publish. Strings are owned here so that the value outlives the receive buffer.
struct Publish {
  MessagePtr message;  // exchange and routing key are in it; empty if the body exceeded size_max
  std::string oversized_exchange;       // see `body_size`
  std::vector<std::string> extra_keys;  // CC then BCC (C-313)
  std::uint64_t body_size = 0;          // as announced
  bool mandatory = false;
  bool immediate = false;
  // The name of the header (CC or BCC) whose value is not an array, and its type name (C-312);
  // empty if fine.
  std::string bad_sender_selected_header;
  std::string bad_sender_selected_type;
};

// The part of an announced body that has not arrived. It does not count as memory in use: the pages
// are still untouched, and a peer must not be able to raise the memory alarm by announcing bodies
// that it never sends.
class PendingBytes {
 public:
  PendingBytes() = default;
  explicit PendingBytes(std::size_t size) : size_(size) { count_message_bytes(-signed_size(size)); }
  PendingBytes(PendingBytes&& other) noexcept : size_(std::exchange(other.size_, 0)) {}
  PendingBytes& operator=(PendingBytes&& other) noexcept {
    arrived(size_);
    size_ = std::exchange(other.size_, 0);
    return *this;
  }
  ~PendingBytes() { arrived(size_); }

  void arrived(std::size_t size) {
    size_ -= size;
    if (size != 0) count_message_bytes(signed_size(size));
  }

 private:
  static std::int64_t signed_size(std::size_t size) { return static_cast<std::int64_t>(size); }
  std::size_t size_ = 0;
};

class ContentAssembler {
 public:
  enum class State { Idle, Header, Body };

  // Rewrites reply-to at header time; set by the channel while it has a direct reply-to consumer
  // (C-490).
  void set_reply_to(std::string name) { reply_to_ = std::move(name); }
  const std::string& reply_to() const { return reply_to_; }

  State state() const { return state_; }

  // A basic.publish was read; the content before it has been taken, discarded or reset. With
  // `discard` the content is checked for form and thrown away (closing channel, C-135).
  void begin(const BasicPublish& method, bool discard);

  // A header or body frame, or any other frame while content is expected. True when the content is
  // complete: take() it, unless it is discarded. A body larger than body_size_max is consumed but
  // not stored. Throws AmqpError (connection scope); its method is basic.publish or
  // AmqpError::kNoMethod. A method frame without begin() before is a caller's bug (asserted).
  bool on_frame(const Frame& frame, std::uint64_t body_size_max);

  // A body frame may also be taken in pieces, as they come. Whether one of `size` bytes may come
  // now: if not, on_frame() says why.
  bool takes_body(std::size_t size) const {
    return state_ == State::Body && size <= publish_.body_size - body_received_;
  }
  // Where the next bytes of the body go, at most `size` of them; empty if nobody keeps them.
  std::span<std::uint8_t> body_space(std::size_t size);
  void body_arrived(std::size_t size);  // they are there now
  void add_body(ByteView part);         // the same for bytes that are elsewhere
  // The frame has ended; as on_frame().
  bool end_frame();

  bool discarding() const { return discard_; }  // until the next begin() or reset()
  // Nobody wants the content any more: what is still to come of it is discarded.
  void discard();
  Publish take();
  void reset();

 private:
  void on_header(const Frame& frame, std::uint64_t body_size_max);
  void on_body(const Frame& frame);
  void store_header(ByteView property_bytes, std::uint64_t body_size_max);

  State state_ = State::Idle;
  bool discard_ = false;
  std::string exchange_;
  std::string routing_key_;
  std::string reply_to_;
  Publish publish_;
  PendingBytes pending_;
  std::uint64_t body_received_ = 0;
};

}  // namespace harrier::protocol
