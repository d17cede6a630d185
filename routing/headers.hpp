// SPDX-License-Identifier: Apache-2.0
//
// HeadersMatcher: bindings by header values (C-522..C-528). Bindings with equal arguments are one
// rule with several destinations; rules are found through the (header, value) pairs of the message,
// so that a publish looks only at rules that share a pair with it. A persistent value.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "protocol/field_table.hpp"
#include "routing/destination.hpp"
#include "routing/persistent_map.hpp"
#include "routing/ref.hpp"
#include "routing/text.hpp"

namespace harrier::routing {

// The binding argument x-match. The -with-x forms look at arguments named x-... too (C-523).
enum class HeadersMode : std::uint8_t { All, Any, AllWithX, AnyWithX };

// Throws AmqpError 406 with the texts of C-522.
HeadersMode parse_x_match(protocol::TableView arguments);

// The same for values that are equal (C-525).
std::uint64_t hash_value(const protocol::FieldValue& value);

// Memory that a match needs and leaves behind for the next one; one per thread.
struct HeadersScratch {
  struct Header {
    std::string_view name;
    protocol::FieldValue value;
  };
  std::vector<Header> headers;  // of the message, by name; the first of duplicates only
};

class HeadersMatcher {
 public:
  // Precondition: parse_x_match() accepts the arguments.
  void add(protocol::TableView arguments, Destination destination);
  bool remove(protocol::TableView arguments, Destination destination);  // false if there is none

  // Appends the destinations of every rule that matches; one may come more than once.
  // Returns the number of sets appended (DestinationSet::append_to).
  std::size_t match(protocol::TableView headers, HeadersScratch& scratch,
                    std::vector<Destination>& out) const;
  bool empty() const { return always_.empty() && buckets_.empty(); }

 private:
  struct Rule : RefCounted {
    static void destroy(Rule* rule) { delete rule; }
    bool matches(const HeadersScratch& message) const;

    HeadersMode mode = HeadersMode::All;
    protocol::Table arguments;
    std::string identity;  // the canonical form of the arguments
  };
  struct RuleEntry {
    Ref<Rule> rule;
    DestinationSet destinations;
  };
  struct RuleTraits {
    using Entry = RuleEntry;
    using Key = std::string_view;
    static std::uint64_t hash(Key key) { return hash_text(key); }
    static Key key(const Entry& entry) { return entry.rule->identity; }
    static bool equal(Key a, Key b) { return a == b; }
  };
  // The rules that ask for one (header, value) pair, or for a header with any value. An "all" rule
  // is in one bucket, the smallest of its pairs' when it came; an "any" rule is in that of each
  // pair.
  struct Bucket {
    std::uint64_t pair = 0;  // hash; pairs that collide share a bucket, which does no harm
    std::uint64_t size = 0;
    PersistentMap<RuleTraits> rules;
  };
  struct BucketTraits {
    using Entry = Bucket;
    using Key = std::uint64_t;
    static std::uint64_t hash(Key key) { return key; }
    static Key key(const Entry& entry) { return entry.pair; }
    static bool equal(Key a, Key b) { return a == b; }
  };

  bool contains(std::uint64_t pair, std::string_view identity) const;
  std::uint64_t place_for(const std::vector<std::uint64_t>& pairs, std::string_view identity) const;
  void add_to_bucket(std::uint64_t pair, const Ref<Rule>& rule, Destination destination);
  bool remove_from_bucket(std::uint64_t pair, std::string_view identity, Destination destination);

  PersistentMap<BucketTraits> buckets_;
  DestinationSet always_;  // "all" without arguments to look at (C-527)
};

}  // namespace harrier::routing
