// SPDX-License-Identifier: Apache-2.0
//
// Definitions: what an exported definitions file says, as plain values; each knows where in the
// file it stands, for messages. Read by read_definitions() (definitions_json.hpp), which checks
// every value alone; what it means beside what the broker has already is decided by the control
// shard (core/definitions_import.hpp).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "broker/auth/user_directory.hpp"
#include "broker/definitions/policy.hpp"
#include "protocol/field_table.hpp"

namespace harrier::broker {

// Absent: the file does not say, so what there is stays.
struct VhostDefinition {
  std::string at;  // JSON pointer, "/vhosts/0"
  std::string name;
  std::optional<std::string> description;
  std::optional<std::vector<std::string>> tags;
  std::optional<std::string> default_queue_type;
  std::optional<bool> tracing;
};

struct VhostLimitsDefinition {
  std::string at;
  std::string vhost;
  std::optional<std::int64_t> connections_max;
  std::optional<std::int64_t> queues_max;
};

struct UserDefinition {
  std::string at;
  std::string name;
  PasswordHash hash;
  std::optional<std::string> password;  // in clear, instead of the hash
  std::vector<std::string> tags;
};

struct UserLimitsDefinition {
  std::string at;
  std::string user;
  std::optional<std::int64_t> connections_max;
  std::optional<std::int64_t> channels_max;
};

struct PermissionDefinition {
  std::string at;
  VhostUser where;
  PermissionEntry entry;
};

struct TopicPermissionDefinition {
  std::string at;
  VhostUser where;
  std::string exchange;
  TopicPermissionEntry entry;
};

struct PolicyDefinition {
  std::string at;
  std::string vhost;
  bool by_operator = false;
  Policy policy;
};

// Of a plugin or a client; kept, not looked at. One without a vhost is global.
struct ParameterDefinition {
  std::string at;
  std::string vhost;
  std::string component;
  std::string name;
  protocol::Table value;  // as its entry `value`
};

struct ExchangeDefinition {
  std::string at;
  std::string vhost;
  std::string name;
  std::string type;
  bool durable = true;
  bool auto_delete = false;
  bool internal = false;
  protocol::Table arguments;
};

struct QueueDefinition {
  std::string at;
  std::string vhost;
  std::string name;
  bool durable = true;
  bool auto_delete = false;
  protocol::Table arguments;
};

struct BindingDefinition {
  std::string at;
  std::string vhost;
  std::string source;
  std::string destination;
  bool to_exchange = false;
  std::string routing_key;
  protocol::Table arguments;
};

struct Definitions {
  std::vector<VhostDefinition> vhosts;
  std::vector<VhostLimitsDefinition> vhost_limits;
  std::vector<UserDefinition> users;
  std::vector<UserLimitsDefinition> user_limits;
  std::vector<PermissionDefinition> permissions;
  std::vector<TopicPermissionDefinition> topic_permissions;
  std::vector<PolicyDefinition> policies;  // operators' too
  std::vector<ParameterDefinition> parameters;
  std::vector<ExchangeDefinition> exchanges;
  std::vector<QueueDefinition> queues;
  std::vector<BindingDefinition> bindings;
};

}  // namespace harrier::broker
