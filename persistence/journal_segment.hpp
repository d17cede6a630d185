// SPDX-License-Identifier: Apache-2.0
//
// What a segment file of the journal looks like: values and pure functions over bytes, any thread.
// Reading is total: any bytes give a header or an entry, or nullopt, and never a read outside them.
// Integers are big-endian, pages are 4,096 bytes, a position is segment << 32 | offset:
//
//   segment   = header entry* unused
//   header    = "HARRJRNL" crc:u32 version:u32 number:u64 capacity:u64 follows:u64 flushed:u64
//               id:byte{16} zero*                                     one page
//   entry     = magic:u32 crc:u32 size:u32 previous:u32 position:u64 flushed:u64
//               payload:byte{size} zero*                              whole pages
//
// crc: CRC32C; the header's over its page from `version` on, an entry's over the journal's id, the
// entry from `size` on, and the payload. The id is random and secret, so that no message can hold
// bytes that pass for an entry. previous: crc of the entry before, of the header for the first.
// position: the entry's own, so that what a recycled file held before is not taken for an entry.
// flushed: the end of what was known to be flushed when this was written. follows: where the
// journal ended when the segment was begun; what lies between is not part of it. unused: anything.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>

#include "persistence/status.hpp"
#include "protocol/bytes.hpp"

namespace harrier::persistence {

// Where a byte stands in the journal's life: never repeats, ascending.
using JournalPosition = std::uint64_t;
using JournalId = std::array<std::uint8_t, 16>;

inline constexpr std::uint64_t kJournalPageBytes = 4096;
inline constexpr std::uint64_t kEntryHeaderBytes = 32;
inline constexpr std::uint32_t kJournalVersion = 1;
// The end of every file is an offset of 32 bits.
inline constexpr std::uint64_t kSegmentBytesMax = 0xffff'f000;
inline constexpr std::uint64_t kEntryPayloadBytesMax =
    kSegmentBytesMax - kJournalPageBytes - kEntryHeaderBytes;

constexpr JournalPosition journal_position(std::uint64_t segment, std::uint64_t offset) {
  return segment << 32 | offset;
}
constexpr std::uint64_t segment_of(JournalPosition position) { return position >> 32; }
constexpr std::uint64_t offset_of(JournalPosition position) { return position & 0xffff'ffff; }
constexpr std::uint64_t whole_pages(std::uint64_t bytes) {
  return (bytes + kJournalPageBytes - 1) / kJournalPageBytes * kJournalPageBytes;
}
constexpr std::uint64_t entry_disk_bytes(std::uint64_t payload_bytes) {
  return whole_pages(kEntryHeaderBytes + payload_bytes);
}

// "0000000000000001.journal"
std::string segment_name(std::uint64_t number);
std::optional<std::uint64_t> segment_number(const std::string& name);

struct SegmentHeader {
  std::uint64_t number = 0;
  std::uint64_t capacity = 0;  // what the file may grow to
  JournalPosition follows = 0;
  JournalPosition flushed = 0;
  JournalId id{};
  std::uint64_t written = 0;  // what was on disk of the file by then; 0: it grows
  std::uint32_t crc = 0;      // set by encoding and decoding
  friend bool operator==(const SegmentHeader&, const SegmentHeader&) = default;
};
using JournalPage = std::array<std::uint8_t, kJournalPageBytes>;

JournalPage encode(SegmentHeader& header);
// The version is looked at first: a newer one may have everything else elsewhere. nullopt: 0.
std::uint32_t segment_version(protocol::ByteView file);
std::optional<SegmentHeader> decode_segment_header(protocol::ByteView file);

struct EntryHeader {
  std::uint32_t crc = 0;
  std::uint32_t size = 0;
  std::uint32_t previous = 0;
  JournalPosition position = 0;
  JournalPosition flushed = 0;
};
using EntryHeaderBytes = std::array<std::uint8_t, kEntryHeaderBytes>;

// Sets header.crc, for the payload in pieces; `seed` is the id's crc.
EntryHeaderBytes encode(EntryHeader& header, std::uint32_t seed,
                        std::span<const protocol::ByteView> payload);

struct Entry {
  EntryHeader header;
  protocol::ByteView payload;
};
// The entry that `file`, the segment `number`, holds at `offset`. Whether it belongs there is the
// chain's business: see `previous`.
std::optional<Entry> read_entry(protocol::ByteView file, std::uint64_t number, std::uint64_t offset,
                                std::uint32_t seed);
// Whether bytes at `offset` look like the start of an entry of this segment, valid or not.
bool has_entry_mark(protocol::ByteView file, std::uint64_t number, std::uint64_t offset);

}  // namespace harrier::persistence
