// SPDX-License-Identifier: Apache-2.0
#include "persistence/write_batch.hpp"

#include <algorithm>
#include <limits>

#include "persistence/record_codec.hpp"
#include "protocol/check.hpp"

namespace harrier::persistence {

using protocol::as_text;
using protocol::ByteReader;
using protocol::ByteView;
using protocol::Message;

namespace {

constexpr std::size_t kRecordBytesMin = 9;  // DropQueue; bounds what a false count can allocate

}  // namespace

std::size_t content_size(const Message& message) {
  return message.exchange().size() + message.routing_key().size() +
         message.property_bytes().size() + message.body().size();
}

bool equal_content(const Message& a, const Message& b) {
  return a.exchange() == b.exchange() && a.routing_key() == b.routing_key() &&
         as_text(a.property_bytes()) == as_text(b.property_bytes()) &&
         as_text(a.body()) == as_text(b.body());
}

bool operator==(const Enqueue& a, const Enqueue& b) {
  if (a.queue != b.queue || a.seq != b.seq || a.enqueued_at_ms != b.enqueued_at_ms ||
      a.expires_at_ms != b.expires_at_ms) {
    return false;
  }
  if (a.message.get() == b.message.get()) return true;
  return a.message && b.message && equal_content(*a.message, *b.message);
}

std::size_t encoded_size(const WriteBatch& batch) {
  std::size_t size = sizeof(std::uint32_t);
  for (const Record& record : batch.records()) size += encoded_size(record);
  return size;
}

Bytes encode(const WriteBatch& batch) {
  const std::size_t count = batch.records().size();
  HARRIER_CHECK(count <= std::numeric_limits<std::uint32_t>::max());
  Bytes bytes(encoded_size(batch));
  std::uint8_t* out = protocol::put_u32(bytes.data(), static_cast<std::uint32_t>(count));
  for (const Record& record : batch.records()) out = encode(record, out);
  HARRIER_CHECK(out == bytes.data() + bytes.size());
  return bytes;
}

std::optional<WriteBatch> decode(ByteView bytes) {
  ByteReader reader(bytes);
  const std::uint32_t count = reader.u32();
  WriteBatch batch;
  batch.reserve(std::min<std::size_t>(count, reader.remaining() / kRecordBytesMin));
  for (std::uint32_t i = 0; i < count && reader.ok(); ++i) batch.add(decode_record(reader));
  if (!reader.ok() || reader.remaining() != 0) return std::nullopt;
  return batch;
}

}  // namespace harrier::persistence
