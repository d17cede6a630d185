// SPDX-License-Identifier: Apache-2.0
#include "persistence/record_codec.hpp"

#include <limits>
#include <string_view>
#include <type_traits>

#include "protocol/check.hpp"

namespace harrier::persistence {
namespace {

using protocol::as_bytes;
using protocol::ByteReader;
using protocol::ByteView;
using protocol::Message;

// The tags are the alternatives' positions plus one, so that the grammar, the variant and the
// decoder cannot drift apart unnoticed.
template <class T, std::size_t I = 0>
constexpr std::uint8_t tag_of() {
  if constexpr (std::is_same_v<T, std::variant_alternative_t<I, Record>>) {
    return I + 1;
  } else {
    return tag_of<T, I + 1>();
  }
}
static_assert(tag_of<Enqueue>() == 1 && tag_of<Settle>() == 2 && tag_of<Requeue>() == 3 &&
              tag_of<DropQueue>() == 4 && tag_of<Purge>() == 5 && tag_of<Define>() == 6 &&
              tag_of<Forget>() == 7 && std::variant_size_v<Record> == 7);

// Two sinks for one description of the format: one counts, the other writes.
struct Counter {
  std::size_t size = 0;
  void u8(std::uint8_t) { size += 1; }
  void u32(std::uint32_t) { size += 4; }
  void u64(std::uint64_t) { size += 8; }
  void raw(ByteView bytes) { size += bytes.size(); }
};

struct Writer {
  std::uint8_t* out;
  void u8(std::uint8_t v) { out = protocol::put_u8(out, v); }
  void u32(std::uint32_t v) { out = protocol::put_u32(out, v); }
  void u64(std::uint64_t v) { out = protocol::put_u64(out, v); }
  void raw(ByteView bytes) { out = protocol::put_raw(out, bytes); }
};

template <class Sink>
void put_short(Sink& sink, std::string_view text) {
  sink.u8(static_cast<std::uint8_t>(text.size()));  // Message holds no longer ones
  sink.raw(as_bytes(text));
}

template <class Sink>
void put_size(Sink& sink, ByteView bytes) {
  HARRIER_CHECK(bytes.size() <= std::numeric_limits<std::uint32_t>::max());
  sink.u32(static_cast<std::uint32_t>(bytes.size()));
}

template <class Sink>
void put_long(Sink& sink, ByteView bytes) {
  put_size(sink, bytes);
  sink.raw(bytes);
}

template <class Sink, class Id>
void put_id(Sink& sink, Id id) {
  sink.u64(static_cast<std::uint64_t>(id));
}

template <class Sink>
void put_head(Sink& sink, const Message& message) {
  put_short(sink, message.exchange());
  put_short(sink, message.routing_key());
  put_long(sink, message.property_bytes());
  put_size(sink, message.body());
}

template <class Sink>
void put(Sink& sink, const Message& message) {
  put_head(sink, message);
  sink.raw(message.body());
}

template <class Sink>
void put_times(Sink& sink, const Enqueue& record) {
  sink.u64(static_cast<std::uint64_t>(record.enqueued_at_ms));
  sink.u8(record.expires_at_ms ? 1 : 0);
  if (record.expires_at_ms) sink.u64(static_cast<std::uint64_t>(*record.expires_at_ms));
}

template <class Sink>
void put(Sink& sink, const Enqueue& record) {
  HARRIER_CHECK(record.message);
  put_id(sink, record.queue);
  sink.u64(record.seq);
  put_times(sink, record);
  put(sink, *record.message);
}

template <class Sink>
void put(Sink& sink, const Settle& record) {
  put_id(sink, record.queue);
  sink.u64(record.seq);
}

template <class Sink>
void put(Sink& sink, const Requeue& record) {
  put_id(sink, record.queue);
  sink.u64(record.seq);
  sink.u32(record.delivery_count);
}

template <class Sink>
void put(Sink& sink, const DropQueue& record) {
  put_id(sink, record.queue);
}

template <class Sink>
void put(Sink& sink, const Purge& record) {
  put_id(sink, record.queue);
  sink.u64(record.from);
  sink.u64(record.up_to);
}

template <class Sink>
void put(Sink& sink, const Define& record) {
  sink.u8(static_cast<std::uint8_t>(record.kind));
  put_long(sink, as_bytes(record.vhost));
  put_long(sink, as_bytes(record.name));
  put_long(sink, record.value);
}

template <class Sink>
void put(Sink& sink, const Forget& record) {
  sink.u8(static_cast<std::uint8_t>(record.kind));
  put_long(sink, as_bytes(record.vhost));
  put_long(sink, as_bytes(record.name));
}

template <class Sink>
void put(Sink& sink, const Record& record) {
  std::visit(
      [&sink](const auto& value) {
        sink.u8(tag_of<std::remove_cvref_t<decltype(value)>>());
        put(sink, value);
      },
      record);
}

// --- Decoding: the reader latches what runs past the end; what is in range but wrong fails it. ---

QueueId get_queue(ByteReader& reader) { return QueueId{reader.u64()}; }

std::int64_t get_i64(ByteReader& reader) { return static_cast<std::int64_t>(reader.u64()); }

Kind get_kind(ByteReader& reader) {
  const std::uint8_t kind = reader.u8();
  if (kind == 0 || kind > static_cast<std::uint8_t>(kKindMax)) reader.fail();
  return static_cast<Kind>(kind);
}

std::optional<std::int64_t> get_expiry(ByteReader& reader) {
  switch (reader.u8()) {
    case 0:
      return std::nullopt;
    case 1:
      return get_i64(reader);
    default:
      reader.fail();
      return std::nullopt;
  }
}

Record get_enqueue(ByteReader& reader) {
  Enqueue record;
  record.queue = get_queue(reader);
  record.seq = reader.u64();
  record.enqueued_at_ms = get_i64(reader);
  record.expires_at_ms = get_expiry(reader);
  record.message = decode_message(reader);
  return record;
}

Record get_requeue(ByteReader& reader) {
  Requeue record;
  record.queue = get_queue(reader);
  record.seq = reader.u64();
  record.delivery_count = reader.u32();
  return record;
}

template <class T>
T get_named(ByteReader& reader) {
  T record;
  record.kind = get_kind(reader);
  record.vhost = reader.longstr();
  record.name = reader.longstr();
  return record;
}

Record get_define(ByteReader& reader) {
  Define record = get_named<Define>(reader);
  const ByteView value = as_bytes(reader.longstr());
  record.value.assign(value.begin(), value.end());
  return record;
}

Record get_settle(ByteReader& reader) {
  const QueueId queue = get_queue(reader);
  return Settle{queue, reader.u64()};
}

Record get_purge(ByteReader& reader) {
  Purge record;
  record.queue = get_queue(reader);
  record.from = reader.u64();
  record.up_to = reader.u64();
  return record;
}

}  // namespace

std::size_t encoded_size(const Record& record) {
  Counter counter;
  put(counter, record);
  return counter.size;
}

std::uint8_t* encode(const Record& record, std::uint8_t* out) {
  Writer writer{out};
  put(writer, record);
  return writer.out;
}

std::size_t encoded_size(const Message& message) {
  Counter counter;
  put(counter, message);
  return counter.size;
}

std::size_t encoded_head_size(const Message& message) {
  Counter counter;
  put_head(counter, message);
  return counter.size;
}

std::uint8_t* encode_head(const Message& message, std::uint8_t* out) {
  Writer writer{out};
  put_head(writer, message);
  return writer.out;
}

std::size_t encoded_times_size(const Enqueue& record) {
  Counter counter;
  put_times(counter, record);
  return counter.size;
}

std::uint8_t* encode_times(const Enqueue& record, std::uint8_t* out) {
  Writer writer{out};
  put_times(writer, record);
  return writer.out;
}

Record decode_record(ByteReader& reader) {
  switch (reader.u8()) {
    case tag_of<Enqueue>():
      return get_enqueue(reader);
    case tag_of<Settle>():
      return get_settle(reader);
    case tag_of<Requeue>():
      return get_requeue(reader);
    case tag_of<DropQueue>():
      return DropQueue{get_queue(reader)};
    case tag_of<Purge>():
      return get_purge(reader);
    case tag_of<Define>():
      return get_define(reader);
    case tag_of<Forget>():
      return get_named<Forget>(reader);
    default:
      reader.fail();
      return Settle{};
  }
}

protocol::MessagePtr decode_message(ByteReader& reader) {
  const std::string_view exchange = reader.shortstr();
  const std::string_view routing_key = reader.shortstr();
  const ByteView properties = as_bytes(reader.longstr());
  const ByteView body = as_bytes(reader.longstr());
  // Allocate only for bytes that are there, and trust only properties that have been checked.
  if (!reader.ok() || !protocol::PropertiesView::parse(properties)) {
    reader.fail();
    return {};
  }
  return Message::create(exchange, routing_key, properties, body);
}

void decode_times(ByteReader& reader, StoredMessage& out) {
  out.enqueued_at_ms = get_i64(reader);
  out.expires_at_ms = get_expiry(reader);
}

}  // namespace harrier::persistence
