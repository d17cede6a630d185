// SPDX-License-Identifier: Apache-2.0
//
// Policy: settings that an operator gives to every queue or exchange whose name matches (8.17), and
// the keys that may be set so, each with its type and range. Values and pure functions; any thread
// may call them. A key's name is that of the argument without `x-`.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "broker/auth/name_pattern.hpp"
#include "protocol/field_table.hpp"

namespace harrier::broker {

enum class ApplyTo : std::uint8_t {
  All,  // queues and exchanges
  Queues,
  Exchanges,
  ClassicQueues,
  QuorumQueues,
  Streams
};
std::string_view name(ApplyTo apply_to);  // "classic_queues"
std::optional<ApplyTo> parse_apply_to(std::string_view name);

struct Policy {
  std::string name;
  NamePattern pattern;
  ApplyTo apply_to = ApplyTo::All;
  std::int64_t priority = 0;
  protocol::Table definition;
  // Definitions compare by content, whatever the order of their keys.
  friend bool operator==(const Policy& a, const Policy& b);
};

// How the values of a policy and an operator policy, or of a policy and an argument, become one.
enum class Merge : std::uint8_t {
  Minimum,           // of the two numbers; a negative one is no limit
  MinimumAboveZero,  // the same; 0 is none, too
  First,             // the stronger side's: operator before policy, argument before policy
};

struct PolicyKey {
  std::string_view name;
  bool for_queues = false;
  bool for_exchanges = false;
  bool for_operators = false;  // may be set by an operator policy
  Merge merge = Merge::First;
  bool has_effect = true;     // false: known elsewhere, accepted so that exported files can be read
  std::string_view expected;  // "an integer of 0 and more"
  bool (*accepts)(const protocol::FieldValue&) = nullptr;
};
const PolicyKey* find_policy_key(std::string_view name);

struct PolicyFault {
  std::string key;
  std::string text;  // what is wrong with it
};
// What keeps these keys from being a policy's; empty if nothing does (C-521).
std::vector<PolicyFault> check_policy_definition(protocol::TableView definition, bool by_operator);

}  // namespace harrier::broker
