// SPDX-License-Identifier: Apache-2.0
//
// Journal: what makes write batches durable. Entries of bytes are appended to segment files that
// are written ahead and used again, so that a flush waits for data only, and come back in order at
// the next start. Owned by the store. Threads: append() and flush() by one at a time, prepare() by
// one at a time; these two, and all the rest, beside each other. The table's mutex is never held
// during I/O. Failure: a full disk leaves an append to be tried again; any other failed write or
// flush is terminal, and every later one returns it: what the disk holds is then known to nobody.
// Grammar: persistence/journal_segment.hpp. The operator's view: docs/storage-format.md.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "persistence/file.hpp"
#include "persistence/journal_segment.hpp"
#include "persistence/status.hpp"

namespace harrier::persistence {

struct JournalOptions {
  std::string directory;                                          // exists
  std::uint64_t segment_bytes = std::uint64_t{64} * 1024 * 1024;  // whole pages, two at least
  std::size_t segments_kept = 4;  // files kept for later use; what is beyond is deleted
  bool flush = true;              // false: flush() does nothing; survives kill -9, not power loss
  bool may_be_missing = false;    // the directory is a copy that was made without its journal
  Files* files = nullptr;         // the system's; tests have others
};

// What came back at open().
struct Replay {
  std::uint64_t entries = 0;
  std::uint64_t bytes = 0;  // their payloads
  std::uint64_t segments = 0;
  JournalPosition end = 0;          // where the replay ended
  std::optional<std::string> torn;  // an entry that a crash cut off: file and offset
};

struct JournalStats {
  std::uint64_t entries = 0;        // appended since open
  std::uint64_t payload_bytes = 0;  // in them
  std::uint64_t disk_bytes = 0;     // headers and padding included; what is written ahead is not
  std::uint64_t flushes = 0;
  std::uint64_t segments = 0;  // begun since open
  std::uint64_t recycled = 0;  // of these, in the file of an older one
  std::uint64_t grown = 0;     // of these, in a file that was not written ahead
};

// Bytes of the journal in place. They stay as they are while `pin` lives.
struct JournalBytes {
  protocol::ByteView bytes;
  std::shared_ptr<const void> pin;
};

class Journal {
 public:
  // The position is that of the payload's first byte; the payload is valid during the call.
  using Visitor = std::function<Status(JournalPosition, protocol::ByteView)>;

  // Opens or creates the directory's journal. Every whole entry at or after `from` (0, or what
  // end() was after a flush) is visited in order; a Status from the visitor that is not ok ends
  // open() with it. An entry that was cut off while it was written ends the replay; one that had
  // been flushed and cannot be read is an error. New entries go to a segment of their own.
  static Status open(const JournalOptions& options, JournalPosition from, const Visitor& visit,
                     std::unique_ptr<Journal>& out, Replay& report);

  // One entry made of pieces, in one segment, written from where they are. If the payload is larger
  // than a segment it gets a file of its own. Not durable before flush().
  Status append(std::span<const protocol::ByteView> pieces, JournalPosition& payload_at);
  Status flush();
  // The next entry comes at or after it.
  JournalPosition end() const { return end_.load(std::memory_order_acquire); }

  // Nothing before `before`, where the next open() will start, is needed any more: segments that
  // lie wholly below are kept for later use or deleted.
  Status release(JournalPosition before);
  // In the background, when a segment has been begun: makes the next one ready. Until that has
  // happened once, and when it does not keep up, files grow as they are written.
  Status prepare();
  // From any thread: nothing is made ready any more, and a prepare() that is under way ends soon.
  void end_preparing();

  // Bytes of a payload that was replayed or appended, and not released since.
  Status read(JournalPosition at, std::size_t size, JournalBytes& out) const;
  std::uint64_t bytes_since(JournalPosition from) const;  // disk bytes from there to end()
  JournalStats stats() const;
  const JournalId& id() const { return id_; }

 private:
  struct Segment;
  using SegmentPtr = std::shared_ptr<Segment>;

  Journal(const JournalOptions& options, Files& files) : options_(options), files_(files) {}

  Status begin_first_segment();
  Status make_room(std::uint64_t disk_bytes);
  Status begin_segment(std::uint64_t capacity);
  Status make_segment(std::uint64_t capacity, SegmentPtr& out);
  Status write_ahead(Segment& segment);
  void rest(std::chrono::nanoseconds time, std::uint64_t ready);
  bool ends() const;
  Status latch(Status status);
  SegmentPtr take_free(std::uint64_t capacity);
  Status delete_surplus();
  std::string path_of(std::uint64_t number) const;

  const JournalOptions options_;
  Files& files_;
  JournalId id_{};
  std::uint32_t seed_ = 0;  // crc of the id

  // Of the appending thread.
  SegmentPtr current_;
  std::optional<SegmentHeader> header_;  // of current_, if it goes out with the first entry
  std::uint32_t previous_ = 0;           // crc of the entry or header before
  std::vector<SegmentPtr> dirty_;        // written and not flushed
  JournalPosition flushed_ = 0;
  Status failure_;
  std::vector<iovec> parts_;
  std::atomic<JournalPosition> end_{0};

  mutable std::mutex mutex_;  // guards what follows
  std::map<std::uint64_t, SegmentPtr> live_;
  std::vector<SegmentPtr> free_;  // may be pinned; those that are cannot be used yet
  SegmentPtr next_;               // ready
  bool ends_ = false;
  std::condition_variable ended_;
  std::uint64_t current_number_ = 0;
  std::uint64_t number_max_ = 0;
  JournalStats stats_;
};

}  // namespace harrier::persistence
