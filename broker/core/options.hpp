// SPDX-License-Identifier: Apache-2.0
//
// CoreOptions: what the core needs to know of the configuration, as a value fixed at start. Units
// are in the names.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "broker/core/consumer.hpp"
#include "broker/core/ids.hpp"
#include "protocol/field_table.hpp"

namespace harrier::broker {

enum class QosUpdatesConsumers : std::uint8_t { Auto, Never, Always };

struct CoreOptions {
  unsigned shards = 1;
  std::vector<std::string> vhosts = {"/"};

  std::string product = "Harrier";
  std::string version = "0.1.0";
  std::string cluster_name = "harrier@localhost";
  protocol::Table server_properties;  // added to, or instead of, our own (C-015)

  std::uint32_t connections_max = 65'536;
  std::uint16_t channel_max = 2'047;          // 0 = no limit
  std::uint32_t frame_max = 131'072;          // 0 = no limit
  std::uint32_t frame_max_min = 4'096;        // smallest that a client may ask for
  std::uint32_t handshake_frame_max = 8'192;  // C-023
  std::uint16_t heartbeat_s = 60;
  Millis handshake_timeout_ms = 10'000;  // C-008
  Millis close_grace_ms = 3'000;         // C-078: input is ignored this long before TCP is closed
  std::uint64_t message_size_max = 16 * 1024 * 1024;

  UnsentLimits unsent;
  // Unsent bytes of one connection above which its input is not read, so that replies cannot pile
  // up either.
  std::size_t output_high_bytes = 4 * 1024 * 1024;
  // Publishes on their way to another shard above which publishers wait.
  std::uint64_t shard_window_bytes = 16 * 1024 * 1024;
  // Bytes of messages in memory that raise the memory alarm; 0 = never.
  std::uint64_t memory_limit_bytes = 0;
  // Messages that the store has too: of one queue, and of all queues of the shard.
  std::uint64_t queue_window_bytes = 1024 * 1024;
  std::uint64_t resident_bytes_max = 32 * 1024 * 1024;
  // Bytes of messages in memory above which those that no store has are paged out; 0 = never.
  std::uint64_t page_out_above_bytes = 0;

  std::vector<std::string> loopback_users = {"guest"};  // of the users that are defined (C-036)

  QosUpdatesConsumers qos_updates_consumers = QosUpdatesConsumers::Auto;
};

}  // namespace harrier::broker
