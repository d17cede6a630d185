// SPDX-License-Identifier: Apache-2.0
//
// TopologyData: what a Topology is made of, known only to this folder. A persistent value: copying
// it copies four pointers. The registry changes its own copy and publishes copies of that; whoever
// holds one may read it on any thread.
#pragma once

#include <cstdint>
#include <memory>
#include <string_view>
#include <variant>

#include "routing/consistent_hash.hpp"
#include "routing/destination.hpp"
#include "routing/direct.hpp"
#include "routing/fanout.hpp"
#include "routing/headers.hpp"
#include "routing/modulus_hash.hpp"
#include "routing/persistent_map.hpp"
#include "routing/random.hpp"
#include "routing/ref.hpp"
#include "routing/text.hpp"
#include "routing/topic.hpp"
#include "routing/topology.hpp"

namespace harrier::routing {

using Matcher = std::variant<DirectMatcher, FanoutMatcher, TopicMatcher, HeadersMatcher,
                             ConsistentHashMatcher, ModulusHashMatcher, RandomMatcher>;

// Throws AmqpError 406 for arguments that the type refuses.
Matcher make_matcher(ExchangeType type, protocol::TableView arguments);

// An exchange with its bindings. The definition never changes and is shared by all versions.
struct ExchangeNode : RefCounted {
  static ExchangeNode* clone(const ExchangeNode& node) { return new ExchangeNode(node); }
  static void destroy(ExchangeNode* node) { delete node; }

  std::shared_ptr<const Exchange> definition;
  Matcher matcher;
};

struct ExchangeIdTraits {
  using Entry = Ref<ExchangeNode>;
  using Key = ExchangeId;
  static std::uint64_t hash(Key key) { return hash_id(static_cast<std::uint64_t>(key)); }
  static Key key(const Entry& entry) { return entry->definition->id; }
  static bool equal(Key a, Key b) { return a == b; }
};

struct QueueIdTraits {
  using Entry = QueueEntryPtr;
  using Key = QueueId;
  static std::uint64_t hash(Key key) { return hash_id(static_cast<std::uint64_t>(key)); }
  static Key key(const Entry& entry) { return entry->id; }
  static bool equal(Key a, Key b) { return a == b; }
};

struct ExchangeNameTraits {
  using Entry = std::shared_ptr<const Exchange>;
  using Key = std::string_view;
  static std::uint64_t hash(Key key) { return hash_text(key); }
  static Key key(const Entry& entry) { return entry->name; }
  static bool equal(Key a, Key b) { return a == b; }
};

struct QueueNameTraits {
  using Entry = QueueEntryPtr;
  using Key = std::string_view;
  static std::uint64_t hash(Key key) { return hash_text(key); }
  static Key key(const Entry& entry) { return entry->name; }
  static bool equal(Key a, Key b) { return a == b; }
};

class TopologyData {
 public:
  const Exchange* find_exchange(std::string_view name) const;
  const ExchangeNode* find_exchange(ExchangeId id) const;
  const QueueEntry* find_queue(std::string_view name) const;
  const QueueEntry* find_queue(QueueId id) const;

  std::uint64_t registry = 0;  // tells the registries of one process apart: ids are theirs alone
  std::uint64_t version = 0;
  PersistentMap<ExchangeNameTraits> exchanges_by_name;
  PersistentMap<ExchangeIdTraits> exchanges;
  PersistentMap<QueueNameTraits> queues_by_name;
  PersistentMap<QueueIdTraits> queues;
};

}  // namespace harrier::routing
