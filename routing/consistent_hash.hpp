// SPDX-License-Identifier: Apache-2.0
//
// ConsistentHashMatcher: exactly one destination by the hash of the routing keys, of a header or of
// a property, in proportion to the weights that are the binding keys (C-499 to C-504). Weighted
// rendezvous hashing: each destination draws a number from (its name, the value), the best wins. So
// the choice depends only on what is bound, not on the order of the bindings; it is the same after
// a restart; and when a queue comes or goes, only the values move that it takes or leaves behind.
// It costs one step per destination, which the route cache saves for routing keys that come again.
// A persistent value.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "protocol/field_table.hpp"
#include "protocol/properties.hpp"
#include "routing/destination.hpp"
#include "routing/persistent_map.hpp"

namespace harrier::routing {

// What of a message is hashed.
struct HashSource {
  enum class Kind : std::uint8_t { RoutingKeys, Header, CorrelationId, MessageId, Timestamp };
  Kind kind = Kind::RoutingKeys;
  std::string header;
};

// The exchange arguments hash-header and hash-property. Throws AmqpError 406 (C-502).
HashSource parse_hash_source(protocol::TableView arguments);

// The binding key. Throws AmqpError 406 (C-499).
std::uint32_t parse_weight(std::string_view key);

class ConsistentHashMatcher {
 public:
  explicit ConsistentHashMatcher(HashSource source = {}) : source_(std::move(source)) {}

  // Bound with several weights, a destination counts with the largest.
  void add(std::uint32_t weight, Destination destination, std::uint64_t name_hash);
  bool remove(std::uint32_t weight, Destination destination);  // false if there is none

  bool only_keys() const { return source_.kind == HashSource::Kind::RoutingKeys; }
  // Of the value that counts; one that the message does not have is a constant.
  std::uint64_t hash(std::uint64_t keys_hash, protocol::TableView headers,
                     const protocol::PropertiesView& properties) const;
  std::size_t match(std::uint64_t hash, std::vector<Destination>& out) const;
  bool empty() const { return weights_.empty(); }

 private:
  struct Weighted {
    Destination destination;
    std::uint64_t name_hash = 0;
    std::uint32_t weight = 0;
    std::uint32_t bindings = 0;  // they may differ in their arguments
  };
  struct Candidate {
    Destination destination;
    std::uint32_t weight = 0;
  };
  struct WeightedTraits {
    using Entry = Weighted;
    using Key = Candidate;
    static std::uint64_t hash(Key key) { return hash_id(key.destination.packed() ^ key.weight); }
    static Key key(const Entry& entry) { return {entry.destination, entry.weight}; }
    static bool equal(Key a, Key b) {
      return a.destination == b.destination && a.weight == b.weight;
    }
  };

  HashSource source_;
  PersistentMap<WeightedTraits> weights_;
};

}  // namespace harrier::routing
