// SPDX-License-Identifier: Apache-2.0
//
// Recovery at start: what a store gave back becomes the state of the engines: definitions on the
// control shard, every queue on its own, and the first topology on all of them. Runs once, on the
// starting thread, before any shard has one: no client can come before its queue. What the store
// holds and nobody can read keeps the broker from starting; nothing is guessed or skipped in
// silence.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "broker/core/engine.hpp"
#include "persistence/message_store.hpp"

namespace harrier::broker {

// The Counter that says which queue ids may have been given: all below its value (u64, big-endian).
inline constexpr std::string_view kQueueIdCounter = "queue-id";
persistence::Define define_queue_ids(std::uint64_t below);

struct RecoveryCounts {
  std::uint64_t queues = 0;
  std::uint64_t messages = 0;
  std::uint64_t bindings = 0;
};

struct RestoreResult {
  RecoveryCounts counts;
  // One text for each reason why the broker must not start, with names and a remedy.
  std::vector<std::string> errors;
  bool only_vhosts_missing = false;  // a matter of the configuration, not of the store
};

// What a store answers to fetch(), at once: for what must be in memory from the beginning.
using ReadPart = std::function<persistence::Fetched(StoreId part, Seq from)>;

// `engines` in the order of their shards, all new.
RestoreResult restore(std::span<Engine* const> engines, persistence::Recovery recovery,
                      const ReadPart& read_part);

}  // namespace harrier::broker
