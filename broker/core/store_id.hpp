// SPDX-License-Identifier: Apache-2.0
//
// StoreId: what a queue's messages are kept under in the store. A queue may keep them in several
// parts, each with positions and counters of its own: the store knows each as a queue. The part
// stands above the queue's id, so the id tells which queue, and shard, a part belongs to. On disk:
// a part's number never changes its meaning.
#pragma once

#include "broker/core/ids.hpp"
#include "persistence/write_batch.hpp"

namespace harrier::broker {

using StoreId = persistence::QueueId;

enum class QueuePart : std::uint16_t {
  Main = 0,
  // 1 to 255: the messages of that priority level; those of level 0 are in Main.
  LastLevel = 255,
  Delayed = 256,  // see delayed_messages.hpp
  Dedup = 257,    // ids of messages that it has taken: deduplication.hpp
};

inline constexpr unsigned kQueueIdBits = 48;  // ids are given one by one: for ever

// Positions of the delayed part are above those of all others, so a position tells its part.
inline constexpr persistence::Seq kDelayedFrom = persistence::Seq{1} << 63;
inline bool is_delayed_position(persistence::Seq seq) { return seq >= kDelayedFrom; }

inline QueuePart level_part(std::uint8_t level) { return static_cast<QueuePart>(level); }

inline StoreId store_id(QueueId queue, QueuePart part = QueuePart::Main) {
  return StoreId{static_cast<std::uint64_t>(part) << kQueueIdBits |
                 static_cast<std::uint64_t>(queue)};
}
inline QueueId queue_of(StoreId id) {
  return QueueId{static_cast<std::uint64_t>(id) & ((std::uint64_t{1} << kQueueIdBits) - 1)};
}
inline QueuePart part_of(StoreId id) {
  return static_cast<QueuePart>(static_cast<std::uint64_t>(id) >> kQueueIdBits);
}

}  // namespace harrier::broker
