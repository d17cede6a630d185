// SPDX-License-Identifier: Apache-2.0
//
// The arguments tables of declare and consume: checked, and read once into plain settings. Pure
// functions without state; any thread may call them. What is refused throws AmqpError 406 with the
// texts that clients match on (C-159..C-166, C-221, C-229..C-243, C-288, C-289). A table that
// passes here is stored as received; unknown arguments are kept and never looked at (C-231).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "protocol/field_table.hpp"
#include "routing/topology.hpp"

namespace harrier::broker {

enum class QueueType : std::uint8_t { Classic, Quorum, Stream };
std::string_view name(QueueType type);         // "quorum", the value of x-queue-type
std::string_view module_name(QueueType type);  // "rabbit_quorum_queue" in texts (C-206, C-232)

enum class Overflow : std::uint8_t { DropHead, RejectPublish, RejectPublishDlx, BlockPublisher };
enum class DeadLetterStrategy : std::uint8_t { AtMostOnce, AtLeastOnce };
enum class DelayedRetry : std::uint8_t { Disabled, All, Failed, Returned };
enum class RetryStrategy : std::uint8_t { Fixed, Linear, Exponential };
enum class LeaderLocator : std::uint8_t { ClientLocal, Balanced, Random, LeastLeaders, MinMasters };

// Ten years, the longest x-message-ttl, x-expires and expiration.
inline constexpr std::int64_t kMillisecondsMax = 315'360'000'000;
// Ids that a deduplicating queue or exchange remembers: by default as many as a publisher may have
// unconfirmed, at most as many as take about a gigabyte of memory.
inline constexpr std::uint32_t kDedupIdsDefault = 4'096;
inline constexpr std::int64_t kDedupIdsMax = 10'000'000;
inline constexpr std::int64_t kQueuePriorityMax = 255;  // basic.priority is one octet
inline constexpr std::int64_t kStreamSegmentBytesMax = 3'000'000'000;
inline constexpr std::int64_t kStreamFilterBytesMin = 16;
inline constexpr std::int64_t kStreamFilterBytesMax = 255;
inline constexpr std::int64_t kQueueVersionMin = 1;
inline constexpr std::int64_t kQueueVersionMax = 2;

// What a queue was asked to be; absent means: not given, so a policy or a default may decide.
struct QueueSettings {
  QueueType type = QueueType::Classic;
  std::optional<std::int64_t> message_ttl_ms;
  std::optional<std::int64_t> expires_ms;
  std::optional<std::int64_t> max_length;
  std::optional<std::int64_t> max_length_bytes;
  std::optional<Overflow> overflow;
  std::optional<std::string> dead_letter_exchange;  // "" is the default exchange (C-423)
  std::optional<std::string> dead_letter_routing_key;
  std::optional<DeadLetterStrategy> dead_letter_strategy;
  std::optional<int> max_priority;  // present: a priority queue with levels 0..max_priority (C-456)
  std::optional<std::int64_t> priority_ageing_ms;  // our own; 0 is none
  bool single_active_consumer = false;
  std::optional<std::int64_t> delivery_limit;       // any negative value is unlimited (C-472)
  std::optional<std::int64_t> consumer_timeout_ms;  // 0: none
  std::optional<std::string> message_group_header;
  std::optional<std::int64_t> group_max_unacked;
  std::optional<std::int64_t> group_delivery_rate;  // per second
  bool fair_share = false;
  std::optional<std::int64_t> max_unacked;
  std::optional<std::int64_t> delivery_rate;  // per second
  std::optional<std::int64_t> consumer_disconnected_timeout_ms;
  std::optional<DelayedRetry> delayed_retry;
  std::optional<std::int64_t> delayed_retry_min_ms;
  std::optional<std::int64_t> delayed_retry_max_ms;
  std::optional<RetryStrategy> retry_strategy;
  std::optional<int> retry_jitter_percent;
  routing::DedupRule dedup{};             // x-message-deduplication
  std::optional<std::int64_t> max_age_s;  // streams
  std::optional<std::int64_t> stream_segment_bytes_max;
  std::optional<int> stream_filter_bytes;

