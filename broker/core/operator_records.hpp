// SPDX-License-Identifier: Apache-2.0
//
// What operators set, one value for each thing that can be set, and its form in the store: one
// Define, whose value is a table of named fields (persistence/definitions.hpp). Pure functions.
// Reading is total: nullopt for what define() does not write. A change is the new value as a whole.
//
//   kind       vhost   name                             fields
//   Vhost      ""      vhost                            description tags default-queue-type tracing
//                                                       max-connections max-queues
//   User       ""      user                             hash algorithm tags max-connections
//                                                       max-channels
//   Permission vhost   user                             configure write read
//   Permission vhost   user NUL exchange                user exchange topic-write topic-read
//   Policy     vhost   "policy:" or "operator:", name   name pattern apply-to priority definition
//   Parameter  vhost   component NUL name               component name value
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "broker/auth/user_directory.hpp"
#include "broker/definitions/policy.hpp"
#include "persistence/write_batch.hpp"
#include "protocol/field_table.hpp"

namespace harrier::broker {

struct VhostSettings {
  std::string description;
  std::vector<std::string> tags;
  std::string default_queue_type;  // empty: classic
  bool tracing = false;
  std::optional<std::int64_t> connections_max;  // negative: no limit
  std::optional<std::int64_t> queues_max;
  friend bool operator==(const VhostSettings&, const VhostSettings&) = default;
};

struct VhostRecord {
  std::string name;
  VhostSettings settings;
};
struct UserRecord {
  std::string name;
  UserEntry entry;
};
struct PermissionRecord {
  VhostUser where;
  PermissionEntry entry;
};
struct TopicPermissionRecord {
  VhostUser where;
  std::string exchange;
  TopicPermissionEntry entry;
};
struct PolicyRecord {
  std::string vhost;
  bool by_operator = false;
  Policy policy;
};
struct ParameterRecord {
  std::string vhost;
  std::string component;
  std::string name;
  protocol::Table value;  // as its entry `value`
};

using OperatorRecord = std::variant<VhostRecord, UserRecord, PermissionRecord,
                                    TopicPermissionRecord, PolicyRecord, ParameterRecord>;

persistence::Define define(const OperatorRecord& record);
persistence::Forget forget_policy(const std::string& vhost, std::string_view name,
                                  bool by_operator);
std::optional<OperatorRecord> read_operator_record(const persistence::Define& definition);

std::string describe(const OperatorRecord& record);  // "policy 'p' in vhost '/'"

}  // namespace harrier::broker
