// SPDX-License-Identifier: Apache-2.0
//
// Message: what was published, in one allocation: exchange, routing key, property bytes and body.
// Immutable once it is complete and shared by an atomic count, so it is the one object that shards
// hold in common (threading rule 2). While its body is still arriving it belongs to one channel's
// content assembler. Memory: every byte is counted while the message lives;
// message_bytes_in_memory() is what the memory alarm looks at.
#pragma once

#include <atomic>
#include <cstdint>
#include <string_view>
#include <utility>

#include "protocol/bytes.hpp"
#include "protocol/properties.hpp"

namespace harrier::protocol {

class Message;

class MessagePtr {
 public:
  MessagePtr() = default;
  MessagePtr(const MessagePtr& other);
  MessagePtr(MessagePtr&& other) noexcept : message_(std::exchange(other.message_, nullptr)) {}
  MessagePtr& operator=(MessagePtr other) noexcept {
    std::swap(message_, other.message_);
    return *this;
  }
  ~MessagePtr();

  const Message& operator*() const { return *message_; }
  const Message* operator->() const { return message_; }
  const Message* get() const { return message_; }
  explicit operator bool() const { return message_ != nullptr; }

 private:
  friend class Message;
  explicit MessagePtr(Message* adopted) : message_(adopted) {}
  Message* message_ = nullptr;
};

class Message {
 public:
  // A message whose body of `body_size` bytes is yet to be filled through body_for_writing().
  // `properties` must have been accepted by PropertiesView::parse. exchange and routing_key are at
  // most 255 bytes.
  static MessagePtr create(std::string_view exchange, std::string_view routing_key,
                           ByteView properties, std::size_t body_size);
  static MessagePtr create(std::string_view exchange, std::string_view routing_key,
                           ByteView properties, ByteView body);

  std::string_view exchange() const { return as_text({data(), exchange_size_}); }
  std::string_view routing_key() const {
    return as_text({data() + exchange_size_, routing_key_size_});
  }
  PropertiesView properties() const { return PropertiesView::trusted(property_bytes()); }
  ByteView property_bytes() const {
    return {data() + exchange_size_ + routing_key_size_, properties_size_};
  }
  ByteView body() const {
    return {data() + exchange_size_ + routing_key_size_ + properties_size_, body_size_};
  }
  bool persistent() const { return persistent_; }
  // See protocol/private_headers.hpp: who sends it to a client takes them out.
  bool has_private_headers() const { return has_private_headers_; }
  std::size_t footprint() const;  // bytes of memory this message holds

  // A note that the store makes of where it keeps this content, so that a message in many queues
  // is written once; 0 = none. Means nothing to anybody else.
  std::uint64_t store_note() const { return store_note_.load(std::memory_order_relaxed); }
  void set_store_note(std::uint64_t note) const {
    store_note_.store(note, std::memory_order_relaxed);
  }

  // Only while the caller holds the sole reference.
  std::uint8_t* body_for_writing() {
    return data() + exchange_size_ + routing_key_size_ + properties_size_;
  }
  static Message& mutable_while_sole(MessagePtr& sole) { return *sole.message_; }

 private:
  friend class MessagePtr;
  Message() = default;
  std::uint8_t* data() { return reinterpret_cast<std::uint8_t*>(this + 1); }
  const std::uint8_t* data() const { return reinterpret_cast<const std::uint8_t*>(this + 1); }
  void release();

  std::atomic<std::uint32_t> references_{1};
  std::uint32_t properties_size_ = 0;
  std::size_t body_size_ = 0;
  mutable std::atomic<std::uint64_t> store_note_{0};
  std::uint8_t exchange_size_ = 0;
  std::uint8_t routing_key_size_ = 0;
  bool persistent_ = false;
  bool has_private_headers_ = false;
};

// Bytes of all live messages of the process. Summed over per-thread counters, so it may be off by
// what is in motion.
std::int64_t message_bytes_in_memory();

// Corrects the sum by `bytes` (may be negative): for bytes that are allocated but have not arrived
// yet.
void count_message_bytes(std::int64_t bytes);

inline MessagePtr::MessagePtr(const MessagePtr& other) : message_(other.message_) {
  if (message_ != nullptr) message_->references_.fetch_add(1, std::memory_order_relaxed);
}
inline MessagePtr::~MessagePtr() {
  if (message_ != nullptr && message_->references_.fetch_sub(1, std::memory_order_acq_rel) == 1)
    message_->release();
}

}  // namespace harrier::protocol
