// SPDX-License-Identifier: Apache-2.0
//
// Names for things that live on some shard. Values: only these cross shards, never pointers
// (threading rule 2). None is ever reused within one run of the broker, so a stale name finds
// nothing instead of somebody else's object.
#pragma once

#include <cstdint>
#include <functional>

#include "routing/topology.hpp"

namespace harrier::broker {

using routing::QueueId;
using ShardId = std::uint16_t;
using Millis = std::int64_t;  // of the shard's monotonic clock, unless said otherwise
using Seq = std::uint64_t;    // position of a message in its queue, from 1, never reused

// More shards than any machine we serve has cores; a bit mask of shards fits one word.
inline constexpr unsigned kShardsMax = 64;
// The shard that owns definitions and cuts topologies (threading rule 6).
inline constexpr ShardId kControlShard = 0;

enum class ConnectionId : std::uint64_t {};

// One incarnation of a channel number.
struct ChannelRef {
  ConnectionId connection{};
  std::uint32_t generation = 0;
  std::uint16_t number = 0;
  friend bool operator==(const ChannelRef&, const ChannelRef&) = default;
};

// One consumer: its channel and its number on that connection.
struct ConsumerRef {
  ChannelRef channel;
  std::uint32_t consumer = 0;
  friend bool operator==(const ConsumerRef&, const ConsumerRef&) = default;
};

// Placement, the one function of each kind. An id is chosen so that it falls on the wanted shard.
inline ShardId shard_of(QueueId id, unsigned shards) {
  return static_cast<ShardId>(static_cast<std::uint64_t>(id) % shards);
}
inline ShardId shard_of(ConnectionId id, unsigned shards) {
  return static_cast<ShardId>(static_cast<std::uint64_t>(id) % shards);
}
// Stands for the shard itself where it publishes and wants an answer; no connection has it.
inline ConnectionId as_publisher(ShardId shard, unsigned shards) {
  constexpr std::uint64_t kBeyondConnections = std::uint64_t{1} << 62;
  return ConnectionId{kBeyondConnections / shards * shards + shard};
}

}  // namespace harrier::broker

template <>
struct std::hash<harrier::broker::ChannelRef> {
  std::size_t operator()(const harrier::broker::ChannelRef& ref) const noexcept {
    const auto connection = static_cast<std::uint64_t>(ref.connection);
    return std::hash<std::uint64_t>{}(connection << 24 ^ std::uint64_t{ref.generation} << 8 ^
                                      ref.number);
  }
};

template <>
struct std::hash<harrier::broker::ConsumerRef> {
  std::size_t operator()(const harrier::broker::ConsumerRef& ref) const noexcept {
    return std::hash<harrier::broker::ChannelRef>{}(ref.channel) * 31 + ref.consumer;
  }
};
