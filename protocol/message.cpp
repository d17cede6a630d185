// SPDX-License-Identifier: Apache-2.0
//
// The byte counters: one slot per thread, written by that thread alone without locked instructions,
// summed by whoever asks. Slots are never freed, only handed to the next thread, so that the sum is
// right whichever thread lets go of a message and the list needs no lock.
#include "protocol/message.hpp"

#include <limits>
#include <new>

#include "protocol/check.hpp"
#include "protocol/private_headers.hpp"

namespace harrier::protocol {
namespace {

constexpr std::size_t kCacheLine = 64;
constexpr std::size_t kAllocatorOverhead = 16;  // what malloc adds to a block, roughly
constexpr std::size_t kQueuePlace = 32;         // and its place in a queue

struct alignas(kCacheLine) Slot {
  std::atomic<std::int64_t> bytes{0};
  std::atomic<bool> taken{true};
  Slot* next = nullptr;  // set before the slot is published, then constant
};

constinit std::atomic<Slot*> g_slots{nullptr};
// Counts what a thread releases after its slot has been given back.
constinit std::atomic<std::int64_t> g_late_bytes{0};

constinit thread_local Slot* t_slot = nullptr;
constinit thread_local bool t_exiting = false;

Slot* take_slot() {
  for (Slot* slot = g_slots.load(std::memory_order_acquire); slot != nullptr; slot = slot->next) {
    bool expected = false;
    if (slot->taken.compare_exchange_strong(expected, true, std::memory_order_acquire)) return slot;
  }
  Slot* const slot = new Slot;
  slot->next = g_slots.load(std::memory_order_relaxed);
  while (!g_slots.compare_exchange_weak(slot->next, slot, std::memory_order_release,
                                        std::memory_order_relaxed)) {
  }
  return slot;
}

struct SlotReturner {
  ~SlotReturner() {
    t_exiting = true;
    if (Slot* const slot = std::exchange(t_slot, nullptr)) {
      slot->taken.store(false, std::memory_order_release);
    }
  }
};

void count_without_slot(std::int64_t bytes) {
  if (t_exiting) {
    g_late_bytes.fetch_add(bytes, std::memory_order_relaxed);
    return;
  }
  thread_local SlotReturner returner;
  static_cast<void>(returner);
  t_slot = take_slot();
  t_slot->bytes.store(t_slot->bytes.load(std::memory_order_relaxed) + bytes,
                      std::memory_order_relaxed);
}

}  // namespace

void count_message_bytes(std::int64_t bytes) {
  if (t_slot == nullptr) return count_without_slot(bytes);
  std::atomic<std::int64_t>& counter = t_slot->bytes;
  counter.store(counter.load(std::memory_order_relaxed) + bytes, std::memory_order_relaxed);
}

std::int64_t message_bytes_in_memory() {
  std::int64_t sum = g_late_bytes.load(std::memory_order_relaxed);
  for (Slot* slot = g_slots.load(std::memory_order_acquire); slot != nullptr; slot = slot->next) {
    sum += slot->bytes.load(std::memory_order_relaxed);
  }
  return sum;
}

MessagePtr Message::create(std::string_view exchange, std::string_view routing_key,
                           ByteView properties, std::size_t body_size) {
  constexpr std::size_t kShortMax = std::numeric_limits<std::uint8_t>::max();
  HARRIER_CHECK(exchange.size() <= kShortMax && routing_key.size() <= kShortMax);
  HARRIER_CHECK(properties.size() <= std::numeric_limits<std::uint32_t>::max());
  const std::size_t head_size = exchange.size() + routing_key.size() + properties.size();
  void* const block = ::operator new(sizeof(Message) + head_size + body_size);
  Message* const message = new (block) Message;
  message->exchange_size_ = static_cast<std::uint8_t>(exchange.size());
  message->routing_key_size_ = static_cast<std::uint8_t>(routing_key.size());
  message->properties_size_ = static_cast<std::uint32_t>(properties.size());
  message->body_size_ = body_size;
  std::uint8_t* out = put_raw(message->data(), as_bytes(exchange));
  out = put_raw(out, as_bytes(routing_key));
  put_raw(out, properties);
  const PropertiesView view = message->properties();
  message->persistent_ = view.persistent();
  message->has_private_headers_ = protocol::has_private_headers(view);
  count_message_bytes(static_cast<std::int64_t>(message->footprint()));
  return MessagePtr(message);
}

MessagePtr Message::create(std::string_view exchange, std::string_view routing_key,
                           ByteView properties, ByteView body) {
  MessagePtr message = create(exchange, routing_key, properties, body.size());
  put_raw(message.message_->body_for_writing(), body);
  return message;
}

std::size_t Message::footprint() const {
  return sizeof(Message) + kAllocatorOverhead + kQueuePlace + exchange_size_ + routing_key_size_ +
         properties_size_ + body_size_;
}

void Message::release() {
  count_message_bytes(-static_cast<std::int64_t>(footprint()));
  this->~Message();
  ::operator delete(this);
}

}  // namespace harrier::protocol
