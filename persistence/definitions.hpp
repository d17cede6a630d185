// SPDX-License-Identifier: Apache-2.0
//
// What durable exchanges, queues and bindings, and what operators set, look like in a Define
// record: plain values, their encodings, and the records made from them. Only durable things are
// stored, so there is no flag for it; vhost and name are in the record. decode_* are total, like
// WriteBatch's decode: nullopt for anything that encode() does not write, arguments checked by
// validate_table.
//
//   exchange  = 1:u8 flags:u8 type:short arguments:long      flags: 1 auto-delete, 2 internal
//   queue     = 1:u8 flags:u8 id:u64 arguments:long          flags: 1 auto-delete, 2 exclusive
//   binding   = 1:u8 flags:u8 source:short destination:short routing-key:short arguments:long
//                                                            flags: 1 to an exchange
//   settings  = 1:u8 0:u8 fields:long                        of all other kinds but Counter
// The leading 1 is the value's format; short, long: as in persistence/write_batch.hpp.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "persistence/write_batch.hpp"
#include "protocol/field_table.hpp"

namespace harrier::persistence {

struct ExchangeDefinition {
  std::string type;  // "direct"; by name, because the types that exist are routing's business
  bool auto_delete = false;
  bool internal = false;
  protocol::Table arguments;
  friend bool operator==(const ExchangeDefinition&, const ExchangeDefinition&) = default;
};

struct QueueDefinition {
  QueueId id{};
  bool auto_delete = false;
  bool exclusive = false;
  protocol::Table arguments;
  friend bool operator==(const QueueDefinition&, const QueueDefinition&) = default;
};

struct BindingDefinition {
  std::string source;
  std::string destination;
  bool to_exchange = false;
  std::string routing_key;
  protocol::Table arguments;
  friend bool operator==(const BindingDefinition&, const BindingDefinition&) = default;
};

// A vhost, user, permission, policy or parameter. Which fields each has is the broker's business.
struct SettingsDefinition {
  protocol::Table fields;
  friend bool operator==(const SettingsDefinition&, const SettingsDefinition&) = default;
};

Bytes encode(const ExchangeDefinition& definition);
Bytes encode(const QueueDefinition& definition);
Bytes encode(const BindingDefinition& definition);
Bytes encode(const SettingsDefinition& definition);
std::optional<ExchangeDefinition> decode_exchange(protocol::ByteView bytes);
std::optional<QueueDefinition> decode_queue(protocol::ByteView bytes);
std::optional<BindingDefinition> decode_binding(protocol::ByteView bytes);
std::optional<SettingsDefinition> decode_settings(protocol::ByteView bytes);

// A binding has no name of its own; its identity serves as one: the same for bindings whose
// arguments differ only in order (C-174), different for any others.
std::string binding_name(const BindingDefinition& definition);

Define define(std::string vhost, std::string name, const ExchangeDefinition& definition);
Define define(std::string vhost, std::string name, const QueueDefinition& definition);
Define define(std::string vhost, const BindingDefinition& definition);
Define define(Kind kind, std::string vhost, std::string name, const SettingsDefinition& definition);
Forget forget(std::string vhost, const BindingDefinition& definition);

}  // namespace harrier::persistence
