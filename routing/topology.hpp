// SPDX-License-Identifier: Apache-2.0
//
// Topology: an immutable snapshot of one virtual host's exchanges, queues and bindings, shared by
// every shard through a shared_ptr and replaced as a whole. A new snapshot is made by path copying
// (routing/registry.hpp) and shares all that did not change. Reading needs no lock; the pointers
// that look-ups return live as long as the snapshot.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "protocol/field_table.hpp"

namespace harrier::routing {

enum class QueueId : std::uint64_t {};     // never reused
enum class ExchangeId : std::uint64_t {};  // never reused

enum class ExchangeType : std::uint8_t {
  Direct,
  Fanout,
  Topic,
  Headers,
  ConsistentHash,
  ModulusHash,
  Random,
  LocalRandom,
  MessageDeduplication,  // a fanout exchange that always deduplicates
  Delayed,               // routes as the type that its arguments name
  RecentHistory,         // a fanout exchange that keeps its last messages for those who come later
};
std::string_view name(ExchangeType type);  // "direct"
std::optional<ExchangeType> parse_exchange_type(std::string_view name);
// Throws AmqpError 406 for arguments of an exchange that its type refuses (C-502, C-508, C-510).
void check_type_arguments(ExchangeType type, protocol::TableView arguments);

// For how long an id counts that a publisher gave a message (broker/core/deduplication.hpp).
struct DedupRule {
  std::uint32_t ids_max = 0;  // 0: nothing is deduplicated
  std::int64_t ttl_ms = 0;    // 0: time does not count
  bool any() const { return ids_max != 0; }
  friend bool operator==(const DedupRule&, const DedupRule&) = default;
};

struct Exchange {
  ExchangeId id{};
  std::string name;
  ExchangeType type = ExchangeType::Direct;
  bool durable = false;
  bool auto_delete = false;
  bool internal = false;
  protocol::Table arguments;
  std::optional<std::string> alternate;  // name of the alternate exchange; need not exist (C-203)
  DedupRule dedup{};                     // of all that is published to it
  QueueId delay_queue{};  // where messages wait that ask for it; 0: they do not (conformance 8.15)
  QueueId history_queue{};  // where it keeps its last messages; 0: it does not (C-508)
};

// The type by which it routes, which is not always the one that it was declared with (C-514).
ExchangeType routing_type(const Exchange& exchange);

// What routing and every shard may know of a queue; its contents belong to one shard (broker/core).
struct QueueEntry {
  QueueId id{};
  std::string name;
  bool durable = false;
  bool auto_delete = false;
  bool hidden = false;      // an exchange's own: nobody gets there by its name
  std::uint64_t owner = 0;  // connection that holds it exclusively; 0 = not exclusive
  protocol::Table arguments;
};
// Held once: by all snapshots that have it, and by the queue.
using QueueEntryPtr = std::shared_ptr<const QueueEntry>;

struct Binding {
  std::string source;
  std::string destination;
  bool to_exchange = false;
  std::string routing_key;
  protocol::Table arguments;
};

class TopologyData;  // the persistent maps and matchers, private to this folder

class Topology {
 public:
  explicit Topology(std::shared_ptr<const TopologyData> data);
  ~Topology();

  std::uint64_t version() const;  // grows by one with every change
  const Exchange* find_exchange(
      std::string_view name) const;  // "" is the default exchange and always there
  const QueueEntry* find_queue(std::string_view name) const;
  const QueueEntry* find_queue(QueueId id) const;

  const TopologyData& data() const { return *data_; }

 private:
  std::shared_ptr<const TopologyData> data_;
};

using TopologyPtr = std::shared_ptr<const Topology>;

}  // namespace harrier::routing
