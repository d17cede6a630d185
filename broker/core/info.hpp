// SPDX-License-Identifier: Apache-2.0
//
// Plain snapshots of what the core holds, for listings and metrics. Values: taken on the owning
// shard, read anywhere.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "broker/core/ids.hpp"
#include "protocol/field_table.hpp"

namespace harrier::broker {

struct QueueInfo {
  QueueId id{};
  std::string vhost;
  std::string name;
  std::uint64_t messages_ready = 0;
  std::uint64_t messages_delayed = 0;         // that wait until they are due
  std::uint64_t delayed_in_memory = 0;        // of them, those that are in memory
  std::vector<std::uint64_t> ready_by_level;  // of a queue with priorities, from level 0 on
  std::uint64_t messages_paged = 0;           // ready ones that are in the store only
  std::uint64_t resident_bytes = 0;           // memory of ready ones that are in the store too
  std::uint64_t messages_unacknowledged = 0;
  std::uint64_t messages_published = 0;  // since the queue exists
  std::uint32_t consumers = 0;
  std::optional<ConsumerRef> single_active;  // the others wait (C-463); none: all are served
  std::string policy;                        // that matches it; empty: none
  std::string operator_policy;               // the same
  protocol::Table effective_policy;          // of both, keys without `x-`
  protocol::Table effective_arguments;       // of that and its own arguments
};

struct EngineInfo {
  std::uint64_t resident_bytes = 0;  // of its queues
  std::uint64_t connections = 0;
  std::uint64_t channels = 0;
  std::uint64_t queues = 0;
};

}  // namespace harrier::broker
