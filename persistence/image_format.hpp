// SPDX-License-Identifier: Apache-2.0
//
// The rows of the image: keys, values, checksums. Pure functions over bytes; what is read is
// untrusted, so every parser gives nullopt for what is not exactly a row. Integers are big-endian,
// so that LMDB's order of keys is the order of numbers.
//
//   value        = checksum:u32 body              CRC-32C of key and body, in every database
//   meta         = "format" -> "harrier image" version:u32       (the same in all versions)
//                | "state"  -> journal:u64 mark:u8 next-content:u64 store:u64
//   mark         = 0 | 1 | 2                          in use; clean; in use, and not whole
//   definitions  = kind:u8 0:u8 vhost-size:u16 vhost name -> definition    a key of <= 511 bytes
//                | kind:u8 1:u8 digest:u64 nth:u32 -> definition           a longer one
//   definition   = vhost:long name:long value:long
//   queues       = queue:u64 -> seq-max:u64 messages:u64 bytes:u64
//   messages     = queue:u64 seq:u64 -> delivery-count:u32 1:u8 enqueued-at:i64 expiry message
//                                     | delivery-count:u32 2:u8 enqueued-at:i64 expiry
//                                       content:u64 content-bytes:u64
//   contents     = content:u64 -> references:u32 size:u64                   size of `message`
//   parts        = content:u64 part:u32 -> byte{<= 4076}                    of `message`
//   garbage      = 1:u8 queue:u64 from:u64 -> up-to:u64     positions whose rows are to be deleted
//                | 2:u8 content:u64 -> size:u64             parts that are to be deleted
//
// expiry, message, long: as in persistence/write_batch.hpp. content-bytes and the bytes of a queue
// are content_size(); size is that of the encoding, kMessageFraming more. Of several definitions
// with one digest the nth tells them apart.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>

#include "persistence/image.hpp"
#include "persistence/lmdb.hpp"
#include "persistence/write_batch.hpp"

namespace harrier::persistence::image {

using protocol::ByteView;

inline constexpr std::uint32_t kFormat = 1;
inline constexpr std::string_view kFormatMark = "harrier image";
inline constexpr std::string_view kFormatKey = "format";
inline constexpr std::string_view kStateKey = "state";
inline constexpr std::size_t kChecksumBytes = 4;
inline constexpr std::size_t kKeyBytesMax = 511;  // LMDB's limit
inline constexpr std::size_t kMessageFraming = 1 + 1 + 4 + 4;
// With its checksum one part fills an overflow page of 4,096 bytes, whose header takes 16: one page
// each, so that allocation never searches for a run.
inline constexpr std::size_t kPartBytesMax = 4'076;

enum class RowKind : std::uint8_t { Inline = 1, Large = 2 };
enum class GarbageKind : std::uint8_t { Rows = 1, Parts = 2 };

template <std::size_t Size>
using Key = std::array<std::uint8_t, Size>;

inline Key<8> id_key(std::uint64_t id) {
  Key<8> key;
  protocol::put_u64(key.data(), id);
  return key;
}
inline Key<8> queue_key(QueueId queue) { return id_key(static_cast<std::uint64_t>(queue)); }
Key<16> message_key(QueueId queue, Seq seq);
Key<12> part_key(std::uint64_t content, std::uint32_t part);
Key<17> garbage_rows_key(QueueId queue, Seq from);
Key<9> garbage_parts_key(std::uint64_t content);

// One past the last part.
std::uint64_t part_count(std::uint64_t size);

std::uint32_t checksum(ByteView key, ByteView body);
// The body, if the checksum is right.
std::optional<ByteView> unseal(ByteView key, ByteView value);

// Replaces or inserts a row; `fill` writes the body of `size` bytes in place.
template <class Fill>
lmdb::Code put_row(lmdb::Cursor& cursor, ByteView key, std::size_t size, const Fill& fill) {
  std::uint8_t* out = nullptr;
  const lmdb::Code code = cursor.replace(key, kChecksumBytes + size, out);
  if (!code.ok()) return code;
  fill(out + kChecksumBytes);
  protocol::put_u32(out, checksum(key, {out + kChecksumBytes, size}));
  return code;
}
lmdb::Code put_row(lmdb::Cursor& cursor, ByteView key, ByteView body);

struct MessageKey {
  QueueId queue{};
  Seq seq = 0;
};
std::optional<MessageKey> parse_message_key(ByteView key);
std::optional<MessageKey> parse_garbage_rows_key(ByteView key);  // seq: from
std::optional<std::uint64_t> parse_garbage_parts_key(ByteView key);

// What the columns of `messages` say, with views into the value.
struct MessageRow {
  std::uint32_t delivery_count = 0;
  bool large = false;
  ByteView bytes;             // as far as the message itself, or of a large one enqueued-at expiry
  std::uint64_t content = 0;  // of a large one
  std::uint64_t content_bytes = 0;
};
// Without a look at the checksum: for deleting, where a damaged row must be no obstacle.
std::optional<MessageRow> parse_message(ByteView value);
std::size_t message_body_bytes(const MessageRow& row);
void put_message_body(std::uint8_t* out, const MessageRow& row);
// content_size of the message at the end of `tail` = enqueued-at expiry message.
std::optional<std::uint64_t> content_bytes_of_tail(ByteView tail);

Bytes meta_body(const Image::Meta& meta);
std::optional<Image::Meta> parse_meta(ByteView body);

struct QueueCounters {
  Seq seq_max = 0;
  std::uint64_t messages = 0;
  std::uint64_t bytes = 0;
  friend bool operator==(const QueueCounters&, const QueueCounters&) = default;
};
inline constexpr std::size_t kQueueBodyBytes = 24;
std::optional<QueueCounters> parse_queue(ByteView body);
void put_queue_body(std::uint8_t* out, const QueueCounters& queue);

struct ContentRow {
  std::uint32_t references = 0;
  std::uint64_t size = 0;
};
inline constexpr std::size_t kContentBodyBytes = 12;
std::optional<ContentRow> parse_content(ByteView body);
void put_content_body(std::uint8_t* out, const ContentRow& row);

std::optional<std::uint64_t> parse_u64(ByteView bytes);

Bytes definition_body(const Define& definition);
std::optional<Define> parse_definition(ByteView key, ByteView body);
// The key as text, or nothing if it would be too long.
std::optional<Bytes> definition_text_key(Kind kind, std::string_view vhost, std::string_view name);
inline constexpr std::size_t kDigestPrefixBytes = 10;
Key<14> definition_digest_key(Kind kind, std::string_view vhost, std::string_view name,
                              std::uint32_t nth);

}  // namespace harrier::persistence::image
