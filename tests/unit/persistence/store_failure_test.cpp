// SPDX-License-Identifier: Apache-2.0
//
// The durable store on a disk that fails, on one that is full, and at its end: what is answered,
// in which order, and what is there afterwards.
#include <algorithm>
#include <numeric>

#include "tests/unit/persistence/store_fixture.hpp"

namespace harrier::persistence_tests {
namespace {

// What the store tells about the disk, in order.
class DiskNews {
 public:
  void add(bool full) {
    {
      const std::lock_guard lock(mutex_);
      news_.push_back(full);
    }
    wake_.notify_all();
  }
  // The first `count` of them.
  std::vector<bool> wait_for(std::size_t count) {
    std::unique_lock lock(mutex_);
    wake_.wait_for(lock, kPatience, [this, count] { return news_.size() >= count; });
    return news_;
  }

 private:
  std::mutex mutex_;
  std::condition_variable wake_;
  std::vector<bool> news_;
};

class StoreFailureTest : public StoreTest {
 protected:
  StoreFailureTest() {
    settings_.on_disk_full = [this](bool full, const std::string&) { news_.add(full); };
  }
  ~StoreFailureTest() override { store_.reset(); }  // before news_

  void expect_final_after(WriteBatch fatal) {
    commit_ok(enqueues(1, 1, 16));
    // So that the loop's thread, too, is known to the files as one that commits.
    commit_ok(enqueues(2, 20, 16));
    files_.fail_next_commit_sync();
    const Status failed = commit(std::move(fatal));
    EXPECT_FALSE(failed.ok());
    EXPECT_NE(failed.error().find("flush"), std::string::npos) << failed.error();
    const int syncs = files_.commit_syncs();
    // The disk works again, and nobody knows what it holds: nothing is confirmed any more.
    EXPECT_FALSE(commit(enqueues(100, 1, 16)).ok());
    EXPECT_FALSE(commit(enqueues(101, 50, 16)).ok());
    EXPECT_FALSE(commit(settles(1, 1)).ok());
    EXPECT_FALSE(store_->stats().failure.ok());
    EXPECT_EQ(files_.commit_syncs(), syncs) << "a failed flush must not be tried again";
    reopen();
    std::vector<Seq> seqs = held();
    ASSERT_GE(seqs.size(), 21u);
    for (Seq seq = 1; seq <= 21; ++seq) EXPECT_EQ(seqs[seq - 1], seq);
    EXPECT_TRUE(std::ranges::none_of(seqs, [](Seq seq) { return seq >= 100; }));
  }

