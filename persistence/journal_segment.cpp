// SPDX-License-Identifier: Apache-2.0
#include "persistence/journal_segment.hpp"

#include <algorithm>
#include <string_view>

#include "persistence/crc32c.hpp"

namespace harrier::persistence {
namespace {

using protocol::ByteReader;
using protocol::ByteView;

constexpr std::string_view kSegmentMagic = "HARRJRNL";
constexpr std::uint32_t kEntryMagic = 0x48'4a'45'31;  // "HJE1"
constexpr std::string_view kSuffix = ".journal";
constexpr std::size_t kNumberDigits = 16;
// Where the checksummed parts begin: behind magic and checksum.
constexpr std::size_t kHeaderSummedFrom = 12;
constexpr std::size_t kEntrySummedFrom = 8;

}  // namespace

std::string segment_name(std::uint64_t number) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string name(kNumberDigits, '0');
  for (std::size_t i = kNumberDigits; i > 0; --i, number >>= 4) name[i - 1] = kDigits[number & 0xf];
  return name.append(kSuffix);
}

std::optional<std::uint64_t> segment_number(const std::string& name) {
  std::uint64_t number = 0;
  if (name.size() != kNumberDigits + kSuffix.size()) return std::nullopt;
  for (const char digit : std::string_view(name).substr(0, kNumberDigits)) {
    if (digit >= '0' && digit <= '9') {
      number = number << 4 | static_cast<std::uint64_t>(digit - '0');
    } else if (digit >= 'a' && digit <= 'f') {
      number = number << 4 | static_cast<std::uint64_t>(digit - 'a' + 10);
    } else {
      return std::nullopt;
    }
  }
  if (!name.ends_with(kSuffix)) return std::nullopt;
  return number;
}

JournalPage encode(SegmentHeader& header) {
  JournalPage page{};
  std::uint8_t* at = protocol::put_raw(page.data(), protocol::as_bytes(kSegmentMagic));
  std::uint8_t* const crc_at = at;
  at = protocol::put_u32(at + sizeof header.crc, kJournalVersion);
  at = protocol::put_u64(at, header.number);
  at = protocol::put_u64(at, header.capacity);
  at = protocol::put_u64(at, header.follows);
  at = protocol::put_u64(at, header.flushed);
  at = protocol::put_raw(at, header.id);
  protocol::put_u64(at, header.written);
  header.crc = crc32c(ByteView(page).subspan(kHeaderSummedFrom));
  protocol::put_u32(crc_at, header.crc);
  return page;
}

std::uint32_t segment_version(ByteView file) {
  ByteReader reader(file);
  if (protocol::as_text(reader.raw(kSegmentMagic.size())) != kSegmentMagic) return 0;
  reader.u32();
  return reader.u32();
}

std::optional<SegmentHeader> decode_segment_header(ByteView file) {
  if (file.size() < kJournalPageBytes || segment_version(file) != kJournalVersion) {
    return std::nullopt;
  }
  ByteReader reader(file.subspan(kSegmentMagic.size()));
  SegmentHeader header;
  header.crc = reader.u32();
  reader.u32();
  header.number = reader.u64();
  header.capacity = reader.u64();
  header.follows = reader.u64();
  header.flushed = reader.u64();
  std::ranges::copy(reader.raw(header.id.size()), header.id.begin());
  header.written = reader.u64();
  const ByteView summed = file.subspan(kHeaderSummedFrom, kJournalPageBytes - kHeaderSummedFrom);
  if (crc32c(summed) != header.crc || header.capacity > kSegmentBytesMax ||
      header.follows >= journal_position(header.number, 0) || header.flushed > header.follows) {
    return std::nullopt;
  }
  return header;
}

EntryHeaderBytes encode(EntryHeader& header, std::uint32_t seed,
                        std::span<const ByteView> payload) {
  EntryHeaderBytes bytes{};
  std::uint8_t* at = protocol::put_u32(bytes.data(), kEntryMagic);
  std::uint8_t* const crc_at = at;
  at = protocol::put_u32(at + sizeof header.crc, header.size);
  at = protocol::put_u32(at, header.previous);
  at = protocol::put_u64(at, header.position);
  protocol::put_u64(at, header.flushed);
  header.crc = crc32c(ByteView(bytes).subspan(kEntrySummedFrom), seed);
  for (const ByteView piece : payload) header.crc = crc32c(piece, header.crc);
  protocol::put_u32(crc_at, header.crc);
  return bytes;
}

bool has_entry_mark(ByteView file, std::uint64_t number, std::uint64_t offset) {
  if (offset > file.size() || file.size() - offset < kEntryHeaderBytes) return false;
  ByteReader reader(file.subspan(offset));
  const bool marked = reader.u32() == kEntryMagic;
  reader.raw(12);
  return marked && reader.u64() == journal_position(number, offset);
}

std::optional<Entry> read_entry(ByteView file, std::uint64_t number, std::uint64_t offset,
                                std::uint32_t seed) {
  if (!has_entry_mark(file, number, offset)) return std::nullopt;
  ByteReader reader(file.subspan(offset + sizeof kEntryMagic));
  Entry entry;
  entry.header.crc = reader.u32();
  entry.header.size = reader.u32();
  entry.header.previous = reader.u32();
  entry.header.position = reader.u64();
  entry.header.flushed = reader.u64();
  if (entry.header.flushed > entry.header.position) return std::nullopt;
  entry.payload = reader.raw(entry.header.size);
  if (!reader.ok()) return std::nullopt;
  const ByteView summed =
      file.subspan(offset + kEntrySummedFrom, kEntryHeaderBytes - kEntrySummedFrom);
  if (crc32c(entry.payload, crc32c(summed, seed)) != entry.header.crc) return std::nullopt;
  return entry;
}

}  // namespace harrier::persistence
