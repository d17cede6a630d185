// SPDX-License-Identifier: Apache-2.0
//
// CommitLoop: gathers what all shards have produced while the last flush ran, appends it to the
// journal as one entry, flushes once, and answers in order. Owned by the store. commit() may be
// called from any thread. Somebody leads: the loop's own thread under load; at rest, when a batch
// is small and nothing is going on, the thread that commits, because waking another one costs more
// than half a flush.
// Failure: a full disk delays batches until there is room; any other error is final, and every
// batch from then on is answered with it. The destructor answers everything.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <mutex>
#include <span>
#include <thread>
#include <vector>

#include "persistence/entry.hpp"
#include "persistence/journal.hpp"
#include "persistence/message_store.hpp"

namespace harrier::persistence {

// What the loop asks of and tells its store. Called by the leading thread, without the loop's lock.
struct CommitHooks {
  // From its encoding until it takes effect no checkpoint is begun: one between the two would cut
  // the entry off from the contents that it refers to.
  std::function<void()> begin_entry;
  std::function<void()> end_entry;
  // The Content of this id was written since the last checkpoint.
  std::function<bool(ContentId)> known_content;
  // The entry is durable and takes effect, before its batches are answered.
  std::function<Status(JournalPosition at, protocol::ByteView payload)> apply;
  // Journal that no checkpoint has written into the image yet, in bytes: above the limit commits
  // wait.
  std::function<std::uint64_t()> uncovered_bytes;
  // The journal has no room on the disk (true), has it again (false).
  std::function<void(bool full, const std::string& text)> disk_full;
};

struct CommitCounts {
  std::uint64_t batches = 0;         // made durable
  std::uint64_t records = 0;         // in them
  std::uint64_t enqueued_bytes = 0;  // content_size of the messages in them
  std::uint64_t entries = 0;         // groups that left anything to write: flushes
};

class CommitLoop {
 public:
  CommitLoop(Journal& journal, ContentId next_content, std::uint64_t uncovered_bytes_max,
             CommitHooks hooks);
  ~CommitLoop();
  CommitLoop(const CommitLoop&) = delete;
  CommitLoop& operator=(const CommitLoop&) = delete;

  void commit(WriteBatch batch, OnDurable done);
  void finish();     // answers everything and ends the thread; nothing may be committed any more
  void room_made();  // a checkpoint has covered more of the journal, or the disk may have room
  void fail(const Status& failure);  // something else of the store has failed for good
  CommitCounts counts() const;
  Status failure() const;
  ContentId next_content() const;

 private:
  struct Pending {
    WriteBatch batch;
    OnDurable done;
    std::size_t bytes = 0;  // content_size of its messages
  };
  enum class Leader : std::uint8_t { None, Committer, Thread };
  using Lock = std::unique_lock<std::mutex>;

  void run();
  bool may_lead() const;
  // Takes what may go together, makes it durable and answers. False if nothing can go yet.
  bool lead(Lock& lock);
  std::size_t group_size() const;
  bool ready() const;
  Status write(Lock& lock, const std::vector<Pending>& group);
  Status write_entry(Lock& lock, const std::vector<Pending>& group);
  Status apply(JournalPosition at, std::span<const protocol::ByteView> pieces);
  void answer(Lock& lock, std::vector<Pending>& group, const Status& status);

  Journal& journal_;
  const std::uint64_t uncovered_bytes_max_;
  const CommitHooks hooks_;

  mutable std::mutex mutex_;
  std::condition_variable wake_;  // something to lead, room, or the end
  std::deque<Pending> pending_;
  bool joined_pending_ = false;  // parts of transactions may be among them
  Leader leader_ = Leader::None;
  bool stopping_ = false;
  bool disk_full_ = false;
  Status failure_;
  CommitCounts counts_;
  ContentId next_content_;
  EntryWriter writer_;  // the leader's
  std::thread thread_;
};

}  // namespace harrier::persistence
