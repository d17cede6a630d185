// SPDX-License-Identifier: Apache-2.0
//
// Config: everything that can be set, as one plain value with its defaults. Made before the first
// thread starts and never changed afterwards, so that every shard may hold a copy or read the same
// one. config_keys() describes each key once: reading TOML, `harrier config` and
// docs/configuration.md come from that table. Reading collects every mistake (file, line, nearest
// key) instead of stopping at one.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "broker/version.hpp"

namespace harrier::broker {

inline constexpr std::uint64_t kKiB = 1024;
inline constexpr std::uint64_t kMiB = 1024 * kKiB;

// Identity under --compat-rabbitmq (conformance 0.1): the version whose behaviour Harrier follows.
inline constexpr std::string_view kCompatProduct = "RabbitMQ";
inline constexpr std::string_view kCompatVersion = "4.2.0";

// "127.0.0.1:5672", "[::1]:5672", "localhost:5672"; port 0 lets the system choose one.
struct Endpoint {
  std::string host;  // without brackets
  std::uint16_t port = 0;
  friend bool operator==(const Endpoint&, const Endpoint&) = default;
};
std::string to_string(const Endpoint& endpoint);

enum class LogLevel : std::uint8_t { Trace, Debug, Info, Warn, Error, Off };

// Whether basic.qos(global=false) also changes the channel's existing consumers (conformance 0.1).
// Auto: only for clients that need it, told by the product in their properties.
enum class QosUpdates : std::uint8_t { Auto, Never, Always };

// A share of the machine's memory (or of what its user says), or a number of bytes.
struct MemoryLimit {
  std::variant<double, std::uint64_t> value = 0.4;
  std::uint64_t bytes_of(std::uint64_t whole_bytes) const;
  friend bool operator==(const MemoryLimit&, const MemoryLimit&) = default;
};

struct LogConfig {
  LogLevel level = LogLevel::Info;
  friend bool operator==(const LogConfig&, const LogConfig&) = default;
};

// What connection.start says about us (C-012, C-013, C-015).
struct IdentityConfig {
  std::string product = "Harrier";
  std::string version{kVersion};
  std::map<std::string, std::string> server_properties;  // added, or put in place of our own
  friend bool operator==(const IdentityConfig&, const IdentityConfig&) = default;
};

struct AuthConfig {
  std::vector<std::string> loopback_users = {
      "guest"};                          // may connect from this machine only (C-036)
  std::string anonymous_user = "guest";  // "none": ANONYMOUS is not offered (C-028)
  bool anonymous_allowed() const { return anonymous_user != "none"; }
  friend bool operator==(const AuthConfig&, const AuthConfig&) = default;
};

// What one client, or all of them, can make the broker hold.
struct LimitsConfig {
  std::uint32_t connections_max = 65'536;
  std::uint16_t channels_max = 2'047;                  // per connection; tune's channel-max
  std::uint32_t frame_max_bytes = 128 * kKiB;          // tune's frame-max
  std::uint32_t handshake_frame_max_bytes = 8 * kKiB;  // before tune: client properties (C-023)
  std::uint32_t message_max_bytes = 16 * kMiB;         // body (C-307)
  friend bool operator==(const LimitsConfig&, const LimitsConfig&) = default;
};

struct ConnectionConfig {
  std::chrono::milliseconds heartbeat{60'000};          // proposed by tune, whole seconds; 0: none
  std::chrono::milliseconds handshake_timeout{10'000};  // accept to open-ok (C-008)
  std::chrono::milliseconds close_timeout{3'000};       // wait for close-ok, then the socket goes
  std::uint64_t write_buffer_high_bytes = 4 * kMiB;     // above it the connection is not read
  friend bool operator==(const ConnectionConfig&, const ConnectionConfig&) = default;
};

struct ConsumerConfig {
  // Deliveries on their way to one consumer's socket, whatever its prefetch allows: a slow reader
  // leaves messages in the queue, where another consumer can have them.
  std::uint32_t unsent_max_messages = 8'000;
  std::uint64_t unsent_max_bytes = 512 * kKiB;
  friend bool operator==(const ConsumerConfig&, const ConsumerConfig&) = default;
};

struct ChannelConfig {
  QosUpdates qos_updates_consumers = QosUpdates::Auto;
  friend bool operator==(const ChannelConfig&, const ChannelConfig&) = default;
};

struct MemoryConfig {
  MemoryLimit limit;                             // above it publishers get connection.blocked
  MemoryLimit page_out_above{0.5};               // of the limit; 0: never
  std::uint64_t queue_window_bytes = 1 * kMiB;   // of what the store has too, for one queue
  std::uint64_t resident_bytes_max = 32 * kMiB;  // of the same, for all queues
  std::uint64_t shard_window_bytes = 16 * kMiB;  // published, and on the way to another shard
  friend bool operator==(const MemoryConfig&, const MemoryConfig&) = default;
};

// What a publisher confirm of a persistent message promises.
enum class StoreLevel : std::uint8_t {
  Disk,    // it survives power loss
  Os,      // it survives the end of the broker's process, however that ends
  Memory,  // nothing is kept on disk
};
std::string_view name(StoreLevel level);  // "disk"

struct StoreConfig {
  StoreLevel level = StoreLevel::Disk;
  std::uint64_t segment_bytes = 64 * kMiB;         // of the journal
  std::uint64_t disk_free_min_bytes = 256 * kMiB;  // below it publishers are blocked; 0: never
  std::chrono::milliseconds checkpoint_interval{1'000};
  friend bool operator==(const StoreConfig&, const StoreConfig&) = default;
};

struct Config {
  std::vector<Endpoint> listen = {{"127.0.0.1", 5672}};
  std::string data = "./harrier-data";
  std::uint32_t shards = 0;  // 0: one for every two cores
  // How long a shard without work looks for more before it sleeps.
  std::uint32_t spin_us = 50;
  std::vector<std::string> vhosts = {"/"};
  std::string definitions;  // a file to import at every start; empty: none
  LogConfig log;
  IdentityConfig identity;
  AuthConfig auth;
  LimitsConfig limits;
  ConnectionConfig connection;
  ConsumerConfig consumer;
  ChannelConfig channel;
  MemoryConfig memory;
  StoreConfig store;

  // Product and version of RabbitMQ, for tools that insist on them (compat.rabbitmq).
  void report_as_rabbitmq();
  friend bool operator==(const Config&, const Config&) = default;
};

// What a key is given in a file or on the command line.
using ConfigValue = std::variant<bool, std::int64_t, double, std::string, std::vector<std::string>,
                                 std::map<std::string, std::string>>;

struct ConfigKey {
  std::string name;     // "limits.frame_max"
  std::string type;     // "size", "duration", "integer", "text", ...
  std::string range;    // what is allowed, in words
  std::string meaning;  // one or two sentences
  std::function<void(Config&, const ConfigValue&)> set;  // throws BadConfigValue
  std::function<std::string(const Config&)> print;       // as a TOML value
};

struct BadConfigValue {
  std::string text;  // "expected ..., got ..."
};

std::span<const ConfigKey> config_keys();  // in the order of docs/configuration.md

// Each function changes `config` by what is right and returns one line per mistake, empty if none.
using ConfigErrors = std::vector<std::string>;
ConfigErrors read_config_text(std::string_view toml, std::string_view file_name, Config& config);
ConfigErrors read_config_file(const std::string& path, Config& config);
// "limits.frame_max=64KiB", for --set: the value as in TOML, quotes may be left out.
ConfigErrors apply_setting(std::string_view setting, Config& config);

std::string quoted(std::string_view text);     // as a TOML basic string, or key
std::string print_toml(const Config& config);  // every key, read back by read_config_text
std::string print_markdown();                  // docs/configuration.md

// The known key with the smallest edit distance, or nothing if none is near.
std::string_view nearest_key(std::string_view name);

}  // namespace harrier::broker