  // Checked and reported, without effect on one node.
  bool lazy = false;  // x-queue-mode
  std::optional<int> queue_version;
  std::optional<LeaderLocator> leader_locator;  // of either locator argument
  std::optional<std::int64_t> max_in_memory_length;
  std::optional<std::int64_t> max_in_memory_bytes;
  std::optional<std::int64_t> replicas_initial;  // either "initial size" argument

  friend bool operator==(const QueueSettings&, const QueueSettings&) = default;
};

// For creating a queue. `exclusive` as received; whether the name may be chosen by the server is
// the caller's (C-206).
QueueSettings check_queue_arguments(std::string_view queue, std::string_view vhost, bool durable,
                                    bool exclusive, bool auto_delete,
                                    protocol::TableView arguments);

// Reads a table that check_queue_arguments has accepted before: one that was stored.
QueueSettings read_queue_settings(protocol::TableView arguments);

bool is_stream(const routing::QueueEntry& queue);
// Transient messages too, if it is durable: a log, and where an exchange delays messages.
bool stores_all(const routing::QueueEntry& queue);

// For declaring a queue again. The caller has checked exclusivity (405) and passes durable = false
// if the declaration is exclusive (C-215). Compares the flags, then only the arguments that the
// queue's type knows, integers by value (C-233).
void check_queue_equivalence(const routing::QueueEntry& existing, std::string_view vhost,
                             bool durable, bool auto_delete, protocol::TableView arguments);

// For a queue that takes over the arguments of a declaration that differs from it: refuses what no
// queue can change while it is there (406).
void check_adoption(const routing::QueueEntry& existing, std::string_view vhost, bool durable,
                    bool auto_delete, protocol::TableView arguments);

// The arguments of a declaration that does not say its type, in a virtual host with another default
// than classic: with that, unless its flags are such as only a classic queue has (C-529).
protocol::Table with_default_type(std::string_view default_type, bool named, bool durable,
                                  bool exclusive, bool auto_delete, protocol::TableView arguments);

// The arguments as they are kept and shown: as received, with x-queue-type if it was missing
// (C-235).
protocol::Table stored_queue_arguments(protocol::TableView arguments);

// For creating an exchange: the name of the alternate exchange, if one is given (C-166).
std::optional<std::string> check_exchange_arguments(std::string_view exchange,
                                                    std::string_view vhost,
                                                    protocol::TableView arguments);

// What an exchange deduplicates by its type, its own arguments, and a policy's keys, which have no
// `x-` in front; all of them checked.
routing::DedupRule exchange_dedup(routing::ExchangeType type, protocol::TableView arguments,
                                  protocol::TableView by_policy);

// For declaring an exchange again; `type` as received, known to be a type (C-155). Of the arguments
// only the alternate exchange (C-159..C-161) and those of deduplication are compared.
void check_exchange_equivalence(const routing::Exchange& existing, std::string_view vhost,
                                std::string_view type, bool durable, bool auto_delete,
                                bool internal, protocol::TableView arguments);

// Where a stream consumer starts (C-480).
enum class StreamStart : std::uint8_t { First, Last, Next };
struct StreamPosition {
  std::int64_t offset = 0;
  friend bool operator==(StreamPosition, StreamPosition) = default;
};
struct StreamTimestamp {
  std::uint64_t seconds = 0;  // since 1970
  friend bool operator==(StreamTimestamp, StreamTimestamp) = default;
};
struct StreamInterval {
  std::int64_t seconds = 0;  // before now
  friend bool operator==(StreamInterval, StreamInterval) = default;
};
using StreamOffset = std::variant<StreamStart, StreamPosition, StreamTimestamp, StreamInterval>;

struct ConsumerSettings {
  std::int64_t priority = 0;
  std::int64_t timeout_ms = 0;  // for each delivery; 0: none
  std::optional<StreamOffset> stream_offset;
  std::vector<std::string> stream_filters;  // empty: no filter (C-484)
  bool stream_match_unfiltered = false;
  std::optional<bool> stream_tracks_offset;  // x-stream-automatic-offset-tracking
  friend bool operator==(const ConsumerSettings&, const ConsumerSettings&) = default;
};

ConsumerSettings check_consumer_arguments(std::string_view queue, std::string_view vhost,
                                          QueueType type, protocol::TableView arguments);

}  // namespace harrier::broker
