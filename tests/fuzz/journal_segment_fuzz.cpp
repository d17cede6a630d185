// SPDX-License-Identifier: Apache-2.0
//
// A segment file of the journal made of the input, read at every page: nothing outside of it is
// touched, and whatever is taken for a header or an entry encodes to the bytes that it was read
// from. Most of a file is zeros and checksums, which no mutation would get right, so the input is
// a recipe, one page for each of
//
//   kind:u8 size:u8 byte{size}     kind & 1: its checksum is set right; & 2: so is its position;
//                                  & 4: it is a header; & 8: the page is cut off behind it
#include "persistence/journal_segment.hpp"

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <span>
#include <vector>

#include "persistence/crc32c.hpp"

namespace {

using namespace harrier::persistence;
using harrier::protocol::ByteReader;
using harrier::protocol::ByteView;

constexpr std::uint64_t kNumber = 7;
constexpr std::uint32_t kSeed = 0x5eed;
constexpr std::size_t kPagesMax = 16;

void require(bool condition) {
  if (!condition) std::abort();
}

void set_right(std::vector<std::uint8_t>& file, std::size_t page, std::uint8_t kind) {
  std::uint8_t* const start = file.data() + page;
  if ((kind & 4) != 0) {
    const ByteView summed = ByteView(file).subspan(page + 12, kJournalPageBytes - 12);
    if ((kind & 1) != 0) harrier::protocol::put_u32(start + 8, crc32c(summed));
    return;
  }
  if ((kind & 2) != 0) harrier::protocol::put_u64(start + 16, journal_position(kNumber, page));
  if ((kind & 1) == 0) return;
  ByteReader reader(ByteView(file).subspan(page + 8));
  const std::size_t size = reader.u32();
  const std::size_t summed = std::min(file.size() - page - 8, kEntryHeaderBytes - 8 + size);
  harrier::protocol::put_u32(start + 4, crc32c(ByteView(file).subspan(page + 8, summed), kSeed));
}

void check_header(ByteView file) {
  auto header = decode_segment_header(file);
  require(!header || segment_version(file) == kJournalVersion);
  if (!header) return;
  const JournalPage page = encode(*header);
  // What the header does not name is zero when we write it, and anything with the right checksum
  // when we read it.
  require(std::equal(page.begin() + 12, page.begin() + 64, file.begin() + 12));
}

void check_entry(ByteView file, std::uint64_t offset) {
  const auto entry = read_entry(file, kNumber, offset, kSeed);
  require(!entry || has_entry_mark(file, kNumber, offset));
  if (!entry) return;
  require(entry->header.size == entry->payload.size());
  require(entry->payload.data() == file.data() + offset + kEntryHeaderBytes);
  require(offset + kEntryHeaderBytes + entry->payload.size() <= file.size());
  EntryHeader header = entry->header;
  const EntryHeaderBytes bytes = encode(header, kSeed, {&entry->payload, 1});
  require(std::equal(bytes.begin(), bytes.end(), file.subspan(offset).begin()));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  ByteReader input(ByteView(data, size));
  std::vector<std::uint8_t> file;
  std::vector<std::pair<std::size_t, std::uint8_t>> pages;
  while (input.remaining() > 0 && pages.size() < kPagesMax) {
    const std::uint8_t kind = input.u8();
    const ByteView bytes = input.raw(input.u8());
    pages.emplace_back(file.size(), kind);
    file.insert(file.end(), bytes.begin(), bytes.end());
    if ((kind & 8) != 0) break;
    file.resize(whole_pages(file.size() + 1));
  }
  for (const auto& [page, kind] : pages) {
    if (file.size() - page >= kJournalPageBytes) set_right(file, page, kind);
  }
  // Exactly as large as it is, for the address sanitizer.
  file.shrink_to_fit();
  check_header(file);
  for (std::uint64_t offset = 0; offset <= file.size(); offset += kJournalPageBytes) {
    check_entry(file, offset);
  }
  return 0;
}
