// SPDX-License-Identifier: Apache-2.0
//
// What durability costs, in flushes, bytes and rows: the promises of docs/architecture.md and
// docs/decisions that a change could break without breaking anything else. Counts, never times.
#include <algorithm>
#include <fstream>
#include <numeric>
#include <string>

#include "tests/unit/persistence/store_fixture.hpp"

namespace harrier::persistence_tests {
namespace {

class StoreCountsTest : public StoreTest {};

constexpr std::size_t kKiB = 1024;

std::uint64_t content_bytes(const WriteBatch& batch) {
  std::uint64_t bytes = 0;
  for (const Record& record : batch.records()) {
    if (const auto* const enqueue = std::get_if<Enqueue>(&record)) {
      bytes += content_size(*enqueue->message);
    }
  }
  return bytes;
}

// Of the journal's files, what counts as this process's memory.
std::uint64_t journal_bytes_resident() {
  std::ifstream maps("/proc/self/smaps");
  EXPECT_TRUE(maps.is_open());
  bool in_journal = false;
  std::uint64_t kilobytes = 0;
  for (std::string line; std::getline(maps, line);) {
    if (in_journal && line.starts_with("Rss:")) {
      kilobytes += std::stoull(line.substr(4));
      in_journal = false;
    } else if (line.ends_with(".journal")) {
      in_journal = true;
    }
  }
  return kilobytes * kKiB;
}

TEST_F(StoreCountsTest, OneFlushMakesAllBatchesOfAGroupDurable) {
  std::vector<WriteBatch> batches;
  for (Seq seq = 1; seq <= 200; ++seq) batches.push_back(enqueues(seq, 1, 16));
  for (const Status& status : commit_as_one_group(std::move(batches))) EXPECT_EQ(status, Status());
  const GroupCost cost = cost_of_group();
  EXPECT_EQ(cost.entries, 1u);
  EXPECT_EQ(cost.flushes, 1u);
  EXPECT_EQ(cost.syncs, 1);
  EXPECT_EQ(held().size(), 200u);
}

TEST_F(StoreCountsTest, AtRestEachBatchTakesOneWriteAndOneFlush) {
  commit_ok(enqueues(1, 1, 16));
  const int writes = files_.entry_writes();
  const int syncs = files_.commit_syncs();
  for (Seq seq = 2; seq <= 11; ++seq) commit_ok(enqueues(seq, 1, 16));
  EXPECT_EQ(files_.entry_writes() - writes, 10);
  EXPECT_EQ(files_.commit_syncs() - syncs, 10);
}

TEST_F(StoreCountsTest, WhatIsWrittenTakesNoMemoryUntilItIsRead) {
  const std::uint64_t before = journal_bytes_resident();
  for (Seq seq = 1; seq <= 100; ++seq) commit_ok(enqueues(seq, 1, 16));
  EXPECT_EQ(journal_bytes_resident(), before);
  EXPECT_EQ(held().size(), 100u);
  EXPECT_GT(journal_bytes_resident(), before);
}

TEST_F(StoreCountsTest, WhatIsSettledWithinAGroupIsNeitherWrittenNorFlushed) {
  std::vector<WriteBatch> batches;
  batches.push_back(enqueues(1, 50, kKiB));
  batches.push_back(settles(1, 30));
  batches.push_back(settles(31, 20));
  for (const Status& status : commit_as_one_group(std::move(batches))) EXPECT_EQ(status, Status());
  const GroupCost cost = cost_of_group();
  EXPECT_EQ(cost.entries, 0u);
  EXPECT_EQ(cost.flushes, 0u);
  EXPECT_EQ(cost.disk_bytes, 0u);
  EXPECT_EQ(cost.syncs, 0);
  EXPECT_TRUE(held().empty());
}

TEST_F(StoreCountsTest, OnlyWhatIsLeftOfAGroupIsWritten) {
  std::vector<WriteBatch> batches;
  batches.push_back(enqueues(1, 100, kKiB));
  batches.push_back(settles(2, 99));
  for (const Status& status : commit_as_one_group(std::move(batches))) EXPECT_EQ(status, Status());
  EXPECT_EQ(cost_of_group().flushes, 1u);
  EXPECT_LT(cost_of_group().payload_bytes, 2 * kKiB);
  EXPECT_EQ(held(), std::vector<Seq>{1});
}

TEST_F(StoreCountsTest, FlushesDoNotDependOnTheNumberOfQueues) {
  GroupCost costs[2];
  const std::uint64_t queue_counts[2] = {1, 1'000};
  for (int i = 0; i < 2; ++i) {
    WriteBatch batch;
    for (std::uint64_t n = 0; n < 1'000; ++n) {
      const QueueId queue{1'000 * static_cast<std::uint64_t>(i + 1) + n % queue_counts[i]};
      batch.add(enqueue(n + 1, message(64), queue));
    }
    std::vector<WriteBatch> batches;
    batches.push_back(std::move(batch));
    for (const Status& status : commit_as_one_group(std::move(batches))) {
      EXPECT_EQ(status, Status());
    }
    costs[i] = cost_of_group();
  }
  EXPECT_EQ(costs[0].flushes, 1u);
  EXPECT_EQ(costs[1].flushes, 1u);
  EXPECT_EQ(costs[0].syncs, costs[1].syncs);
  EXPECT_EQ(costs[0].disk_bytes, costs[1].disk_bytes);
}

TEST_F(StoreCountsTest, TheJournalTakesATenthMoreThanTheMessagesAtMost) {
  Seq next = 1;
  for (const std::size_t count : {100u, 250u, 400u}) {
    std::vector<WriteBatch> batches;
    batches.push_back(enqueues(next, count, kKiB));
    next += count;
    const std::uint64_t bytes = content_bytes(batches.front());
    for (const Status& status : commit_as_one_group(std::move(batches))) {
      EXPECT_EQ(status, Status());
    }
    const GroupCost cost = cost_of_group();
    EXPECT_GE(cost.disk_bytes, bytes) << count;
    EXPECT_LE(10 * cost.disk_bytes, 11 * bytes) << count;  // headers and padding included
  }
}

TEST_F(StoreCountsTest, WhatIsConsumedBetweenCheckpointsNeverReachesTheImage) {
  checkpoint();
  const std::uint64_t pages = image_stats().pages;
  const std::uint64_t checkpoints = store_->checkpoints();
  Seq next = 1;
  for (int round = 0; round < 8; ++round) {
    // Several entries with less than makes a checkpoint due, large messages among them.
    for (int i = 0; i < 3; ++i) {
      commit_ok(enqueues(next, 20, kKiB));
      commit_ok(enqueues(next + 20, 1, 50 * kKiB));
      commit_ok(settles(next, 21));
      next += 21;
    }
    checkpoint();
    const Image::Stats stats = image_stats();
    EXPECT_EQ(stats.message_rows, 0u);
    EXPECT_EQ(stats.contents, 0u);
    EXPECT_EQ(stats.parts, 0u);
    EXPECT_EQ(stats.garbage, 0u);
  }
  EXPECT_GE(store_->checkpoints() - checkpoints, 8u);
  // Meta and counters are written anew each time: a few pages that go round.
  EXPECT_LE(image_stats().pages, pages + 16);
}

TEST_F(StoreCountsTest, FillingAndDrainingTakesNoMoreDiskAfterTheFirstRounds) {
  std::uint64_t image_after_warm_up = 0;
  std::uint64_t journal_max = 0;
  Seq next = 1;
  for (int round = 0; round < 14; ++round) {
    const Seq first = next;
    for (int i = 0; i < 10; ++i, next += 100) commit_ok(enqueues(next, 100, kKiB));
    checkpoint();
    EXPECT_EQ(image_stats().message_rows, 1'000u);
    for (Seq seq = first; seq < next; seq += 100) commit_ok(settles(seq, 100));
    checkpoint();
    EXPECT_EQ(held(), std::vector<Seq>());
    if (round == 3) image_after_warm_up = image_stats().file_bytes;
    journal_max = std::max(journal_max, journal_file_bytes());
  }
  EXPECT_LE(image_stats().file_bytes, image_after_warm_up + image_after_warm_up / 10);
  // What waits for a checkpoint (one that is under way, one group more), a segment that is ready
  // and those that are kept; far below the 20 MB that went through.
  EXPECT_LE(journal_max, 2 * kUncoveredMax + 10 * settings_.segment_bytes);
  EXPECT_GT(store_->journal_stats().recycled, 0u);
}

TEST_F(StoreCountsTest, AStuckMessageHoldsNothingElse) {
  constexpr QueueId kStuck{3};
  commit_ok(enqueues(1, 1, kKiB, kStuck));
  checkpoint();
  std::uint64_t journal_max = 0;
  std::uint64_t image_max = 0;
  Seq next = 1;
  for (int round = 0; round < 60; ++round, next += 300) {  // 18 MB
    commit_ok(enqueues(next, 300, kKiB));
    if (round % 2 == 0) checkpoint();  // every other one gets into the image
    commit_ok(settles(next, 300));
    journal_max = std::max(journal_max, journal_file_bytes());
    image_max = std::max(image_max, image_stats().file_bytes);
  }
  checkpoint();
  EXPECT_LE(journal_max, 2 * kUncoveredMax + 10 * settings_.segment_bytes);
  EXPECT_LE(image_max, std::uint64_t{6} * 300 * kKiB);  // some rounds' worth: pages come back late
  EXPECT_EQ(held(kStuck), std::vector<Seq>{1});
  EXPECT_EQ(image_stats().message_rows, 1u);
}

TEST_F(StoreCountsTest, ALargeBodyIsStoredOnceForAHundredQueues) {
  constexpr std::size_t kBody = 512 * kKiB;
  settings_.segment_bytes = 4 * 1024 * kKiB;  // no checkpoint between the batches
  settings_.checkpoint_bytes = settings_.uncovered_bytes_max = 4 * 1024 * kKiB;
  reopen();
  const MessagePtr shared = message(kBody);
  const std::uint64_t before = store_->journal_stats().disk_bytes;
  std::vector<WriteBatch> batches(4);  // as from four shards
  for (std::uint64_t queue = 0; queue < 100; ++queue) {
    batches[queue % 4].add(enqueue(1, shared, QueueId{queue}));
  }
  for (const Status& status : commit_as_one_group(std::move(batches))) EXPECT_EQ(status, Status());
  const std::uint64_t written = store_->journal_stats().disk_bytes - before;
  EXPECT_GE(written, kBody);
  EXPECT_LT(10 * written, 12 * kBody);
  reopen();
  const Image::Stats stats = image_stats();
  EXPECT_EQ(stats.message_rows, 100u);
  EXPECT_EQ(stats.contents, 1u);
  EXPECT_LE(stats.parts, kBody / 4'076 + 1);
  // It goes with the last of them.
  for (std::uint64_t queue = 0; queue < 100; ++queue) commit_ok(settles(1, 1, QueueId{queue}));
  reopen();
  EXPECT_EQ(image_stats().message_rows, 0u);
  EXPECT_EQ(image_stats().contents, 0u);
}

// A message that is known from one entry must not be left out of the next one when a checkpoint
// comes between: the journal is replayed from there, and the checkpoint after it would miss it.
TEST_F(StoreCountsTest, CheckpointsBetweenTheQueuesOfALargeMessageDoNoHarm) {
  constexpr Seq kMessages = 300;
  constexpr std::uint64_t kQueues = 6;
  settings_.checkpoint_interval = std::chrono::milliseconds(0);  // one after the other
  reopen();
  std::vector<std::future<Status>> answers;
  for (Seq seq = 1; seq <= kMessages; ++seq) {
    const MessagePtr shared = message(3 * kKiB);
    for (std::uint64_t queue = 1; queue <= kQueues; ++queue) {
      WriteBatch batch;
      batch.add(enqueue(seq, shared, QueueId{queue}));
      answers.push_back(submit(std::move(batch)));
    }
  }
  for (std::future<Status>& answer : answers) {
    const Status status = wait_for(answer);
    ASSERT_TRUE(status.ok()) << status.error();
  }
  EXPECT_GT(store_->checkpoints(), 1u);
  for (int life = 0; life < 2; ++life) {
    for (std::uint64_t queue = 1; queue <= kQueues; ++queue) {
      EXPECT_EQ(held(QueueId{queue}).size(), kMessages);
    }
    reopen();
  }
}

TEST_F(StoreCountsTest, MessagesThatAreDurableAreLetGo) {
  const std::int64_t base = protocol::message_bytes_in_memory();
  for (Seq seq = 1; seq <= 1'000; seq += 100) commit_ok(enqueues(seq, 100, kKiB));
  commit_ok(enqueues(1'001, 1, 200 * kKiB));
  // A group is let go before the next one is begun.
  commit_ok(settles(1, 100, kNoQueue));
  EXPECT_EQ(protocol::message_bytes_in_memory(), base);
  EXPECT_EQ(store_->stats().messages, 1'001u);
}

}  // namespace
}  // namespace harrier::persistence_tests
