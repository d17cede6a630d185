// SPDX-License-Identifier: Apache-2.0
//
// What the durable store says of its last life: a clean start means that no message which is there
// can have been delivered without the store knowing of it (docs/decisions/0010).
#include "tests/unit/persistence/store_fixture.hpp"

namespace harrier::persistence_tests {
namespace {

class StoreCleanTest : public StoreTest {
 protected:
  // Leaves what the files hold at this moment: the store does not get to its end.
  void kill() {
    const std::filesystem::path copy = directory_.string() + ".copy";
    std::filesystem::copy(directory_, copy, std::filesystem::copy_options::recursive);
    store_.reset();
    std::filesystem::remove_all(directory_);
    std::filesystem::rename(copy, directory_);
  }
  void crash() {
    kill();
    open();
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

}  // namespace
}  // namespace harrier::persistence_tests
