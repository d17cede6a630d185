// SPDX-License-Identifier: Apache-2.0
#include "tests/contract/faulty_store.hpp"

#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "persistence/memory_store.hpp"
#include "tests/contract/store_model.hpp"

namespace harrier::store_tests {
namespace {

using namespace harrier::persistence;

class FaultyStoreTest : public testing::Test {
 protected:
  // One message per batch, into queue 1 at position `seq`; its done is noted.
  void commit(FaultyStore& store, Seq seq) {
    store.commit(batch_of({enqueue(1, seq, "x")}), [this, seq](const Status& status) {
      dones_.push_back((status.ok() ? "ok " : "failed ") + std::to_string(seq));
    });
  }
  static std::vector<Seq> held(MessageStore& store) {
    Recovery recovery;
    EXPECT_TRUE(store.recover(recovery).ok());
    std::vector<Seq> seqs;
    for (const RecoveredQueue& queue : recovery.queues) {
      for (const StoredMessage& message : queue.head) seqs.push_back(message.seq);
    }
    return seqs;
  }

  using Dones = std::vector<std::string>;
  using Seqs = std::vector<Seq>;
  MemoryStore memory_;
  Dones dones_;
};

TEST_F(FaultyStoreTest, NothingIsDurableBeforeItsRelease) {
  FaultyStore store(memory_);
  for (Seq seq = 1; seq <= 3; ++seq) commit(store, seq);
  EXPECT_EQ(store.pending(), 3u);
  EXPECT_EQ(dones_, Dones{});
  EXPECT_EQ(held(memory_), Seqs{});
  EXPECT_TRUE(store.release_next());
  EXPECT_EQ(dones_, Dones{"ok 1"});
  EXPECT_EQ(held(memory_), Seqs{1});
  store.release_all();
  EXPECT_EQ(dones_, (Dones{"ok 1", "ok 2", "ok 3"}));
  EXPECT_FALSE(store.release_next());
  EXPECT_EQ(store.stats().batches, 3u);
}

TEST_F(FaultyStoreTest, WhatACallbackCommitsWaitsInTurn) {
  FaultyStore store(memory_);
  store.commit(WriteBatch(), [&](const Status&) { commit(store, 2); });
  commit(store, 1);
  store.release_all();
  EXPECT_EQ(dones_, (Dones{"ok 1", "ok 2"}));
}

TEST_F(FaultyStoreTest, FailsForGood) {
  FaultyStore store(memory_, {.fail_from = 1});
  for (Seq seq = 1; seq <= 3; ++seq) commit(store, seq);
  store.release_all();
  commit(store, 4);
  store.release_all();
  EXPECT_EQ(dones_, (Dones{"ok 1", "failed 2", "failed 3", "failed 4"}));
  EXPECT_FALSE(store.stats().failure.ok());
  EXPECT_EQ(held(memory_), Seqs{1});
}

TEST_F(FaultyStoreTest, CanBeToldToFailLater) {
  FaultyStore store(memory_);
  for (Seq seq = 1; seq <= 2; ++seq) commit(store, seq);
  store.fail_from(1);
  store.release_all();
  EXPECT_EQ(dones_, (Dones{"ok 1", "failed 2"}));
}

TEST_F(FaultyStoreTest, AFailedBatchMaySurvive) {
  FaultyStore store(memory_, {.fail_from = 1, .first_failure_survives = true});
  for (Seq seq = 1; seq <= 3; ++seq) commit(store, seq);
  store.release_all();
  EXPECT_EQ(dones_, (Dones{"ok 1", "failed 2", "failed 3"}));
  EXPECT_EQ(held(memory_), (Seqs{1, 2}));
}

TEST_F(FaultyStoreTest, RecoveryForgetsWhatWasNotDurable) {
  FaultyStore store(memory_);
  for (Seq seq = 1; seq <= 3; ++seq) commit(store, seq);
  store.release_next();
  EXPECT_EQ(held(store), Seqs{1});
  EXPECT_EQ(store.pending(), 0u);
  store.release_all();
  EXPECT_EQ(dones_, Dones{"ok 1"});
}

TEST_F(FaultyStoreTest, ACrashMayComeAfterTheWriteAndBeforeTheNews) {
  FaultyStore store(memory_);
  for (Seq seq = 1; seq <= 3; ++seq) commit(store, seq);
  store.crash(2);
  EXPECT_EQ(dones_, Dones{});
  EXPECT_EQ(held(store), (Seqs{1, 2}));
}

TEST_F(FaultyStoreTest, WorksAgainAfterARestart) {
  FaultyStore store(memory_, {.fail_from = 0});
  commit(store, 1);
  store.release_all();
  EXPECT_EQ(held(store), Seqs{});
  commit(store, 2);
  store.release_all();
  EXPECT_EQ(dones_, (Dones{"failed 1", "ok 2"}));
  EXPECT_TRUE(store.stats().failure.ok());
  EXPECT_EQ(held(store), Seqs{2});
}

// ---- transactions of several batches ----

class FaultyStoreTransactionTest : public FaultyStoreTest {
 protected:
  void commit(FaultyStore& store, Seq seq, std::vector<TransactionPart> parts = {}) {
    WriteBatch batch = batch_of({enqueue(1, seq, "x")});
    for (const TransactionPart& part : parts) batch.join(part);
    store.commit(std::move(batch), [this, seq](const Status& status) {
      dones_.push_back((status.ok() ? "ok " : "failed ") + std::to_string(seq));
    });
  }
};

TEST_F(FaultyStoreTransactionTest, NothingOfItGoesBeforeAllOfIt) {
  FaultyStore store(memory_);
  commit(store, 1);
  commit(store, 2, {{7, 2}});
  commit(store, 3);
  EXPECT_TRUE(store.release_next());
  EXPECT_FALSE(store.release_next());
  EXPECT_EQ(store.pending(), 2u);
  commit(store, 4, {{7, 2}});
  commit(store, 5);
  EXPECT_TRUE(store.release_next());
  EXPECT_EQ(dones_, (Dones{"ok 1", "ok 2", "ok 3", "ok 4"}));
  EXPECT_EQ(held(memory_), (Seqs{1, 2, 3, 4}));
  EXPECT_EQ(store.pending(), 1u);
}

TEST_F(FaultyStoreTransactionTest, TransactionsThatCrossGoTogether) {
  FaultyStore store(memory_);
  commit(store, 1, {{7, 2}});
  commit(store, 2, {{8, 3}, {7, 2}});
  commit(store, 3, {{8, 3}});
  EXPECT_FALSE(store.release_next());
  commit(store, 4, {{8, 3}});
  EXPECT_TRUE(store.release_next());
  EXPECT_EQ(held(memory_), (Seqs{1, 2, 3, 4}));
}

TEST_F(FaultyStoreTransactionTest, ACrashKeepsItWholeOrForgetsIt) {
  for (std::size_t surviving = 0; surviving <= 5; ++surviving) {
    MemoryStore memory;
    FaultyStore store(memory);
    commit(store, 1);
    commit(store, 2, {{7, 2}});
    commit(store, 3);
    commit(store, 4, {{7, 2}});
    commit(store, 5, {{9, 2}});  // its other part never came
    store.crash(surviving);
    const Seqs expected = surviving == 0 ? Seqs{} : surviving < 4 ? Seqs{1} : Seqs{1, 2, 3, 4};
    EXPECT_EQ(held(memory), expected) << surviving;
  }
}

TEST_F(FaultyStoreTransactionTest, ItFailsAsAWhole) {
  FaultyStore store(memory_, {.fail_from = 2});
  commit(store, 1);
  commit(store, 2, {{7, 2}});
  commit(store, 3, {{7, 2}});
  store.release_all();
  EXPECT_EQ(dones_, (Dones{"ok 1", "failed 2", "failed 3"}));
  EXPECT_EQ(held(memory_), Seqs{1});
}

// Whatever is released before a crash is a prefix, and so is what comes back.
TEST_F(FaultyStoreTest, RecoversAPrefixUnderRandomCrashes) {
  for (std::uint64_t seed = 1; seed <= 50; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    MemoryStore memory;
    FaultyStore store(memory);
    BatchDice dice(seed);
    StoreModel model;
    std::vector<WriteBatch> waiting;
    for (std::uint64_t left = dice.below(80); left > 0; --left) {
      waiting.push_back(dice.roll());
      store.commit(waiting.back(), {});
    }
    const std::uint64_t released = dice.below(waiting.size() + 1);
    const std::uint64_t surviving = dice.below(waiting.size() - released + 1);
    for (std::uint64_t i = 0; i < released; ++i) store.release_next();
    store.crash(surviving);
    for (std::uint64_t i = 0; i < released + surviving; ++i) model.apply(waiting[i]);
    ASSERT_EQ(to_text(contents_of(store, 0, 100)), to_text(model.contents()));
  }
}

}  // namespace
}  // namespace harrier::store_tests
