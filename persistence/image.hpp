// SPDX-License-Identifier: Apache-2.0
//
// Image: what the broker's state was at the last checkpoint, in one LMDB file. Owned by the store,
// which outlives every snapshot and writer made from it. snapshot(), stats() and copy_to() may be
// called from any thread; begin() and sweep() by one at a time, the checkpointer, and everything of
// one writer on the thread that began it. Rows: persistence/image_format.hpp.
// Failure: a Status. A writer that fails has changed nothing; if it is_full() it may be tried
// again. What is damaged is reported when it is read: every row has a checksum.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "persistence/lmdb.hpp"
#include "persistence/status.hpp"
#include "persistence/write_batch.hpp"

namespace harrier::persistence {

using JournalPosition = std::uint64_t;

class Image {
 public:
  class Snapshot;  // persistence/image_snapshot.hpp
  class Writer;    // persistence/image_writer.hpp

  struct Meta {
    JournalPosition journal = 0;     // up to here the image has what the journal says
    bool clean = true;               // nothing was delivered since that the image does not know of
    std::uint64_t next_content = 1;  // ids below are used up
    std::uint64_t store = 0;         // says which journal belongs to it; its owner's to choose
    // False: a part of what the journal says behind that position is here too, so this is a state
    // only together with the journal. Never so if it is clean.
    bool whole = true;
    friend bool operator==(const Meta&, const Meta&) = default;
  };

  struct Stats {
    std::uint64_t file_bytes = 0;
    std::uint64_t map_bytes = 0;  // what the file may grow to
    std::uint64_t page_bytes = 0;
    std::uint64_t pages = 0;       // in use or free
    std::uint64_t free_pages = 0;  // for the next transactions to use, some from the one after
    std::uint64_t definitions = 0;
    std::uint64_t queues = 0;
    std::uint64_t message_rows = 0;  // those that are garbage included
    std::uint64_t contents = 0;
    std::uint64_t parts = 0;
    std::uint64_t garbage = 0;  // ranges
  };

  // A row whose tail is not longer stays in a leaf of the tree; a longer one costs whole pages, in
  // a run that LMDB must find. Such messages are better put as contents.
  static constexpr std::size_t kInlineTailBytesMax = 2'005;
  static constexpr std::uint64_t kMapBytes = std::uint64_t{1} << 40;  // address space, not disk

  enum class Flush : std::uint8_t { EveryCommit, Never };  // never: gone after a crash

  // Reading: nobody else has it open; nothing is changed or made, not even a lock file.
  // ReadingBeside: another process may be writing it.
  enum class Access : std::uint8_t { Writing, Reading, ReadingBeside };

  // Creates the file. The map is made smaller than asked for where the address space has no room.
  static Status open(const std::string& path, std::uint64_t map_bytes, std::unique_ptr<Image>& out,
                     Flush flush = Flush::EveryCommit);
  // Of a file that is there. begin() and sweep() are for an image that was opened by open().
  static Status open_to_read(const std::string& path, Access access, std::unique_ptr<Image>& out);
  ~Image();
  Image(const Image&) = delete;
  Image& operator=(const Image&) = delete;

  // As of the last commit. It must not live long: pages that are freed meanwhile wait for it.
  Status snapshot(std::unique_ptr<Snapshot>& out);
  Status begin(std::unique_ptr<Writer>& out);

  // Deletes up to `rows_max` rows of garbage in a transaction of its own; more: there is some left.
  Status sweep(std::size_t rows_max, bool& more);

  Status stats(Stats& out);
  std::uint32_t format() const { return format_; }
  // A consistent copy, flushed; the file must not exist. Not quick: it pins pages like a snapshot.
  Status copy_to(const std::string& path, bool compact);

 private:
  struct Databases {
    lmdb::Database meta = 0;
    lmdb::Database definitions = 0;
    lmdb::Database queues = 0;
    lmdb::Database messages = 0;
    lmdb::Database contents = 0;
    lmdb::Database parts = 0;
    lmdb::Database garbage = 0;
  };
  struct Reader;  // a reading transaction with its place in LMDB's table, kept for the next one

  Image();
  static Status open_existing(const std::string& path, std::uint64_t map_bytes, Access access,
                              Flush flush, std::unique_ptr<Image>& out);
  static Status create(const std::string& path, std::uint64_t map_bytes, Flush flush);
  Status open_databases(const std::string& path, bool is_new);
  Status open_others(lmdb::Transaction& transaction, bool is_new, const std::string& path);
  Status write_new_meta(lmdb::Transaction& transaction);
  Status check_format(lmdb::Transaction& transaction, const std::string& path);
  Status take_reader(std::unique_ptr<Reader>& out);
  void give_back(std::unique_ptr<Reader> reader);

  std::unique_ptr<lmdb::Environment> environment_;
  Databases databases_;
  std::uint32_t format_ = 0;
  bool writing_ = false;  // only the writing thread looks at it
  std::mutex mutex_;
  std::vector<std::unique_ptr<Reader>> idle_readers_;  // under mutex_
  std::size_t readers_out_ = 0;                        // under mutex_
};

}  // namespace harrier::persistence
