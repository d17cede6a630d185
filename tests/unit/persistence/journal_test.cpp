// SPDX-License-Identifier: Apache-2.0
#include "persistence/journal.hpp"

#include <sys/stat.h>

#include <atomic>
#include <thread>

#include "tests/unit/persistence/journal_fixture.hpp"

namespace harrier::persistence_tests {
namespace {

using Texts = std::vector<std::string>;

std::uint64_t blocks_of(const std::filesystem::path& path) {
  struct stat info {};
  EXPECT_EQ(::stat(path.c_str(), &info), 0);
  return static_cast<std::uint64_t>(info.st_size);
}

TEST_F(JournalTest, BeginsEmpty) {
  reopen();
  EXPECT_TRUE(seen_.empty());
  EXPECT_EQ(replay_.end, 0U);
  EXPECT_FALSE(replay_.torn);
  EXPECT_EQ(journal_->end(), journal_position(1, kPage));
  EXPECT_EQ(journal_->bytes_since(journal_->end()), 0U);
  struct stat info {};
  ASSERT_EQ(::stat(path(1).c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777U, 0640U);
}

TEST_F(JournalTest, AppendsPiecesAsOneEntryAndReplaysThem) {
  reopen();
  const std::string a = "one, ";
  const std::string b(10'000, 'x');
  const std::vector<ByteView> pieces{protocol::as_bytes(a), {}, protocol::as_bytes(b)};
  JournalPosition at = 0;
  ASSERT_EQ(journal_->append(pieces, at), Status());
  EXPECT_EQ(at, journal_position(1, kPage + kEntryHeaderBytes));
  const JournalPosition empty_at = append("");
  EXPECT_EQ(empty_at, journal_position(1, 4 * kPage + kEntryHeaderBytes));
  ASSERT_EQ(journal_->flush(), Status());
  reopen();
  EXPECT_EQ(seen_, (Texts{a + b, ""}));
  EXPECT_EQ(positions_, (std::vector{at, empty_at}));
  EXPECT_EQ(replay_.entries, 2U);
  EXPECT_EQ(replay_.bytes, a.size() + b.size());
}

TEST_F(JournalTest, OneWriteAndOneFlushPerEntry) {
  reopen();
  for (int i = 0; i < 3; ++i) {  // the second in the middle of a segment, all in the first one
    const int writes = files_.writes;
    const int data_syncs = files_.data_syncs;
    const int syncs = files_.syncs;
    append_flushed("x");
    EXPECT_EQ(files_.writes - writes, 1);
    EXPECT_EQ(files_.data_syncs - data_syncs, 1);
    EXPECT_EQ(files_.syncs - syncs, 0);
  }
  const int data_syncs = files_.data_syncs;
  ASSERT_EQ(journal_->flush(), Status());  // nothing to do
  EXPECT_EQ(files_.data_syncs, data_syncs);
  EXPECT_EQ(journal_->stats().flushes, 3U);
}

TEST_F(JournalTest, OneWriteAndOneFlushAlsoWhereAPreparedSegmentBegins) {
  reopen();
  for (int i = 0; i < 40; ++i) {
    ASSERT_EQ(journal_->prepare(), Status());
    const int writes = files_.writes;
    const int data_syncs = files_.data_syncs;
    const int syncs = files_.syncs;
    const int opens = files_.opens;
    append_flushed(std::to_string(i));
    EXPECT_EQ(files_.writes - writes, 1);
    EXPECT_EQ(files_.data_syncs - data_syncs, 1);
    EXPECT_EQ(files_.syncs - syncs, 0);
    EXPECT_EQ(files_.opens - opens, 0);
  }
  EXPECT_EQ(journal_->stats().grown, 1U);  // the one that open() began
}

TEST_F(JournalTest, WritesOnlyPayloadHeaderAndPadding) {
  reopen();
  append_flushed(std::string(100 * 1024 / 8, 'x'));
  const JournalStats stats = journal_->stats();
  EXPECT_EQ(stats.entries, 1U);
  EXPECT_EQ(stats.payload_bytes, 100U * 1024 / 8);
  EXPECT_EQ(stats.disk_bytes, 4 * kPage);
  EXPECT_EQ(journal_->bytes_since(journal_position(1, kPage)), 4 * kPage);
}

TEST_F(JournalTest, ReplaysOverSegmentsFromAnyPosition) {
  reopen();
  Texts all;
  std::vector<JournalPosition> ends{0};
  for (int i = 0; i < 20; ++i) {
    all.push_back("entry " + std::to_string(i));
    append_flushed(all.back());
    ends.push_back(journal_->end());
  }
  EXPECT_EQ(journal_->stats().segments, 3U);
  for (std::size_t i = 0; i < ends.size(); ++i) {
    reopen(ends[i]);
    EXPECT_EQ(seen_, Texts(all.begin() + static_cast<std::ptrdiff_t>(i), all.end())) << i;
    EXPECT_FALSE(replay_.torn);
  }
}

TEST_F(JournalTest, AnyPositionInAnEntryLeadsToTheNext) {
  reopen();
  const JournalPosition first = append("first");
  append_flushed("second");
  reopen(first + 5);
  EXPECT_EQ(seen_, Texts{"second"});
}

TEST_F(JournalTest, GoesOnAcrossManyStarts) {
  Texts all;
  for (int round = 0; round < 6; ++round) {
    reopen();
    EXPECT_EQ(seen_, all);
    for (const auto& text : fill(std::to_string(round) + ".", 5)) all.push_back(text);
  }
  reopen();
  EXPECT_EQ(seen_, all);
}

TEST_F(JournalTest, PositionsAscendAcrossStarts) {
  JournalPosition last = 0;
  for (int round = 0; round < 4; ++round) {
    reopen();
    for (int i = 0; i < 10; ++i) {
      const JournalPosition at = append_flushed("x");
      EXPECT_GT(at, last);
      last = at;
    }
  }
}

TEST_F(JournalTest, EndsOpenWithTheVisitorsError) {
  reopen();
  append_flushed("x");
  journal_.reset();
  Replay report;
  const auto refuse = [](JournalPosition, ByteView) { return Status::failed("not this one"); };
  EXPECT_EQ(Journal::open(options_, 0, refuse, journal_, report), Status::failed("not this one"));
  EXPECT_EQ(journal_, nullptr);
}

TEST_F(JournalTest, HugeEntryHasAFileOfItsOwnThatIsDeleted) {
  reopen();
  ASSERT_EQ(journal_->prepare(), Status());
  append_flushed("before");
  std::string huge(100'000, 'h');
  const JournalPosition at = append_flushed(huge);
  const std::uint64_t number = segment_of(at);
  EXPECT_EQ(std::filesystem::file_size(path(number)), kPage + whole_pages(huge.size() + 32));
  ASSERT_EQ(journal_->prepare(), Status());
  append_flushed("after");
  reopen();
  EXPECT_EQ(seen_, (Texts{"before", huge, "after"}));
  ASSERT_EQ(journal_->release(journal_->end()), Status());
  EXPECT_FALSE(std::filesystem::exists(path(number)));
}

TEST_F(JournalTest, RecyclesFilesWithoutGrowth) {
  options_.segments_kept = 2;
  reopen();
  const auto round = [this] {
    for (int i = 0; i < 7; ++i) {
      append_flushed(std::string(100, 'r'));
      ASSERT_EQ(journal_->prepare(), Status());
    }
    ASSERT_EQ(journal_->release(journal_->end()), Status());
  };
  for (int i = 0; i < 4; ++i) round();
  const JournalStats before = journal_->stats();
  const auto files = names().size();
  const int unlinks = files_.unlinks;
  for (int i = 0; i < 10; ++i) round();
  const JournalStats after = journal_->stats();
  EXPECT_EQ(after.grown, before.grown);
  EXPECT_EQ(after.segments - before.segments, 10U);
  EXPECT_EQ(after.recycled - before.recycled, 10U);
  EXPECT_EQ(names().size(), files);
  EXPECT_EQ(files_.unlinks, unlinks);
  for (const auto& name : names()) {
    EXPECT_EQ(blocks_of(directory_.path() / name), options_.segment_bytes);
  }
}

TEST_F(JournalTest, RecycledFilesAreWrittenInPlaceAlsoWithoutPreparation) {
  reopen();
  fill("a", 21);
  ASSERT_EQ(journal_->release(journal_->end()), Status());
  const auto files = names().size();
  fill("b", 7);
  EXPECT_EQ(names().size(), files);
  EXPECT_EQ(journal_->stats().recycled, 1U);
}

TEST_F(JournalTest, StaleContentOfRecycledFilesIsNotReplayed) {
  reopen();
  fill("old", 35);
  const JournalPosition from = journal_->end();
  ASSERT_EQ(journal_->release(from), Status());
  Texts written = fill("new", 10);  // in files that are full of old entries
  EXPECT_GT(journal_->stats().recycled, 0U);
  reopen(from);
  EXPECT_EQ(seen_, written);
  EXPECT_FALSE(replay_.torn);
}

TEST_F(JournalTest, KeepsNoMoreThanItIsTold) {
  options_.segments_kept = 1;
  reopen();
  fill("x", 70);
  EXPECT_EQ(names().size(), 10U);
  ASSERT_EQ(journal_->release(journal_->end()), Status());
  EXPECT_EQ(names().size(), 2U);
  EXPECT_EQ(journal_->bytes_since(0), 8 * kPage);
}

TEST_F(JournalTest, LeftoversOfTheRunBeforeAreUsedOrDeleted) {
  options_.segments_kept = 1;
  reopen();
  ASSERT_EQ(journal_->prepare(), Status());
  fill("x", 50);
  const JournalPosition from = journal_->end();
  reopen(from);                   // without release(): as after a crash behind a checkpoint
  EXPECT_EQ(names().size(), 3U);  // that of `from`, the new one, one kept
  EXPECT_EQ(journal_->stats().recycled, 1U);
}

TEST_F(JournalTest, ReadsWhatItHolds) {
  reopen();
  const JournalPosition old = append_flushed("from the run before");
  reopen();
  const JournalPosition at = append("0123456789");  // flushed or not
  JournalBytes bytes;
  ASSERT_EQ(journal_->read(at + 2, 5, bytes), Status());
  EXPECT_EQ(protocol::as_text(bytes.bytes), "23456");
  ASSERT_EQ(journal_->read(old, 8, bytes), Status());
  EXPECT_EQ(protocol::as_text(bytes.bytes), "from the");
  EXPECT_FALSE(journal_->read(at, 5000, bytes).ok());
  EXPECT_FALSE(journal_->read(journal_position(77, kPage), 1, bytes).ok());
}

TEST_F(JournalTest, PinsKeepBytesAsTheyAre) {
  reopen();
  const JournalPosition at = append_flushed("pinned");
  JournalBytes pinned;
  ASSERT_EQ(journal_->read(at, 6, pinned), Status());
  fill("x", 7);
  ASSERT_EQ(journal_->release(journal_->end()), Status());
  fill("y", 14);
  EXPECT_EQ(journal_->stats().recycled, 0U);
  EXPECT_TRUE(std::filesystem::exists(path(1)));
  EXPECT_EQ(protocol::as_text(pinned.bytes), "pinned");
  pinned.pin.reset();
  fill("z", 7);
  EXPECT_EQ(journal_->stats().recycled, 1U);
  EXPECT_FALSE(std::filesystem::exists(path(1)));
}

TEST_F(JournalTest, PinsOutliveDeletionAndTheJournal) {
  options_.segments_kept = 0;
  reopen();
  const JournalPosition at = append_flushed("pinned");
  JournalBytes pinned;
  ASSERT_EQ(journal_->read(at, 6, pinned), Status());
  fill("x", 7);
  ASSERT_EQ(journal_->release(journal_->end()), Status());
  EXPECT_FALSE(std::filesystem::exists(path(1)));
  journal_.reset();
  EXPECT_EQ(protocol::as_text(pinned.bytes), "pinned");
}

TEST_F(JournalTest, AFullDiskPasses) {
  reopen();
  append_flushed("before");
  for (const int error : {ENOSPC, EDQUOT}) {
    files_.write_error = error;
    files_.room = 5000;  // a part of the entry gets through
    const Status status = try_append(std::string(9000, 'f'));
    EXPECT_TRUE(status.is_full());
    EXPECT_NE(status.error().find(path(1).string()), std::string::npos) << status.error();
    EXPECT_EQ(journal_->flush(), Status());
  }
  files_.room.reset();
  files_.write_error = 0;
  append_flushed("after");
  reopen();
  EXPECT_EQ(seen_, (Texts{"before", "after"}));
  EXPECT_FALSE(replay_.torn);
}

TEST_F(JournalTest, AFullDiskPassesWhereASegmentBegins) {
  reopen();
  Texts all = fill("x", 7);
  files_.open_error = ENOSPC;
  EXPECT_TRUE(try_append("no file").is_full());
  files_.open_error = 0;
  files_.write_error = ENOSPC;
  files_.room = 6000;  // the header and a part of the entry
  EXPECT_TRUE(try_append(std::string(9000, 'f')).is_full());
  EXPECT_TRUE(try_append(std::string(40'000, 'h')).is_full());  // in another file of its own
  EXPECT_TRUE(journal_->prepare().is_full());
  EXPECT_EQ(journal_->flush(), Status());
  files_.room.reset();
  files_.write_error = 0;
  for (const auto& text : fill("y", 9)) all.push_back(text);
  reopen();
  EXPECT_EQ(seen_, all);
}

TEST_F(JournalTest, AFailedPreparationLeavesNoFile) {
  reopen();
  const auto before = names();
  files_.write_error = ENOSPC;
  files_.room = 3 * kPage;
  EXPECT_TRUE(journal_->prepare().is_full());
  EXPECT_EQ(names(), before);
  files_.room.reset();
  files_.write_error = 0;
  EXPECT_EQ(journal_->prepare(), Status());
}

TEST_F(JournalTest, AFailedWriteIsTerminal) {
  reopen();
  append_flushed("before");
  files_.write_error = EIO;
  const Status failure = try_append("lost");
  EXPECT_FALSE(failure.ok());
  EXPECT_FALSE(failure.is_full());
  EXPECT_NE(failure.error().find("Input/output error"), std::string::npos) << failure.error();
  files_.write_error = 0;
  EXPECT_EQ(try_append("more"), failure);
  EXPECT_EQ(journal_->flush(), failure);
}

TEST_F(JournalTest, AFailedFlushIsTerminalEvenOfAFullDisk) {
  for (const int error : {EIO, ENOSPC}) {
    reopen();
    append("x");
    files_.sync_error = error;
    const Status failure = journal_->flush();
    EXPECT_FALSE(failure.ok());
    EXPECT_FALSE(failure.is_full());
    files_.sync_error = 0;
    EXPECT_EQ(journal_->flush(), failure);
    EXPECT_EQ(try_append("more"), failure);
  }
}

TEST_F(JournalTest, ShortAndInterruptedWritesAreContinued) {
  reopen();
  files_.write_bytes_max = 1000;
  files_.interruptions = 3;
  const std::string text(9000, 's');
  append_flushed(text);
  EXPECT_EQ(files_.interruptions, 0);
  reopen();
  EXPECT_EQ(seen_, Texts{text});
}

TEST_F(JournalTest, ManyPiecesTakeSeveralCalls) {
  options_.segment_bytes = 16 * kPage;
  reopen();
  const std::string text = "abcdefghij";
  const std::vector<ByteView> pieces(3000, protocol::as_bytes(text));
  JournalPosition at = 0;
  const int writes = files_.writes;
  ASSERT_EQ(journal_->append(pieces, at), Status());
  EXPECT_EQ(files_.writes - writes, 3);
  ASSERT_EQ(journal_->flush(), Status());
  reopen();
  ASSERT_EQ(seen_.size(), 1U);
  EXPECT_EQ(seen_[0].size(), 30'000U);
  EXPECT_TRUE(seen_[0].ends_with("abcdefghij"));
}

TEST_F(JournalTest, LevelOsNeverFlushesEntries) {
  options_.flush = false;
  reopen();
  const int data_syncs = files_.data_syncs;
  const Texts all = fill("x", 20);
  ASSERT_EQ(journal_->prepare(), Status());
  EXPECT_EQ(files_.data_syncs, data_syncs);
  reopen();
  EXPECT_EQ(seen_, all);
}

TEST_F(JournalTest, RefusesSegmentSizesThatItCannotKeep) {
  for (const std::uint64_t bytes :
       {std::uint64_t{0}, kPage, kPage * 3 + 1, std::uint64_t{1} << 32}) {
    options_.segment_bytes = bytes;
    EXPECT_FALSE(open().ok()) << bytes;
  }
}

TEST_F(JournalTest, AnotherSegmentSizeIsNoObstacle) {
  reopen();
  Texts all = fill("x", 20);
  options_.segment_bytes = 4 * kPage;
  reopen();
  EXPECT_EQ(seen_, all);
  for (const auto& text : fill("y", 10)) all.push_back(text);
  options_.segment_bytes = 32 * kPage;
  reopen();
  EXPECT_EQ(seen_, all);
  ASSERT_EQ(journal_->release(journal_->end()), Status());
  ASSERT_EQ(journal_->prepare(), Status());
  EXPECT_EQ(std::filesystem::file_size(directory_.path() / names().back()), 32 * kPage);
}

TEST_F(JournalTest, NothingIsMadeReadyOnceItEnds) {
  reopen();
  append_flushed("x");
  const std::vector<std::string> before = names();
  journal_->end_preparing();
  ASSERT_EQ(journal_->prepare(), Status());
  EXPECT_EQ(names(), before);
  append_flushed("y");  // grows as it is written
  reopen();
  EXPECT_EQ(seen_, (Texts{"x", "y"}));
}

TEST_F(JournalTest, OtherThreadsPrepareReleaseAndRead) {
  options_.segments_kept = 2;
  reopen();
  std::atomic<JournalPosition> newest = append_flushed("entry 0");
  std::atomic<bool> done = false;
  std::atomic<int> failures = 0;
  std::thread preparer([&] {
    while (!done) {
      if (!journal_->prepare().ok() || !journal_->release(newest).ok()) ++failures;
    }
  });
  std::thread reader([&] {
    while (!done) {
      const JournalPosition at = newest;
      JournalBytes bytes;
      if (!journal_->read(at, 6, bytes).ok()) continue;  // released meanwhile
      if (protocol::as_text(bytes.bytes) != "entry ") ++failures;
      if (journal_->bytes_since(at) == 0) ++failures;
    }
  });
  for (int i = 0; i < 500; ++i) newest = append_flushed("entry " + std::to_string(i));
  done = true;
  preparer.join();
  reader.join();
  EXPECT_EQ(failures, 0);
  EXPECT_LE(names().size(), 8U);
  reopen(newest);
  EXPECT_TRUE(seen_.empty());
}

}  // namespace
}  // namespace harrier::persistence_tests
