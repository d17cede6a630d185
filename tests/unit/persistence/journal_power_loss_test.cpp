// SPDX-License-Identifier: Apache-2.0
//
// Many short lives of a journal, each ended by kill -9 or power loss at any moment, in a seeded
// order, with an oracle that knows what was flushed: all of that comes back, in order, and behind
// it nothing but a part of what was appended and not flushed; what has come back once stays.
#include <random>

#include "persistence/journal.hpp"
#include "tests/unit/persistence/journal_fixture.hpp"
#include "tests/unit/persistence/power_loss.hpp"

namespace harrier::persistence_tests {
namespace {

struct Written {
  std::string payload;
  JournalPosition at = 0;
};

class Lives {
 public:
  Lives(std::uint64_t seed, bool flush)
      : random_(seed), files_(directory_.path(), seed), flush_(flush) {
    options_.directory = directory_.path().string();
    options_.segment_bytes = 6 * kJournalPageBytes;
    options_.segments_kept = 2;
    options_.flush = flush;
    options_.files = &files_;
  }

  void live_once() {
    start();
    if (::testing::Test::HasFatalFailure()) return;
    const auto steps = random_() % 40;
    for (std::uint64_t i = 0; i < steps; ++i) step();
    journal_.reset();
    if (random_() % 2 == 0) {
      files_.lose_power();
      powered_ = false;
    }
  }
  std::uint64_t entries_replayed() const { return entries_replayed_; }
  std::uint64_t torn() const { return torn_; }

 private:
  void start() {
    std::vector<Written> seen;
    Replay report;
    const auto visit = [&](JournalPosition at, ByteView payload) {
      seen.push_back({std::string(protocol::as_text(payload)), at});
      return Status();
    };
    ASSERT_EQ(Journal::open(options_, from_, visit, journal_, report), Status());
    // Level os promises what was written to those who keep their power.
    const std::size_t promised = powered_ && !flush_ ? log_.size() : flushed_;
    ASSERT_GE(seen.size(), promised);
    ASSERT_LE(seen.size(), log_.size());
    for (std::size_t i = 0; i < seen.size(); ++i) {
      ASSERT_TRUE(seen[i].payload == log_[i].payload) << seen[i].payload.substr(0, 8);
      ASSERT_EQ(seen[i].at, log_[i].at);
    }
    log_.resize(seen.size());
    flushed_ = flush_ ? log_.size() : 0;
    entries_replayed_ += seen.size();
    if (report.torn) ++torn_;
    powered_ = true;
  }

  void step() {
    const auto what = random_() % 16;
    if (what < 9) {
      append();
    } else if (what < 13) {
      ASSERT_EQ(journal_->flush(), Status());
      if (flush_) flushed_ = log_.size();
    } else if (what < 15) {
      ASSERT_EQ(journal_->prepare(), Status());
    } else {
      checkpoint();
    }
  }

  void append() {
    Written entry;
    const std::uint64_t size = random_() % 20 == 0 ? 40'000 : random_() % 9'000;
    entry.payload = std::to_string(++count_) + ' ' + std::string(size, 'p');
    const ByteView piece = protocol::as_bytes(entry.payload);
    ASSERT_EQ(journal_->append({&piece, 1}, entry.at), Status());
    log_.push_back(std::move(entry));
  }

  // The database is saved up to somewhere in what was flushed, and segments are handed back. Not
  // without flushes: then the database may be ahead of what power loss leaves of the journal.
  void checkpoint() {
    if (flushed_ == 0) return;
    const std::size_t saved = 1 + random_() % flushed_;
    from_ = log_[saved - 1].at + log_[saved - 1].payload.size();
    log_.erase(log_.begin(), log_.begin() + static_cast<std::ptrdiff_t>(saved));
    flushed_ -= saved;
    ASSERT_EQ(journal_->release(from_), Status());
  }

  TemporaryDirectory directory_;
  std::mt19937_64 random_;
  PowerLossFiles files_;
  const bool flush_;
  JournalOptions options_;
  std::unique_ptr<Journal> journal_;
  std::vector<Written> log_;  // from from_ on
  std::size_t flushed_ = 0;   // of them
  JournalPosition from_ = 0;
  std::uint64_t count_ = 0;
  std::uint64_t entries_replayed_ = 0;
  std::uint64_t torn_ = 0;
  bool powered_ = true;
};

void run(bool flush) {
  std::uint64_t replayed = 0;
  std::uint64_t torn = 0;
  for (std::uint64_t seed = 1; seed <= 15; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    Lives lives(seed, flush);
    for (int life = 0; life < 25; ++life) {
      SCOPED_TRACE("life " + std::to_string(life));
      lives.live_once();
      if (::testing::Test::HasFatalFailure()) return;
    }
    replayed += lives.entries_replayed();
    torn += lives.torn();
  }
  // The lives have seen what they are about.
  EXPECT_GT(replayed, 1000U);
  EXPECT_GT(torn, 30U);
}

TEST(JournalPowerLoss, NothingFlushedIsLostAndNothingComesBack) { run(true); }
TEST(JournalPowerLoss, LevelOsKeepsWhatWasWrittenWhilePowerLasts) { run(false); }

}  // namespace
}  // namespace harrier::persistence_tests
