// SPDX-License-Identifier: Apache-2.0
//
// What the tests of the whole durable store share: a store in a folder that goes with the test,
// over files whose calls are counted and can be made to fail, and ways to wait for what its threads
// do. Nothing here sleeps: a checkpoint is waited for by a commit that must wait for it itself.
// Every wait is bounded; one that is not answered in time fails the test.
#pragma once

#include <cerrno>
#include <chrono>
#include <condition_variable>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <future>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "persistence/lmdb_store.hpp"

namespace harrier::persistence_tests {

using namespace harrier::persistence;
using protocol::Message;
using protocol::MessagePtr;

inline constexpr std::chrono::seconds kPatience{60};

// The system's files. What the committing side does is told from what is written ahead by the
// entries in it. Any thread.
class WatchedFiles final : public Files {
 public:
  ssize_t pwritev(int fd, const iovec* parts, int count, off_t at) override {
    const std::lock_guard lock(mutex_);
    if (begins_entry(parts[0])) {
      committers_.insert(std::this_thread::get_id());
      ++entry_writes_;
    }
    if (full_) {
      errno = ENOSPC;
      return -1;
    }
    return Files::pwritev(fd, parts, count, at);
  }
  int fdatasync(int fd) override {
    {
      const std::lock_guard lock(mutex_);
      if (committers_.contains(std::this_thread::get_id())) {
        ++commit_syncs_;
        if (std::exchange(next_sync_fails_, false)) {
          errno = EIO;
          return -1;
        }
      }
    }
    return Files::fdatasync(fd);
  }

  void set_full(bool full) {
    const std::lock_guard lock(mutex_);
    full_ = full;
  }
  void fail_next_commit_sync() {
    const std::lock_guard lock(mutex_);
    next_sync_fails_ = true;
  }
  int commit_syncs() const { return locked(commit_syncs_); }
  int entry_writes() const { return locked(entry_writes_); }

 private:
  // An entry, or the header of a segment with its first entry behind it.
  static bool begins_entry(const iovec& part) {
    const auto starts = [&part](const char* mark) {
      const std::size_t size = std::strlen(mark);
      return part.iov_len >= size && std::memcmp(part.iov_base, mark, size) == 0;
    };
    return starts("HJE1") || starts("HARRJRNL");
  }
  int locked(const int& count) const {
    const std::lock_guard lock(mutex_);
    return count;
  }

  mutable std::mutex mutex_;
  std::set<std::thread::id> committers_;
  int commit_syncs_ = 0;
  int entry_writes_ = 0;
  bool full_ = false;
  bool next_sync_fails_ = false;
};

class StoreTest : public testing::Test {
 protected:
  // Commits wait for a checkpoint when so much of the journal is not covered, and no checkpoint
  // comes before; see checkpoint().
  static constexpr std::uint64_t kUncoveredMax = 512 * 1024;
  static constexpr QueueId kQueue{7};
  static constexpr QueueId kNoQueue{999};  // never holds a message

  StoreTest() {
    std::string name = (std::filesystem::temp_directory_path() / "harrier-store-XXXXXX").string();
    if (::mkdtemp(name.data()) == nullptr) throw std::runtime_error("no temporary folder");
    directory_ = name;
    settings_.directory = name;
    settings_.segment_bytes = 256 * 1024;
    settings_.map_bytes = std::uint64_t{1} << 32;
    settings_.checkpoint_interval = std::chrono::hours(1);
    settings_.checkpoint_bytes = kUncoveredMax - 1;
    settings_.uncovered_bytes_max = kUncoveredMax;
    settings_.files = &files_;
  }
  ~StoreTest() override {
    store_.reset();
    std::error_code error;
    std::filesystem::remove_all(directory_, error);
  }
  void SetUp() override { open(); }

  void open() {
    const Status status = LmdbStore::open(settings_, store_);
    ASSERT_TRUE(status.ok()) << status.error();
  }
  void reopen() {
    store_.reset();
    open();
  }

  static MessagePtr message(std::size_t body_bytes) {
    protocol::Properties properties;
    properties.delivery_mode = 2;
    const std::string body(body_bytes, 'b');
    return Message::create("amq.topic", "orders.new", properties.encode(),
                           protocol::as_bytes(body));
  }
  static Enqueue enqueue(Seq seq, MessagePtr message, QueueId queue = kQueue) {
    return {queue, seq, std::move(message), 5, std::nullopt};
  }
  // `count` messages from position `first` on.
  static WriteBatch enqueues(Seq first, std::size_t count, std::size_t body_bytes,
                             QueueId queue = kQueue) {
    WriteBatch batch;
    for (std::size_t i = 0; i < count; ++i) {
      batch.add(enqueue(first + i, message(body_bytes), queue));
    }
    return batch;
  }
  static WriteBatch settles(Seq first, std::size_t count, QueueId queue = kQueue) {
    WriteBatch batch;
    for (std::size_t i = 0; i < count; ++i) batch.add(Settle{queue, first + i});
    return batch;
  }

