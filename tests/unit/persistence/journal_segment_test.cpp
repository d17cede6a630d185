// SPDX-License-Identifier: Apache-2.0
#include "persistence/journal_segment.hpp"

#include <limits>
#include <numeric>

#include "persistence/crc32c.hpp"
#include "tests/unit/persistence/journal_fixture.hpp"

namespace harrier::persistence_tests {
namespace {

constexpr std::uint64_t kPage = kJournalPageBytes;

// Written down once, from the grammar, by another implementation. Zeros up to the page's end.
constexpr std::string_view kGoldenHeader =
    "484152524a524e4c"                  // HARRJRNL
    "3129992e"                          // crc
    "00000001"                          // version
    "0000000000000002"                  // number
    "0000000000004000"                  // capacity
    "0000000100003000"                  // follows
    "0000000100002000"                  // flushed
    "101112131415161718191a1b1c1d1e1f"  // id
    ;
constexpr std::string_view kGoldenEntries[] = {
    "484a4531"           // HJE1
    "913206b1"           // crc
    "00000005"           // size
    "3129992e"           // previous: the header's
    "0000000200001000"   // position
    "0000000100003000"   // flushed
    "6669727374",        // first
    "484a4531"           //
    "921b8268"           //
    "00000000"           //
    "913206b1"           // previous: the entry's
    "0000000200002000"   //
    "0000000200002000",  //
};

FileBytes page_of(std::string_view hex) {
  FileBytes bytes;
  for (std::size_t i = 0; i < hex.size(); i += 2) {
    bytes.push_back(
        static_cast<std::uint8_t>(std::stoi(std::string(hex.substr(i, 2)), nullptr, 16)));
  }
  bytes.resize(kPage);
  return bytes;
}

FileBytes golden_file() {
  FileBytes file = page_of(kGoldenHeader);
  for (const auto hex : kGoldenEntries) {
    const FileBytes page = page_of(hex);
    file.insert(file.end(), page.begin(), page.end());
  }
  return file;
}

SegmentHeader golden_header() {
  SegmentHeader header;
  header.number = 2;
  header.capacity = 4 * kPage;
  header.follows = journal_position(1, 3 * kPage);
  header.flushed = journal_position(1, 2 * kPage);
  std::iota(header.id.begin(), header.id.end(), std::uint8_t{0x10});
  return header;
}

TEST(JournalSegment, BytesAreFixed) {
  SegmentHeader header = golden_header();
  const JournalPage page = encode(header);
  FileBytes file(page.begin(), page.end());
  const std::uint32_t seed = crc32c(header.id);
  EntryHeader first{0, 5, header.crc, journal_position(2, kPage), header.follows};
  const ByteView pieces[] = {protocol::as_bytes("fi"), protocol::as_bytes("rst")};
  const EntryHeaderBytes first_bytes = encode(first, seed, pieces);
  file.insert(file.end(), first_bytes.begin(), first_bytes.end());
  file.insert(file.end(), {'f', 'i', 'r', 's', 't'});
  file.resize(2 * kPage);
  EntryHeader second{0, 0, first.crc, journal_position(2, 2 * kPage),
                     journal_position(2, 2 * kPage)};
  const EntryHeaderBytes second_bytes = encode(second, seed, {});
  file.insert(file.end(), second_bytes.begin(), second_bytes.end());
  file.resize(3 * kPage);
  EXPECT_EQ(file, golden_file());
}

TEST(JournalSegment, FixedBytesAreRead) {
  const FileBytes file = golden_file();
  SegmentHeader header = golden_header();
  encode(header);  // sets its crc
  ASSERT_EQ(decode_segment_header(file), header);
  const std::uint32_t seed = crc32c(header.id);
  const auto entry = read_entry(file, 2, kPage, seed);
  ASSERT_TRUE(entry);
  EXPECT_EQ(protocol::as_text(entry->payload), "first");
  EXPECT_EQ(entry->header.previous, header.crc);
  EXPECT_EQ(entry->header.flushed, journal_position(1, 3 * kPage));
  EXPECT_TRUE(read_entry(file, 2, 2 * kPage, seed));
  EXPECT_FALSE(read_entry(file, 3, kPage, seed));  // another segment's, kept in a recycled file
  EXPECT_FALSE(read_entry(file, 2, kPage, seed + 1));
  EXPECT_FALSE(read_entry(file, 2, 3 * kPage, seed));
  EXPECT_FALSE(read_entry(file, 2, std::numeric_limits<std::uint64_t>::max(), seed));
}

class JournalGoldenTest : public JournalTest {};

TEST_F(JournalGoldenTest, FixedBytesAreReplayed) {
  set_file_bytes(path(2), golden_file());
  reopen(journal_position(1, 3 * kPage));  // where it follows: segment 1 is not needed any more
  EXPECT_EQ(seen_, (std::vector<std::string>{"first", ""}));
  EXPECT_EQ(replay_.end, journal_position(2, 3 * kPage));
  EXPECT_EQ(journal_->id(), golden_header().id);
  append_flushed("more");
  reopen(journal_position(1, 3 * kPage));
  EXPECT_EQ(seen_, (std::vector<std::string>{"first", "", "more"}));
}

TEST(JournalSegment, EveryFlippedBitIsNoticed) {
  const FileBytes golden = golden_file();
  const std::uint32_t seed = crc32c(golden_header().id);
  for (std::size_t bit = 0; bit < 8 * (kPage + kEntryHeaderBytes + 5); ++bit) {
    if (bit == 8 * 160) bit = 8 * kPage;  // the zeros between are all alike
    FileBytes file = golden;
    file[bit / 8] ^= static_cast<std::uint8_t>(1U << (bit % 8));
    EXPECT_EQ(decode_segment_header(file).has_value(), bit >= 8 * kPage) << bit;
    EXPECT_EQ(read_entry(file, 2, kPage, seed).has_value(), bit < 8 * kPage) << bit;
  }
}

TEST(JournalSegment, ShortFilesAreNoSegments) {
  FileBytes file = golden_file();
  const std::uint32_t seed = crc32c(golden_header().id);
  file.resize(kPage + kEntryHeaderBytes + 4);
  EXPECT_FALSE(read_entry(file, 2, kPage, seed));
  file.resize(kPage - 1);
  EXPECT_FALSE(decode_segment_header(file));
  EXPECT_EQ(segment_version(file), 1U);
  file.resize(3);
  EXPECT_EQ(segment_version(file), 0U);
}

TEST(JournalSegment, NamesAreNumbers) {
  EXPECT_EQ(segment_name(0x1f), "000000000000001f.journal");
  EXPECT_EQ(segment_number("000000000000001f.journal"), 0x1fU);
  EXPECT_EQ(segment_number(segment_name(0x123456789abcdef0)), 0x123456789abcdef0U);
  for (const char* name : {"", "1.journal", "000000000000001F.journal", "000000000000001f.journax",
                           "000000000000001f.journal~", "-00000000000001f.journal"}) {
    EXPECT_FALSE(segment_number(name)) << name;
  }
}

}  // namespace
}  // namespace harrier::persistence_tests
