// SPDX-License-Identifier: Apache-2.0
#include "persistence/image_format.hpp"

#include "persistence/crc32c.hpp"
#include "protocol/check.hpp"

namespace harrier::persistence::image {
namespace {

using protocol::as_bytes;
using protocol::ByteReader;

constexpr std::size_t kMessageHeadBytes = 4 + 1;  // delivery-count, kind
constexpr std::size_t kLargeTailBytes = 8 + 8;    // content, content-bytes
constexpr std::size_t kEnqueuedAtBytes = 8;
constexpr std::size_t kExpiryBytesMax = 9;
constexpr std::size_t kMetaBodyBytes = 8 + 1 + 8 + 8;
constexpr std::size_t kTextKeyHeadBytes = 1 + 1 + 2;

enum class Mark : std::uint8_t { InUse = 0, Clean = 1, Partial = 2 };

// The size of enqueued-at expiry, if `bytes` begin with them.
std::optional<std::size_t> times_bytes(ByteView bytes) {
  if (bytes.size() <= kEnqueuedAtBytes) return std::nullopt;
  const std::uint8_t has_expiry = bytes[kEnqueuedAtBytes];
  if (has_expiry > 1) return std::nullopt;
  const std::size_t size = kEnqueuedAtBytes + (has_expiry == 1 ? kExpiryBytesMax : 1);
  return size <= bytes.size() ? std::optional(size) : std::nullopt;
}

// FNV-1a. It need not be hard to forge: definitions are compared in full.
std::uint64_t digest(std::string_view vhost, std::string_view name) {
  std::uint64_t hash = 0xcbf29ce484222325U;
  const auto mix = [&hash](std::uint8_t byte) { hash = (hash ^ byte) * 0x100000001b3U; };
  for (const std::uint8_t byte : as_bytes(vhost)) mix(byte);
  for (unsigned shift = 0; shift < 64; shift += 8) {
    mix(static_cast<std::uint8_t>(static_cast<std::uint64_t>(vhost.size()) >> shift));
  }
  for (const std::uint8_t byte : as_bytes(name)) mix(byte);
  return hash;
}

}  // namespace

Key<16> message_key(QueueId queue, Seq seq) {
  Key<16> key;
  protocol::put_u64(protocol::put_u64(key.data(), static_cast<std::uint64_t>(queue)), seq);
  return key;
}

Key<12> part_key(std::uint64_t content, std::uint32_t part) {
  Key<12> key;
  protocol::put_u32(protocol::put_u64(key.data(), content), part);
  return key;
}

Key<17> garbage_rows_key(QueueId queue, Seq from) {
  Key<17> key;
  std::uint8_t* out = protocol::put_u8(key.data(), static_cast<std::uint8_t>(GarbageKind::Rows));
  protocol::put_u64(protocol::put_u64(out, static_cast<std::uint64_t>(queue)), from);
  return key;
}

Key<9> garbage_parts_key(std::uint64_t content) {
  Key<9> key;
  protocol::put_u64(protocol::put_u8(key.data(), static_cast<std::uint8_t>(GarbageKind::Parts)),
                    content);
  return key;
}

std::uint64_t part_count(std::uint64_t size) {
  return size / kPartBytesMax + (size % kPartBytesMax != 0 ? 1 : 0);
}

std::uint32_t checksum(ByteView key, ByteView body) { return crc32c(body, crc32c(key)); }

std::optional<ByteView> unseal(ByteView key, ByteView value) {
  if (value.size() < kChecksumBytes) return std::nullopt;
  const ByteView body = value.subspan(kChecksumBytes);
  if (ByteReader(value).u32() != checksum(key, body)) return std::nullopt;
  return body;
}

lmdb::Code put_row(lmdb::Cursor& cursor, ByteView key, ByteView body) {
  return put_row(cursor, key, body.size(),
                 [body](std::uint8_t* out) { protocol::put_raw(out, body); });
}

std::optional<MessageKey> parse_message_key(ByteView key) {
  ByteReader reader(key);
  MessageKey found;
  found.queue = QueueId{reader.u64()};
  found.seq = reader.u64();
  if (!reader.ok() || reader.remaining() != 0) return std::nullopt;
  return found;
}

std::optional<MessageKey> parse_garbage_rows_key(ByteView key) {
  if (key.empty() || key[0] != static_cast<std::uint8_t>(GarbageKind::Rows)) return std::nullopt;
  return parse_message_key(key.subspan(1));
}

std::optional<std::uint64_t> parse_garbage_parts_key(ByteView key) {
  if (key.empty() || key[0] != static_cast<std::uint8_t>(GarbageKind::Parts)) return std::nullopt;
  return parse_u64(key.subspan(1));
}

std::optional<MessageRow> parse_message(ByteView value) {
  ByteReader reader(value);
  reader.u32();  // checksum
  MessageRow row;
  row.delivery_count = reader.u32();
  const std::uint8_t kind = reader.u8();
  row.bytes = reader.raw(reader.remaining());
  if (!reader.ok()) return std::nullopt;
  if (kind == static_cast<std::uint8_t>(RowKind::Inline)) {
    const std::optional<std::uint64_t> bytes = content_bytes_of_tail(row.bytes);
    if (!bytes) return std::nullopt;
    row.content_bytes = *bytes;
    return row;
  }
  const std::optional<std::size_t> times = times_bytes(row.bytes);
  if (kind != static_cast<std::uint8_t>(RowKind::Large) || !times ||
      row.bytes.size() != *times + kLargeTailBytes) {
    return std::nullopt;
  }
  ByteReader large(row.bytes.subspan(*times));
  row.large = true;
  row.content = large.u64();
  row.content_bytes = large.u64();
  row.bytes = row.bytes.first(*times);
  return row;
}

std::size_t message_body_bytes(const MessageRow& row) {
  return kMessageHeadBytes + row.bytes.size() + (row.large ? kLargeTailBytes : 0);
}

void put_message_body(std::uint8_t* out, const MessageRow& row) {
  out = protocol::put_u32(out, row.delivery_count);
  const RowKind kind = row.large ? RowKind::Large : RowKind::Inline;
  out = protocol::put_u8(out, static_cast<std::uint8_t>(kind));
  out = protocol::put_raw(out, row.bytes);
  if (row.large) protocol::put_u64(protocol::put_u64(out, row.content), row.content_bytes);
}

std::optional<std::uint64_t> content_bytes_of_tail(ByteView tail) {
  const std::optional<std::size_t> times = times_bytes(tail);
  if (!times || tail.size() - *times < kMessageFraming) return std::nullopt;
  return tail.size() - *times - kMessageFraming;
}

Bytes meta_body(const Image::Meta& meta) {
  Bytes body(kMetaBodyBytes);
  std::uint8_t* out = protocol::put_u64(body.data(), meta.journal);
  HARRIER_CHECK(meta.whole || !meta.clean);
  const Mark in_use = meta.whole ? Mark::InUse : Mark::Partial;
  out = protocol::put_u8(out, static_cast<std::uint8_t>(meta.clean ? Mark::Clean : in_use));
  out = protocol::put_u64(out, meta.next_content);
  protocol::put_u64(out, meta.store);
  return body;
}

std::optional<Image::Meta> parse_meta(ByteView body) {
  if (body.size() != kMetaBodyBytes) return std::nullopt;
  ByteReader reader(body);
  Image::Meta meta;
  meta.journal = reader.u64();
  const std::uint8_t mark = reader.u8();
  if (mark > static_cast<std::uint8_t>(Mark::Partial)) return std::nullopt;
  meta.clean = mark == static_cast<std::uint8_t>(Mark::Clean);
  meta.whole = mark != static_cast<std::uint8_t>(Mark::Partial);
  meta.next_content = reader.u64();
  meta.store = reader.u64();
  return meta;
}

std::optional<QueueCounters> parse_queue(ByteView body) {
  if (body.size() != kQueueBodyBytes) return std::nullopt;
  ByteReader reader(body);
  QueueCounters queue;
  queue.seq_max = reader.u64();
  queue.messages = reader.u64();
  queue.bytes = reader.u64();
  return queue;
}

void put_queue_body(std::uint8_t* out, const QueueCounters& queue) {
  out = protocol::put_u64(out, queue.seq_max);
  out = protocol::put_u64(out, queue.messages);
  protocol::put_u64(out, queue.bytes);
}

std::optional<ContentRow> parse_content(ByteView body) {
  if (body.size() != kContentBodyBytes) return std::nullopt;
  ByteReader reader(body);
  ContentRow row;
  row.references = reader.u32();
  row.size = reader.u64();
  return row;
}

void put_content_body(std::uint8_t* out, const ContentRow& row) {
  protocol::put_u64(protocol::put_u32(out, row.references), row.size);
}

std::optional<std::uint64_t> parse_u64(ByteView bytes) {
  if (bytes.size() != sizeof(std::uint64_t)) return std::nullopt;
  return ByteReader(bytes).u64();
}

Bytes definition_body(const Define& definition) {
  Bytes body(4 + definition.vhost.size() + 4 + definition.name.size() + 4 +
             definition.value.size());
  std::uint8_t* out = protocol::put_longstr(body.data(), definition.vhost);
  out = protocol::put_longstr(out, definition.name);
  protocol::put_longstr(out, protocol::as_text(definition.value));
  return body;
}

std::optional<Define> parse_definition(ByteView key, ByteView body) {
  if (key.empty() || key[0] == 0 || key[0] > static_cast<std::uint8_t>(kKindMax)) {
    return std::nullopt;
  }
  ByteReader reader(body);
  Define definition;
  definition.kind = static_cast<Kind>(key[0]);
  definition.vhost = reader.longstr();
  definition.name = reader.longstr();
  const ByteView value = as_bytes(reader.longstr());
  definition.value.assign(value.begin(), value.end());
  if (!reader.ok() || reader.remaining() != 0) return std::nullopt;
  return definition;
}

std::optional<Bytes> definition_text_key(Kind kind, std::string_view vhost, std::string_view name) {
  // Each is looked at alone, so that no sum can overflow.
  if (vhost.size() > kKeyBytesMax || name.size() > kKeyBytesMax) return std::nullopt;
  Bytes key(kTextKeyHeadBytes + vhost.size() + name.size());
  if (key.size() > kKeyBytesMax) return std::nullopt;
  std::uint8_t* out = protocol::put_u8(key.data(), static_cast<std::uint8_t>(kind));
  out = protocol::put_u8(out, 0);
  out = protocol::put_u16(out, static_cast<std::uint16_t>(vhost.size()));
  out = protocol::put_raw(out, as_bytes(vhost));
  protocol::put_raw(out, as_bytes(name));
  return key;
}

Key<14> definition_digest_key(Kind kind, std::string_view vhost, std::string_view name,
                              std::uint32_t nth) {
  Key<14> key;
  std::uint8_t* out = protocol::put_u8(key.data(), static_cast<std::uint8_t>(kind));
  out = protocol::put_u8(out, 1);
  out = protocol::put_u64(out, digest(vhost, name));
  protocol::put_u32(out, nth);
  return key;
}

}  // namespace harrier::persistence::image
