// SPDX-License-Identifier: Apache-2.0
//
// What is found out about a journal without opening it: its entries, and where it ends while
// somebody appends to it. And how one goes on that was left out of a copy.

#include <map>

#include "persistence/journal_end.hpp"
#include "persistence/journal_replay.hpp"
#include "tests/unit/persistence/journal_fixture.hpp"

namespace harrier::persistence_tests {
namespace {

class JournalLookTest : public JournalTest {
 protected:
  JournalPosition end() const {
    JournalPosition found = 0;
    EXPECT_EQ(last_entry_end(options_.directory, found), Status());
    return found;
  }
  std::map<std::string, FileBytes> files() const {
    std::map<std::string, FileBytes> found;
    for (const std::string& name : names()) found[name] = file_bytes(directory_.path() / name);
    return found;
  }
};

TEST_F(JournalLookTest, TheEndIsBehindTheLastEntry) {
  EXPECT_EQ(end(), 0u);
  reopen();
  EXPECT_EQ(end(), 0u);  // a segment without an entry
  for (int i = 0; i < 20; ++i) {
    append("entry" + std::to_string(i));
    EXPECT_EQ(end(), journal_->end()) << i;
    if (i % 3 == 0) {
      ASSERT_EQ(journal_->prepare(), Status());  // a file for later has no end
    }
    EXPECT_EQ(end(), journal_->end()) << i;
  }
  append(std::string(kSegmentPages * kPage * 2, 'L'));
  EXPECT_EQ(end(), journal_->end());
}

TEST_F(JournalLookTest, StartsWithoutEntriesDoNotMoveIt) {
  reopen();
  fill("a", 10);
  const JournalPosition last = journal_->end();
  for (int start = 0; start < 4; ++start) {
    reopen(last);
    EXPECT_GT(journal_->end(), last);
    EXPECT_EQ(end(), last) << start;
  }
  append("b");
  EXPECT_EQ(end(), journal_->end());
}

TEST_F(JournalLookTest, ReleasedSegmentsAreNotTheEnd) {
  reopen();
  for (int round = 0; round < 6; ++round) {
    fill("round" + std::to_string(round) + "-", 8);
    ASSERT_EQ(journal_->release(journal_->end()), Status());
    ASSERT_EQ(journal_->prepare(), Status());
    EXPECT_EQ(end(), journal_->end());
  }
  // All that is left is a segment without entries: a checkpoint has covered what was before.
  const JournalPosition last = journal_->end();
  reopen(last);
  ASSERT_EQ(journal_->release(journal_->end()), Status());
  EXPECT_LE(end(), last);
}

TEST_F(JournalLookTest, AnEntryThatIsBeingWrittenDoesNotCount) {
  reopen();
  fill("a", 3);
  const JournalPosition before = journal_->end();
  const JournalPosition at = append("half");
  damage(segment_of(at), offset_of(at));
  EXPECT_EQ(end(), before);
}

TEST_F(JournalLookTest, ReadingGivesWhatAStartWouldAndChangesNothing) {
  reopen();
  const std::vector<std::string> written = fill("entry", 20);
  append("torn");
  const JournalPosition torn_at = journal_->end();
  journal_.reset();
  damage(segment_of(torn_at), offset_of(torn_at) - kPage + kEntryHeaderBytes);
  const auto before = files();
  std::vector<std::string> found;
  const auto visit = [&found](JournalPosition, ByteView payload) {
    found.emplace_back(protocol::as_text(payload));
    return Status();
  };
  ReplayedJournal journal;
  Replay report;
  ASSERT_EQ(read_journal(options_, 0, visit, journal, report), Status());
  EXPECT_EQ(files(), before);
  EXPECT_EQ(found, written);
  EXPECT_TRUE(report.torn.has_value());
  reopen();
  EXPECT_EQ(seen_, written);
  EXPECT_EQ(replay_.end, report.end);
}

TEST_F(JournalLookTest, ACopyWithoutItsJournalGoesOnAboveIt) {
  const JournalPosition from = journal_position(7, 3 * kPage);
  EXPECT_FALSE(open(from).ok());
  options_.may_be_missing = true;
  reopen(from);
  EXPECT_GT(journal_->end(), from);
  reopen(from);  // a crash before the image said which journal it has
  const std::vector<std::string> written = fill("entry", 10);
  options_.may_be_missing = false;
  reopen(from);
  EXPECT_EQ(seen_, written);
}

}  // namespace
}  // namespace harrier::persistence_tests