  DiskNews news_;
};

TEST_F(StoreFailureTest, AFailedFlushOfTheCommittingThreadIsFinal) {
  expect_final_after(enqueues(50, 1, 16));
}

TEST_F(StoreFailureTest, AFailedFlushOfTheLoopIsFinal) { expect_final_after(enqueues(50, 40, 16)); }

TEST_F(StoreFailureTest, AFullDiskDelaysAndLosesNothing) {
  commit_ok(enqueues(1, 1, 16));
  files_.set_full(true);
  // Small: this thread would lead it, and must come back though the disk is full.
  std::vector<std::future<Status>> answers;
  answers.push_back(submit(enqueues(2, 1, 16)));
  EXPECT_EQ(news_.wait_for(1), std::vector<bool>{true});
  answers.push_back(submit(enqueues(3, 50, 200)));
  answers.push_back(submit(settles(1, 1)));
  for (const std::future<Status>& answer : answers) {
    EXPECT_EQ(answer.wait_for(std::chrono::seconds(0)), std::future_status::timeout);
  }
  EXPECT_EQ(held(), std::vector<Seq>{1}) << "what is not durable shows";

  files_.set_full(false);
  for (std::future<Status>& answer : answers) EXPECT_EQ(wait_for(answer), Status());
  EXPECT_EQ(news_.wait_for(2), (std::vector<bool>{true, false}));
  commit_ok(enqueues(53, 1, 16));
  std::vector<Seq> expected(52);
  std::iota(expected.begin(), expected.end(), Seq{2});
  EXPECT_EQ(held(), expected);
  reopen();
  EXPECT_EQ(held(), expected);
}

TEST_F(StoreFailureTest, TheAnswersOfAFullDiskKeepTheirOrder) {
  std::mutex mutex;
  std::vector<int> order;
  std::promise<void> all;
  files_.set_full(true);
  for (int i = 0; i < 20; ++i) {
    store_->commit(enqueues(static_cast<Seq>(i) + 1, 1, 16), [&, i](const Status& status) {
      EXPECT_EQ(status, Status());
      const std::lock_guard lock(mutex);
      order.push_back(i);
      if (order.size() == 20) all.set_value();
    });
  }
  EXPECT_EQ(news_.wait_for(1), std::vector<bool>{true});
  files_.set_full(false);
  ASSERT_EQ(all.get_future().wait_for(kPatience), std::future_status::ready);
  const std::lock_guard lock(mutex);
  EXPECT_TRUE(std::ranges::is_sorted(order));
}

TEST_F(StoreFailureTest, TheDestructorAnswersEverything) {
  std::vector<std::future<Status>> answers;
  for (Seq seq = 1; seq <= 2'000; seq += 20) answers.push_back(submit(enqueues(seq, 20, 200)));
  store_.reset();
  for (std::future<Status>& answer : answers) {
    ASSERT_EQ(answer.wait_for(std::chrono::seconds(0)), std::future_status::ready);
    EXPECT_EQ(answer.get(), Status());
  }
  open();
  EXPECT_EQ(held().size(), 2'000u);
}

TEST_F(StoreFailureTest, TheDestructorAnswersWhatAFullDiskHolds) {
  commit_ok(enqueues(1, 1, 16));
  files_.set_full(true);
  std::vector<std::future<Status>> answers;
  for (Seq seq = 2; seq <= 10; ++seq) answers.push_back(submit(enqueues(seq, 1, 16)));
  EXPECT_EQ(news_.wait_for(1), std::vector<bool>{true});
  store_.reset();
  for (std::future<Status>& answer : answers) {
    ASSERT_EQ(answer.wait_for(std::chrono::seconds(0)), std::future_status::ready);
    EXPECT_FALSE(answer.get().ok()) << "was never written";
  }
  files_.set_full(false);
  open();
  EXPECT_EQ(held(), std::vector<Seq>{1});
}

TEST_F(StoreFailureTest, TheDestructorAnswersATransactionThatIsNeverWhole) {
  commit_ok(enqueues(1, 1, 16));
  WriteBatch half = enqueues(2, 1, 16);
  half.join({1, 2});
  std::future<Status> answer = submit(std::move(half));
  store_.reset();
  ASSERT_EQ(answer.wait_for(std::chrono::seconds(0)), std::future_status::ready);
  EXPECT_FALSE(answer.get().ok());
  open();
  EXPECT_EQ(held(), std::vector<Seq>{1});
}

TEST_F(StoreFailureTest, AWholeTransactionIsOneEntry) {
  WriteBatch one = enqueues(1, 1, 16, QueueId{1});
  one.join({1, 2});
  WriteBatch other = enqueues(1, 1, 16, QueueId{2});
  other.join({1, 2});
  const std::uint64_t entries = store_->commit_counts().entries;
  std::future<Status> first = submit(std::move(one));
  EXPECT_TRUE(held(QueueId{1}).empty()) << "half a transaction shows";
  EXPECT_EQ(first.wait_for(std::chrono::seconds(0)), std::future_status::timeout);
  EXPECT_EQ(commit(std::move(other)), Status());
  EXPECT_EQ(wait_for(first), Status());
  commit_ok(settles(1, 20, kNoQueue));  // the counts of the group before are complete
  EXPECT_EQ(store_->commit_counts().entries - entries, 2u);
}

}  // namespace
}  // namespace harrier::persistence_tests
