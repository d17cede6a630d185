// SPDX-License-Identifier: Apache-2.0
//
// LmdbStore: the durable MessageStore: a journal in front of an LMDB image, in one directory.
// commit() appends to the journal (CommitLoop); what it says takes effect in memory (Layers) and
// reaches the image once a second (Checkpointer), unless it has gone again by then; fetch() reads
// the image with the layers over it, on a thread of its own. docs/storage-format.md has the format.
// Threads and failure: as for MessageStore. A full disk is no failure: batches wait for room, which
// is told through the settings' on_disk_full.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "persistence/checkpointer.hpp"
#include "persistence/commit_loop.hpp"
#include "persistence/message_store.hpp"
#include "persistence/paged_messages.hpp"
#include "persistence/task_thread.hpp"

namespace harrier::persistence {

struct StoreSettings {
  std::string directory;  // exists, and is this process's alone
  bool flush = true;      // false: survives the end of the process, not the loss of power
  std::uint64_t segment_bytes = std::uint64_t{64} * 1024 * 1024;
  std::uint64_t map_bytes = Image::kMapBytes;
  std::chrono::milliseconds checkpoint_interval{1'000};
  // A checkpoint comes earlier when so much of the journal is not covered; commits wait at the
  // other limit, which also bounds what a start has to replay.
  std::uint64_t checkpoint_bytes = std::uint64_t{64} * 1024 * 1024;
  std::uint64_t uncovered_bytes_max = std::uint64_t{192} * 1024 * 1024;
  std::size_t checkpoint_slice_bytes = 4 * 1024 * 1024;  // of one LMDB transaction
  std::uint64_t disk_free_min = 0;  // bytes that must be free, or the disk counts as full; 0: any
  bool delivers = true;    // false: opened only to be checkpointed, so it ends as clean as it was
  Files* files = nullptr;  // the system's; tests have others
  // From threads of the store. failed: for good, every later batch fails.
  std::function<void(bool full, const std::string& text)> on_disk_full;
  std::function<void(const Status&)> on_failed;
};

// The journal's id as the image keeps it; never 0, which stands for a copy without its journal.
std::uint64_t store_of(const JournalId& id);

class LmdbStore final : public MessageStore {
 public:
  struct Opened {
    bool clean = true;  // stopped in order the last time
    Replay replay;      // of the journal
  };

  static Status open(const StoreSettings& settings, std::unique_ptr<LmdbStore>& out);
  // In two steps, for who may yet refuse what recover() gives: until begin() the image stays as it
  // is, also when the store ends, and only recover(), opened() and fetch() may be called, which
  // answers before it returns then.
  static Status open_to_recover(const StoreSettings& settings, std::unique_ptr<LmdbStore>& out);
  Status begin();  // before anything is delivered
  ~LmdbStore() override;

  Status recover(Recovery& out) override;
  void commit(WriteBatch batch, OnDurable done) override;
  void fetch(QueueId queue, Seq from, std::size_t bytes_max, OnFetched done) override;
  void page_out(QueueId queue, std::vector<StoredMessage> messages, OnDurable done) override;
  void drop_paged(QueueId queue, Seq from, Seq up_to) override;
  StoreStats stats() const override;

  const Opened& opened() const { return opened_; }
  JournalStats journal_stats() const { return journal_->stats(); }
  Status image_stats(Image::Stats& out) const { return image_->stats(out); }
  std::uint64_t checkpoints() const { return checkpointer_->checkpoints(); }
  CommitCounts commit_counts() const { return commits_->counts(); }

 private:
  // What may lack room; bits.
  static constexpr unsigned kJournalFull = 1;
  static constexpr unsigned kImageFull = 2;
  static constexpr unsigned kFreeLow = 4;
  static constexpr unsigned kPagedFull = 8;

  struct PageOut {
    QueueId queue{};
    std::vector<StoredMessage> messages;
    OnDurable done;
  };

  explicit LmdbStore(const StoreSettings& settings);
  Status open_image();
  Status open_journal();
  Status mark_in_use();
  void start();
  Status apply(JournalPosition at, protocol::ByteView payload);
  bool ends_clean() const;
  Fetched read(QueueId queue, Seq from, std::size_t bytes_max);
  void page_out_next();
  void set_full(unsigned what, bool full, const std::string& text);

  const StoreSettings settings_;
  Opened opened_;
  Image::Meta meta_;  // of the image until begin()
  std::unique_ptr<Image> image_;
  std::unique_ptr<Journal> journal_;
  std::unique_ptr<Layers> layers_;
  std::unique_ptr<PagedMessages> paged_;
  std::deque<PageOut> paging_;  // of the reading thread; more than none is left: there is no room
  std::mutex full_mutex_;
  unsigned full_ = 0;
  std::unique_ptr<Checkpointer> checkpointer_;
  std::unique_ptr<CommitLoop> commits_;
  std::unique_ptr<TaskThread> reader_;
};

}  // namespace harrier::persistence
