// SPDX-License-Identifier: Apache-2.0
//
// Image::Writer: one transaction, made and used by the checkpointer, that dies before its image.
// Calls apply in order; commit() makes them durable together, a destructor without it forgets them.
// Failure: the first one is latched, later calls do nothing, and commit() returns it: nothing has
// changed then. What a call looks up it keeps until commit(), so memory is by the number of queues
// and contents that are touched.
#pragma once

#include <optional>
#include <span>
#include <unordered_map>

#include "persistence/image.hpp"
#include "persistence/image_format.hpp"
#include "persistence/seq_ranges.hpp"

namespace harrier::persistence {

class Image::Writer {
 public:
  using ByteView = protocol::ByteView;

  ~Writer();
  Writer(const Writer&) = delete;
  Writer& operator=(const Writer&) = delete;

  // Deletes up to `rows_max` rows of garbage. Comes first, before any other call.
  void sweep(std::size_t rows_max);

  // `tail` = enqueued-at:i64 expiry message. Replaces the row that is there.
  void put(QueueId queue, Seq seq, std::uint32_t delivery_count, ByteView tail);
  // `head` = enqueued-at:i64 expiry; content_bytes is content_size(). The row holds a reference to
  // the content, which must be there by commit().
  void put_large(QueueId queue, Seq seq, std::uint32_t delivery_count, ByteView head,
                 std::uint64_t content, std::uint64_t content_bytes);
  // The encoded `message`, in pieces; nothing if the id is there already. Gone at commit() if no
  // row refers to it.
  void put_content(std::uint64_t id, std::span<const ByteView> pieces);
  void set_delivery_count(QueueId queue, Seq seq, std::uint32_t delivery_count);  // if it is there
  // The messages from `from` to `up_to`, both included, that are there. Few are deleted at once,
  // many by sweeps to come; counters are right at once.
  void erase(QueueId queue, Seq from, Seq up_to);
  void drop(QueueId queue);                  // the queue and all it holds
  void set_seq_max(QueueId queue, Seq seq);  // never lowers it; the queue is known from now on
  void define(const Define& definition);
  void forget(const Forget& definition);
  void set_meta(const Meta& meta);

  // Status so far: lets a long series of calls stop early.
  const Status& status() const { return status_; }
  Status commit();
  bool garbage_left() const { return garbage_left_; }  // after commit()

 private:
  friend class Image;
  explicit Writer(Image& image) : image_(image) {}
  Status begin();

  struct QueueState {
    bool known = false;  // has a row in `queues`
    image::QueueCounters counters;
    SeqRanges garbage;
    bool row_changed = false;
    bool garbage_changed = false;
  };
  struct ContentState {
    bool there = false;   // its row and its parts
    bool stored = false;  // its row was there when this transaction began
    std::uint64_t references = 0;
    std::uint64_t size = 0;
  };

  bool good(lmdb::Code code, const char* what);  // latches; whether all is well
  void fail(std::string error);
  QueueState* queue_state(QueueId queue);  // null: failed
  ContentState* content_state(std::uint64_t id);
  bool load_garbage(QueueId queue, SeqRanges& out);
  void put_row(QueueId queue, Seq seq, const image::MessageRow& row);
  lmdb::Code insert_row(const QueueState& state, QueueId queue, Seq seq, ByteView key,
                        std::size_t size, std::uint8_t*& out);
  void account_replaced(QueueState& state, Seq seq, ByteView old_value);
  // The row at the cursor is no message of the queue any more.
  void discount(QueueState& state, const image::MessageRow& row);
  void release(const image::MessageRow& row);
  void erase_one(QueueState& state, QueueId queue, Seq seq);
  void erase_range(QueueState& state, QueueId queue, Seq from, Seq up_to);
  bool is_whole(QueueState& state, QueueId queue, Seq from, Seq up_to);
  bool seek_live(QueueState& state, QueueId queue, Seq& seq);  // first at or above; false: none
  bool definition_place(const Define& definition, Bytes& key, bool& found);
  bool sweep_rows(std::size_t& budget);
  bool sweep_parts(std::size_t& budget);
  std::size_t erase_parts(std::uint64_t content, std::size_t parts_max);
  void flush_queues();
  void flush_garbage(QueueId queue, const QueueState& state);
  void flush_contents();
  void close_cursors();

  Image& image_;
  Status status_;
  bool began_ = false;
  bool used_ = false;  // a call that is not sweep() has come
  bool garbage_left_ = false;
  std::size_t parts_erased_ = 0;
  std::optional<QueueId> last_queue_;  // of the highest row when this transaction began
  lmdb::Transaction transaction_;
  lmdb::Cursor definitions_;
  lmdb::Cursor queues_;
  lmdb::Cursor messages_;
  lmdb::Cursor contents_;
  lmdb::Cursor parts_;
  lmdb::Cursor garbage_;
  std::unordered_map<QueueId, QueueState> queue_states_;
  std::unordered_map<std::uint64_t, ContentState> content_states_;
};

}  // namespace harrier::persistence
