// SPDX-License-Identifier: Apache-2.0
//
// Image::Snapshot: the image as of one commit, whatever is written meanwhile. Used by one thread at
// a time, dies before its image, and should die soon. Views and what visitors are given are valid
// until the snapshot goes; a visitor returns false to stop. Failure: a Status that names the row
// that is damaged; what was visited before it is good.
#pragma once

#include <functional>
#include <optional>
#include <span>
#include <unordered_map>

#include "persistence/image.hpp"
#include "persistence/image_format.hpp"
#include "persistence/seq_ranges.hpp"

namespace harrier::persistence {

class Image::Snapshot {
 public:
  using ByteView = protocol::ByteView;

  struct Queue {
    QueueId queue{};
    Seq seq_max = 0;
    std::uint64_t messages = 0;
    std::uint64_t bytes = 0;
    friend bool operator==(const Queue&, const Queue&) = default;
  };
  struct Row {
    Seq seq = 0;
    std::uint32_t delivery_count = 0;
    bool large = false;
    // enqueued-at:i64 expiry message, or of a large one enqueued-at:i64 expiry: the message itself
    // is what content() gives.
    ByteView bytes;
    std::uint64_t content = 0;
    std::uint64_t content_bytes = 0;  // content_size(), of either
  };
  struct Count {
    std::uint64_t messages = 0;
    std::uint64_t bytes = 0;
    friend bool operator==(const Count&, const Count&) = default;
  };
  using RowVisitor = std::function<bool(const Row&)>;

  ~Snapshot();
  Snapshot(const Snapshot&) = delete;
  Snapshot& operator=(const Snapshot&) = delete;

  Status meta(Meta& out);
  // By kind, vhost, name.
  Status definitions(std::vector<Define>& out);
  // By id. Those that have seen a message and were not dropped since.
  Status queues(const std::function<bool(const Queue&)>& visit);
  Status queue(QueueId queue, std::optional<Queue>& out);

  // The queue's messages from `from` on, ascending.
  Status read(QueueId queue, Seq from, const RowVisitor& visit);
  Status find(QueueId queue, Seq seq, std::optional<Row>& out);
  // Those between `from` and `up_to`, both included. Reads them, unless that is the whole queue.
  Status count(QueueId queue, Seq from, Seq up_to, Count& out);

  // The encoded `message` of a large row, in pieces or in one.
  Status content(std::uint64_t id, const std::function<void(ByteView)>& visit);
  Status content(std::uint64_t id, Bytes& out);

  // Reads everything and compares: checksums, counters, references, parts. Takes as long as that.
  Status check();

 private:
  friend class Image;
  Snapshot(Image& image, std::unique_ptr<Reader> reader);

  using Contents = std::unordered_map<std::uint64_t, std::uint32_t>;  // id -> references seen

  template <class Visit>
  Status visit_all(lmdb::Database database, const char* what, const Visit& visit);
  Status get(lmdb::Database database, const char* what, ByteView key,
             std::optional<ByteView>& body);
  Status garbage_of(QueueId queue, SeqRanges& out);
  Status visit_live(QueueId queue, Seq from, Seq up_to, const RowVisitor& visit);
  Status check_queues(Contents& contents);
  Status check_contents(const Contents& contents);
  Status check_parts();

  Image& image_;
  std::unique_ptr<Reader> reader_;
};

}  // namespace harrier::persistence
