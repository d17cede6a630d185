// SPDX-License-Identifier: Apache-2.0
#include "persistence/definitions.hpp"

#include <limits>
#include <utility>

#include "protocol/check.hpp"

namespace harrier::persistence {
namespace {

using protocol::as_bytes;
using protocol::ByteReader;
using protocol::ByteView;

constexpr std::uint8_t kFormat = 1;
constexpr std::size_t kShortMax = std::numeric_limits<std::uint8_t>::max();

std::uint8_t flags_of(bool first, bool second) {
  return static_cast<std::uint8_t>((first ? 1 : 0) | (second ? 2 : 0));
}
bool first_flag(std::uint8_t flags) { return (flags & 1) != 0; }
bool second_flag(std::uint8_t flags) { return (flags & 2) != 0; }

Bytes begin(std::uint8_t flags) { return {kFormat, flags}; }

void append(Bytes& out, ByteView bytes) { out.insert(out.end(), bytes.begin(), bytes.end()); }

void append_short(Bytes& out, std::string_view text) {
  HARRIER_CHECK(text.size() <= kShortMax);
  out.push_back(static_cast<std::uint8_t>(text.size()));
  append(out, as_bytes(text));
}

void append_long(Bytes& out, ByteView bytes) {
  HARRIER_CHECK(bytes.size() <= std::numeric_limits<std::uint32_t>::max());
  std::uint8_t size[4];
  protocol::put_u32(size, static_cast<std::uint32_t>(bytes.size()));
  append(out, size);
  append(out, bytes);
}

void append_u64(Bytes& out, std::uint64_t value) {
  std::uint8_t bytes[8];
  protocol::put_u64(bytes, value);
  append(out, bytes);
}

// Format and flags; fails the reader for what this version does not write.
std::uint8_t read_begin(ByteReader& reader, std::uint8_t known_flags) {
  if (reader.u8() != kFormat) reader.fail();
  const std::uint8_t flags = reader.u8();
  if ((flags & ~known_flags) != 0) reader.fail();
  return flags;
}

protocol::Table read_table(ByteReader& reader) {
  const ByteView bytes = as_bytes(reader.longstr());
  if (!reader.ok() || !protocol::validate_table(bytes)) {
    reader.fail();
    return {};
  }
  return protocol::Table(protocol::TableView(bytes));
}

template <class T>
std::optional<T> finish(const ByteReader& reader, T&& definition) {
  if (!reader.ok() || reader.remaining() != 0) return std::nullopt;
  return std::forward<T>(definition);
}

Define make(Kind kind, std::string vhost, std::string name, Bytes value) {
  return {kind, std::move(vhost), std::move(name), std::move(value)};
}

}  // namespace

Bytes encode(const ExchangeDefinition& definition) {
  Bytes out = begin(flags_of(definition.auto_delete, definition.internal));
  append_short(out, definition.type);
  append_long(out, definition.arguments.view().bytes());
  return out;
}

Bytes encode(const QueueDefinition& definition) {
  Bytes out = begin(flags_of(definition.auto_delete, definition.exclusive));
  append_u64(out, static_cast<std::uint64_t>(definition.id));
  append_long(out, definition.arguments.view().bytes());
  return out;
}

Bytes encode(const BindingDefinition& definition) {
  Bytes out = begin(flags_of(definition.to_exchange, false));
  append_short(out, definition.source);
  append_short(out, definition.destination);
  append_short(out, definition.routing_key);
  append_long(out, definition.arguments.view().bytes());
  return out;
}

Bytes encode(const SettingsDefinition& definition) {
  Bytes out = begin(flags_of(false, false));
  append_long(out, definition.fields.view().bytes());
  return out;
}

std::optional<ExchangeDefinition> decode_exchange(ByteView bytes) {
  ByteReader reader(bytes);
  ExchangeDefinition definition;
  const std::uint8_t flags = read_begin(reader, 3);
  definition.auto_delete = first_flag(flags);
  definition.internal = second_flag(flags);
  definition.type = reader.shortstr();
  definition.arguments = read_table(reader);
  return finish(reader, std::move(definition));
}

std::optional<QueueDefinition> decode_queue(ByteView bytes) {
  ByteReader reader(bytes);
  QueueDefinition definition;
  const std::uint8_t flags = read_begin(reader, 3);
  definition.auto_delete = first_flag(flags);
  definition.exclusive = second_flag(flags);
  definition.id = QueueId{reader.u64()};
  definition.arguments = read_table(reader);
  return finish(reader, std::move(definition));
}

std::optional<BindingDefinition> decode_binding(ByteView bytes) {
  ByteReader reader(bytes);
  BindingDefinition definition;
  const std::uint8_t flags = read_begin(reader, 1);
  definition.to_exchange = first_flag(flags);
  definition.source = reader.shortstr();
  definition.destination = reader.shortstr();
  definition.routing_key = reader.shortstr();
  definition.arguments = read_table(reader);
  return finish(reader, std::move(definition));
}

std::optional<SettingsDefinition> decode_settings(ByteView bytes) {
  ByteReader reader(bytes);
  SettingsDefinition definition;
  read_begin(reader, 0);
  definition.fields = read_table(reader);
  return finish(reader, std::move(definition));
}

std::string binding_name(const BindingDefinition& definition) {
  Bytes name;
  append_short(name, definition.source);
  name.push_back(definition.to_exchange ? 1 : 0);
  append_short(name, definition.destination);
  append_short(name, definition.routing_key);
  append(name, as_bytes(protocol::canonical_form(definition.arguments)));
  return std::string(protocol::as_text(name));
}

Define define(std::string vhost, std::string name, const ExchangeDefinition& definition) {
  return make(Kind::Exchange, std::move(vhost), std::move(name), encode(definition));
}

Define define(std::string vhost, std::string name, const QueueDefinition& definition) {
  return make(Kind::Queue, std::move(vhost), std::move(name), encode(definition));
}

Define define(std::string vhost, const BindingDefinition& definition) {
  return make(Kind::Binding, std::move(vhost), binding_name(definition), encode(definition));
}

Define define(Kind kind, std::string vhost, std::string name,
              const SettingsDefinition& definition) {
  return make(kind, std::move(vhost), std::move(name), encode(definition));
}

Forget forget(std::string vhost, const BindingDefinition& definition) {
  return {Kind::Binding, std::move(vhost), binding_name(definition)};
}

}  // namespace harrier::persistence
