// SPDX-License-Identifier: Apache-2.0
//
// What a crash or a broken disk may leave behind, and what the next start makes of it.
#include "persistence/journal.hpp"
#include "tests/unit/persistence/journal_fixture.hpp"

namespace harrier::persistence_tests {
namespace {

using Texts = std::vector<std::string>;

class JournalDamageTest : public JournalTest {
 protected:
  void expect_damage(const Status& status, const std::string& what) {
    EXPECT_FALSE(status.ok());
    EXPECT_NE(status.error().find(what), std::string::npos) << status.error();
    EXPECT_NE(status.error().find("restore"), std::string::npos) << status.error();
    EXPECT_EQ(journal_, nullptr);
  }
  void zero(std::uint64_t number, std::uint64_t offset, std::uint64_t size) const {
    FileBytes bytes = file_bytes(path(number));
    ASSERT_LE(offset + size, bytes.size());
    std::fill_n(bytes.begin() + static_cast<std::ptrdiff_t>(offset), size, std::uint8_t{0});
    set_file_bytes(path(number), bytes);
  }
  std::string at(std::uint64_t number, std::uint64_t offset) const {
    return path(number).string() + ", offset " + std::to_string(offset);
  }
};

// An entry of four pages that a power loss wrote in part: each page missing, in turn; then cut off.
TEST_F(JournalDamageTest, TornTailAtEveryPage) {
  options_.segment_bytes = 16 * kPage;
  const std::string big(3 * kPage + 100, 'b');
  for (std::uint64_t page = 0; page < 8; ++page) {
    std::filesystem::remove_all(directory_.path());
    std::filesystem::create_directory(directory_.path());
    reopen();
    append_flushed("kept");
    append(big);
    journal_.reset();
    if (page < 4) {
      zero(1, (2 + page) * kPage, page < 3 ? kPage : 100);
    } else {
      std::filesystem::resize_file(path(1), (page - 2) * kPage);
    }
    reopen();
    EXPECT_EQ(seen_, Texts{"kept"}) << page;
    // Nothing tells an entry whose first page is missing from the end of the journal.
    EXPECT_EQ(replay_.torn.has_value(), page != 0 && page != 4) << page;
    append_flushed("new");
    reopen();
    EXPECT_EQ(seen_, (Texts{"kept", "new"})) << page;
  }
}

TEST_F(JournalDamageTest, AGroupThatWasTornInTheMiddleEndsThere) {
  reopen();
  append_flushed("kept");
  append("torn");
  append("written, but behind a torn one");
  journal_.reset();
  damage(1, 2 * kPage + 33);
  reopen();
  EXPECT_EQ(seen_, Texts{"kept"});
  EXPECT_EQ(replay_.torn, at(1, 2 * kPage));
}

// The torn tail of one life must not come back when the entry before it is repaired by chance, or
// because the next life's entries make it look complete.
TEST_F(JournalDamageTest, ATornTailDoesNotComeBackToLife) {
  reopen();
  append_flushed("kept");
  append("torn");
  append("behind");
  journal_.reset();
  const FileBytes whole = file_bytes(path(1));
  damage(1, 2 * kPage + 33);
  reopen();
  Texts all{"kept"};
  for (const auto& text : fill("second life ", 10)) all.push_back(text);
  journal_.reset();
  set_file_bytes(path(1), whole);
  for (int i = 0; i < 3; ++i) {
    reopen();
    EXPECT_EQ(seen_, all);
  }
}

TEST_F(JournalDamageTest, CrashesOneAfterTheOtherLeaveNoDoubt) {
  Texts all;
  for (int life = 0; life < 5; ++life) {
    reopen();
    EXPECT_EQ(seen_, all) << life;
    const std::uint64_t number = segment_of(journal_->end());
    const std::string name = "life " + std::to_string(life);
    append_flushed(name);
    all.push_back(name);
    append("torn");
    journal_.reset();
    damage(number, 2 * kPage + 33);
  }
}

// The group's first entry is torn, and it goes on in the next segment, which is whole.
TEST_F(JournalDamageTest, AGroupOverTwoSegmentsIsTornAsOne) {
  reopen();
  Texts all = fill("x", 6);
  append("torn");
  append("in the next segment");
  journal_.reset();
  damage(1, 7 * kPage + 33);
  for (int i = 0; i < 3; ++i) {
    reopen();
    EXPECT_EQ(seen_, all) << i;
    all.push_back("life " + std::to_string(i));
    append_flushed(all.back());
  }
}

TEST_F(JournalDamageTest, ASegmentWhoseHeaderWasNotWrittenIsNotBegun) {
  reopen();
  const Texts all = fill("x", 7);
  append("in the next segment");
  journal_.reset();
  zero(2, 0, kPage);
  reopen();
  EXPECT_EQ(seen_, all);
}

TEST_F(JournalDamageTest, APreparedSegmentIsNotBegun) {
  reopen();
  ASSERT_EQ(journal_->prepare(), Status());
  const Texts all = fill("x", 3);
  ASSERT_EQ(journal_->prepare(), Status());
  reopen();
  EXPECT_EQ(seen_, all);
  EXPECT_FALSE(replay_.torn);
}

TEST_F(JournalDamageTest, AFlippedBitInTheLastEntryIsATornTail) {
  reopen();
  fill("x", 3);
  journal_.reset();
  damage(1, 3 * kPage + 32);
  reopen();
  EXPECT_EQ(seen_, (Texts{"x0", "x1"}));
  EXPECT_EQ(replay_.torn, at(1, 3 * kPage));
}

TEST_F(JournalDamageTest, AFlippedBitInAConfirmedEntryIsAnError) {
  for (const std::uint64_t within : {0U, 4U, 8U, 12U, 16U, 24U, 32U}) {
    std::filesystem::remove_all(directory_.path());
    std::filesystem::create_directory(directory_.path());
    reopen();
    fill("x", 4);
    journal_.reset();
    damage(1, 2 * kPage + within);
    expect_damage(open(), at(1, 2 * kPage));
  }
}

TEST_F(JournalDamageTest, AFlippedBitSegmentsBehindIsAnError) {
  reopen();
  fill("x", 20);
  const FileBytes whole = file_bytes(path(1));
  journal_.reset();
  for (std::uint64_t page = 1; page < kSegmentPages; ++page) {
    damage(1, page * kPage + 33);
    expect_damage(open(), at(1, page * kPage));
    set_file_bytes(path(1), whole);
  }
  reopen();
  EXPECT_EQ(seen_.size(), 20U);
}

// A clean start is proof enough, even if nothing was written since.
TEST_F(JournalDamageTest, WhatAStartHasSeenIsConfirmed) {
  reopen();
  fill("x", 2);
  reopen();
  journal_.reset();
  damage(1, 2 * kPage + 33);
  expect_damage(open(), at(1, 2 * kPage));
}

TEST_F(JournalDamageTest, DamageBeforeTheStartingPositionIsNobodysBusiness) {
  reopen();
  fill("x", 2);
  const JournalPosition from = journal_->end();
  append_flushed("y");
  journal_.reset();
  damage(1, kPage + 33);
  reopen(from);
  EXPECT_EQ(seen_, Texts{"y"});
}

TEST_F(JournalDamageTest, ATruncatedFileIsAnErrorWhereItWasConfirmed) {
  reopen();
  fill("x", 10);
  const JournalPosition from = journal_->end();
  fill("y", 2);
  journal_.reset();
  std::filesystem::resize_file(path(1), 4 * kPage);
  expect_damage(open(), at(1, 4 * kPage));
  std::filesystem::resize_file(path(2), 2 * kPage);
  expect_damage(open(from), path(2).string());
}

TEST_F(JournalDamageTest, AMissingSegmentIsAnError) {
  reopen();
  fill("x", 25);
  const JournalPosition end = journal_->end();
  journal_.reset();
  for (const std::uint64_t number : {1U, 2U, 3U}) {
    const FileBytes whole = file_bytes(path(number));
    std::filesystem::remove(path(number));
    expect_damage(open(), path(number).string());
    set_file_bytes(path(number), whole);
  }
  std::filesystem::remove(path(4));
  expect_damage(open(end), path(4).string());
}

TEST_F(JournalDamageTest, ADamagedHeaderIsAnError) {
  reopen();
  fill("x", 25);
  journal_.reset();
  for (std::uint64_t number = 1; number <= 4; ++number) {
    const FileBytes whole = file_bytes(path(number));
    damage(number, 100);  // among the zeros: the checksum covers the page
    expect_damage(open(), path(number).string());
    set_file_bytes(path(number), whole);
  }
  reopen();
  EXPECT_EQ(seen_.size(), 25U);
}

TEST_F(JournalDamageTest, TheOnlyHeaderDamagedIsAnError) {
  reopen();
  append_flushed("x");
  journal_.reset();
  damage(1, 20);
  expect_damage(open(), path(1).string());
}

TEST_F(JournalDamageTest, ANewerVersionIsAnError) {
  reopen();
  append_flushed("x");
  journal_.reset();
  FileBytes bytes = file_bytes(path(1));
  bytes[15] = 2;
  set_file_bytes(path(1), bytes);
  const Status status = open();
  EXPECT_NE(status.error().find("newer version (format 2"), std::string::npos) << status.error();
}

TEST_F(JournalDamageTest, ASegmentOfAnotherJournalIsAnError) {
  reopen();
  fill("x", 10);
  journal_.reset();
  const FileBytes foreign = file_bytes(path(2));
  std::filesystem::remove_all(directory_.path());
  std::filesystem::create_directory(directory_.path());
  reopen();
  fill("y", 10);
  journal_.reset();
  set_file_bytes(path(2), foreign);
  expect_damage(open(), "another journal");
}

TEST_F(JournalDamageTest, EntriesOfAnotherJournalAreNotReplayed) {
  reopen();
  fill("x", 3);
  journal_.reset();
  const FileBytes foreign = file_bytes(path(1));
  std::filesystem::remove_all(directory_.path());
  std::filesystem::create_directory(directory_.path());
  reopen();
  append_flushed("y");
  journal_.reset();
  FileBytes mixed = file_bytes(path(1));
  mixed.resize(2 * kPage);
  mixed.insert(mixed.end(), foreign.begin() + 2 * kPage, foreign.end());
  set_file_bytes(path(1), mixed);
  reopen();
  EXPECT_EQ(seen_, Texts{"y"});
}

// The database is ahead of the journal: one of the two is not the one it was.
TEST_F(JournalDamageTest, APositionThatTheJournalNeverHadIsAnError) {
  reopen();
  fill("x", 3);
  expect_damage(open(journal_position(9, kPage)), path(9).string());
  std::filesystem::remove_all(directory_.path());
  std::filesystem::create_directory(directory_.path());
  expect_damage(open(journal_position(1, 2 * kPage)), path(1).string());
}

TEST_F(JournalDamageTest, AJournalWithoutItsDatabaseIsAnErrorOnceFilesAreGone) {
  options_.segments_kept = 0;
  reopen();
  fill("x", 20);
  ASSERT_EQ(journal_->release(journal_->end()), Status());
  expect_damage(open(0), "missing");
}

// Without flushes, power loss may take the segment that the database was saved at: no promise.
TEST_F(JournalDamageTest, LevelOsStartsWithWhatIsLeft) {
  options_.flush = false;
  reopen();
  fill("x", 10);
  const JournalPosition from = journal_->end();
  journal_.reset();
  zero(2, 0, 4 * kPage);
  reopen(from);
  EXPECT_TRUE(seen_.empty());
  append_flushed("y");
  reopen(from);
  EXPECT_EQ(seen_, Texts{"y"});
}

TEST_F(JournalDamageTest, LevelOsEndsAtTheFirstEntryThatIsLost) {
  options_.flush = false;
  reopen();
  fill("x", 10);
  journal_.reset();
  damage(1, 3 * kPage + 33);
  reopen();
  EXPECT_EQ(seen_, (Texts{"x0", "x1"}));
  EXPECT_EQ(replay_.torn, at(1, 3 * kPage));
}

TEST_F(JournalDamageTest, OtherFilesInTheDirectoryAreLeftAlone) {
  set_file_bytes(directory_.path() / "notes.txt", {'n'});
  set_file_bytes(directory_.path() / "1.journal", {'n'});
  reopen();
  append_flushed("x");
  reopen();
  EXPECT_EQ(seen_, Texts{"x"});
  EXPECT_TRUE(std::filesystem::exists(directory_.path() / "notes.txt"));
  EXPECT_TRUE(std::filesystem::exists(directory_.path() / "1.journal"));
}

}  // namespace
}  // namespace harrier::persistence_tests