  std::future<Status> submit(WriteBatch batch) {
    auto promise = std::make_shared<std::promise<Status>>();
    std::future<Status> result = promise->get_future();
    store_->commit(std::move(batch), [promise](const Status& s) { promise->set_value(s); });
    return result;
  }
  static Status wait_for(std::future<Status>& answer) {
    if (answer.wait_for(kPatience) != std::future_status::ready) {
      return Status::failed("not answered in time");
    }
    return answer.get();
  }
  Status commit(WriteBatch batch) {
    std::future<Status> answer = submit(std::move(batch));
    return wait_for(answer);
  }
  void commit_ok(WriteBatch batch) {
    const Status status = commit(std::move(batch));
    ASSERT_TRUE(status.ok()) << status.error();
  }

  // Returns when the image has everything that was committed before: the first commit makes a
  // checkpoint due, the second one cannot be written until it is done.
  void checkpoint() {
    const std::uint64_t before = store_->checkpoints();
    for (int i = 0; i < 2; ++i) commit_ok(settles(1, kUncoveredMax / 17 + 1, kNoQueue));
    ASSERT_GT(store_->checkpoints(), before);
  }

  // Commits together, as one group: while the loop's thread answers an earlier batch, which is
  // held, nothing can be led.
  std::vector<Status> commit_as_one_group(std::vector<WriteBatch> batches) {
    const auto answering = std::make_shared<std::promise<void>>();
    std::promise<void> go_on;
    std::shared_future<void> may_go_on = go_on.get_future().share();
    // More records than a committing thread leads itself.
    store_->commit(settles(1, 100, kNoQueue), [answering, may_go_on](const Status&) {
      answering->set_value();
      may_go_on.wait();
    });
    const bool held = answering->get_future().wait_for(kPatience) == std::future_status::ready;
    EXPECT_TRUE(held) << "the batch that holds the loop is not answered";
    before_group_ = store_->journal_stats();
    syncs_before_group_ = files_.commit_syncs();
    std::vector<std::future<Status>> answers;
    for (WriteBatch& batch : batches) answers.push_back(submit(std::move(batch)));
    go_on.set_value();
    std::vector<Status> results;
    for (std::future<Status>& answer : answers) results.push_back(wait_for(answer));
    return results;
  }
  struct GroupCost {
    std::uint64_t flushes = 0;
    std::uint64_t entries = 0;
    std::uint64_t payload_bytes = 0;
    std::uint64_t disk_bytes = 0;
    int syncs = 0;  // system calls
  };
  GroupCost cost_of_group() const {
    const JournalStats now = store_->journal_stats();
    return {now.flushes - before_group_.flushes, now.entries - before_group_.entries,
            now.payload_bytes - before_group_.payload_bytes,
            now.disk_bytes - before_group_.disk_bytes, files_.commit_syncs() - syncs_before_group_};
  }

  Image::Stats image_stats() {
    Image::Stats stats;
    const Status status = store_->image_stats(stats);
    EXPECT_TRUE(status.ok()) << status.error();
    return stats;
  }
  std::uint64_t journal_file_bytes() const {
    std::uint64_t bytes = 0;
    std::error_code gone;  // a file may be renamed or deleted while we look
    for (const auto& file : std::filesystem::directory_iterator(directory_ / "journal")) {
      const std::uint64_t size = file.file_size(gone);
      if (!gone) bytes += size;
    }
    return bytes;
  }
  std::vector<Seq> held(QueueId queue = kQueue) {
    const auto promise = std::make_shared<std::promise<Fetched>>();
    std::future<Fetched> answer = promise->get_future();
    store_->fetch(queue, 0, std::numeric_limits<std::size_t>::max(),
                  [promise](Fetched page) { promise->set_value(std::move(page)); });
    std::vector<Seq> seqs;
    if (answer.wait_for(kPatience) != std::future_status::ready) {
      ADD_FAILURE() << "no page in time";
      return seqs;
    }
    const Fetched page = answer.get();
    EXPECT_EQ(page.status, Status());
    for (const StoredMessage& message : page.messages) seqs.push_back(message.seq);
    return seqs;
  }

  WatchedFiles files_;
  std::filesystem::path directory_;
  StoreSettings settings_;
  std::unique_ptr<LmdbStore> store_;

 private:
  JournalStats before_group_;
  int syncs_before_group_ = 0;
};

}  // namespace harrier::persistence_tests
