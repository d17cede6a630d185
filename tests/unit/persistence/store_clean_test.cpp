// SPDX-License-Identifier: Apache-2.0
//
// What the durable store says of its last life: a clean start means that no message which is there
// can have been delivered without the store knowing of it (docs/decisions/0010).
#include <fstream>
#include <iterator>

#include "tests/contract/living_copy.hpp"
#include "tests/unit/persistence/store_fixture.hpp"

namespace harrier::persistence_tests {
namespace {

class StoreCleanTest : public StoreTest {
 protected:
  // Leaves what the files hold at this moment: the store does not get to its end.
  void kill() {
    const std::filesystem::path copy = directory_.string() + ".copy";
    store_tests::copy_living(directory_, copy);
    store_.reset();
    std::filesystem::remove_all(directory_);
    std::filesystem::rename(copy, directory_);
  }
  void crash() {
    kill();
    open();
  }
  std::string image_bytes() const {
    std::ifstream file(directory_ / "store.mdb", std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
  }
  // Somebody does not like what is recovered; then a start like any other.
  void refuse_twice(bool expected) {
    const std::string before = image_bytes();
    ASSERT_FALSE(before.empty());
    for (int attempts = 0; attempts < 2; ++attempts) {
      std::unique_ptr<LmdbStore> refused;
      ASSERT_EQ(LmdbStore::open_to_recover(settings_, refused), Status());
      EXPECT_EQ(refused->opened().clean, expected);
      Recovery recovery;
      ASSERT_EQ(refused->recover(recovery), Status());
      ASSERT_EQ(recovery.queues.size(), 1u);
      EXPECT_EQ(recovery.queues.front().messages, 3u);
      // What a broker has to know of it before it serves.
      std::size_t read = 0;
      refused->fetch(recovery.queues.front().queue, 0, std::size_t{1} << 20,
                     [&](const Fetched& page) { read = page.messages.size(); });
      EXPECT_EQ(read, 3u);
      refused.reset();
      EXPECT_TRUE(image_bytes() == before) << "attempt " << attempts;
    }
    open();
    EXPECT_EQ(store_->opened().clean, expected);
    EXPECT_EQ(held().size(), 3u);
  }
  bool clean() const { return store_->opened().clean; }
};

TEST_F(StoreCleanTest, AStopInOrderLeavesItClean) {
  EXPECT_TRUE(clean());
  commit_ok(enqueues(1, 3, 16));
  reopen();
  EXPECT_TRUE(clean());
  reopen();
  EXPECT_TRUE(clean());
  EXPECT_EQ(held().size(), 3u);
}

TEST_F(StoreCleanTest, ACrashDoesNot) {
  crash();
  EXPECT_FALSE(clean()) << "with nothing in it";
  reopen();
  commit_ok(enqueues(1, 3, 16));
  checkpoint();
  crash();
  EXPECT_FALSE(clean()) << "with the messages in the image";
}

TEST_F(StoreCleanTest, WhatACrashLeftIsNotMadeCleanByAStop) {
  commit_ok(enqueues(1, 3, 16));
  crash();
  ASSERT_FALSE(clean());
  for (int stops = 0; stops < 2; ++stops) {  // the messages in the journal, then in the image
    reopen();
    EXPECT_FALSE(clean()) << stops;
  }
  commit_ok(settles(1, 2));
  reopen();
  EXPECT_FALSE(clean()) << "one of them is left";
  EXPECT_EQ(held(), std::vector<Seq>{3});
}

TEST_F(StoreCleanTest, AStopWithoutMessagesMakesItCleanAgain) {
  commit_ok(enqueues(1, 3, 16));
  crash();
  ASSERT_FALSE(clean());
  commit_ok(settles(1, 3));
  reopen();
  EXPECT_TRUE(clean());
  commit_ok(enqueues(4, 1, 16));
  reopen();
  EXPECT_TRUE(clean());
  EXPECT_EQ(held(), std::vector<Seq>{4});
}

// Compaction and backup open the store and close it: that says nothing of deliveries.
TEST_F(StoreCleanTest, WhoDeliversNothingLeavesItAsItWas) {
  settings_.delivers = false;
  reopen();
  EXPECT_TRUE(clean());
  crash();
  ASSERT_FALSE(clean());
  reopen();
  EXPECT_FALSE(clean());
  settings_.delivers = true;
  reopen();
  EXPECT_FALSE(clean()) << "nobody has stopped with deliveries in between";
  reopen();
  EXPECT_TRUE(clean());
}

TEST_F(StoreCleanTest, ARefusedStartLeavesTheImageAsItWas) {
  commit_ok(enqueues(1, 3, 16));
  store_.reset();
  refuse_twice(true);
}

TEST_F(StoreCleanTest, ARefusedStartAfterACrashLeavesTheImageAsItWas) {
  commit_ok(enqueues(1, 3, 16));
  kill();
  refuse_twice(false);
}

}  // namespace
}  // namespace harrier::persistence_tests
