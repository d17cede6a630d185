// SPDX-License-Identifier: Apache-2.0
//
// The payload of a journal entry: what one flush makes durable, from several write batches, all or
// nothing. Messages that come and go within it are left out; a large message that goes to several
// queues is written once. Records are those of persistence/write_batch.hpp and two more:
//
//   entry     = record*
//   record    = ...                                                       tags 1 to 7
//             | 8:u8 content:u64 message                                  Content
//             | 9:u8 queue:u64 seq:u64 times content:u64 size:u64         EnqueueLarge
//   times     = enqueued-at:i64 expiry
//
// A Content stands before the first EnqueueLarge that names it, in the same or an earlier entry
// since the checkpoint that the journal is replayed from. `size` is its content_size.
// The *tail* of an enqueue is what follows its position: that is what LMDB keeps too.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <unordered_set>
#include <vector>

#include "persistence/write_batch.hpp"

namespace harrier::persistence {

using ContentId = std::uint64_t;  // never reused; 0 is none

// A message larger than this is a Content of its own: beyond it LMDB would give each value pages of
// its own (storage format, "messages").
inline constexpr std::size_t kInlineTailMax = 1'900;

// Where the tail of an enqueue stands in its entry. In a large one the content's id and size follow
// the times, else the message itself.
struct TailPlace {
  std::size_t offset = 0;
  std::uint16_t size = 0;
  std::uint16_t times_size = 0;
  ContentId content = 0;  // 0: none
};

// Told what each record says.
class EntryVisitor {
 public:
  virtual ~EntryVisitor() = default;
  virtual void on_enqueue(QueueId queue, Seq seq, const TailPlace& tail) = 0;
  virtual void on_content(ContentId content, std::size_t offset, std::size_t size) = 0;
  virtual void on(const Settle& record) = 0;
  virtual void on(const Requeue& record) = 0;
  virtual void on(const DropQueue& record) = 0;
  virtual void on(const Purge& record) = 0;
  virtual void on(Define& record) = 0;
  virtual void on(const Forget& record) = 0;
};
// False if the bytes are no entry; what came before the fault has been visited.
bool read_entry(protocol::ByteView payload, EntryVisitor& visitor);

// Writes one entry after the other, with buffers that stay. Owned by the commit loop, which uses it
// on one thread at a time. Bodies of `kReferencedBodyMin` bytes and more are not copied: the
// batches must live until the entry is written.
class EntryWriter {
 public:
  // `known(id)`: the Content of this id was written since the last checkpoint.
  using Known = std::function<bool(ContentId)>;

  void begin(ContentId next_content, Known known);
  void add(const WriteBatch& batch);
  // The encoding of all that has been added, empty if nothing is left to write.
  std::span<const protocol::ByteView> finish();

  ContentId next_content() const { return next_content_; }
  std::size_t size() const { return size_; }  // of the encoding, after finish()
  std::uint64_t enqueued_bytes() const { return enqueued_bytes_; }  // content_size, all messages

 private:
  struct Settled {
    QueueId queue{};
    Seq seq = 0;
    std::size_t order = 0;  // among the entry's records
    bool left_out = false;  // together with its message
  };
  // Bytes of the buffer up to `end`, then those of `referenced`.
  struct Cut {
    std::size_t end = 0;
    protocol::ByteView referenced;
  };

  void collect_settled();
  Settled* find_settled(QueueId queue, Seq seq);
  bool leave_out(const Enqueue& record, std::size_t order);
  bool left_out(const Settle& record);
  void write(const Enqueue& record);
  void write_large(const Enqueue& record, std::size_t tail_size);
  std::uint8_t* make_room(std::size_t size);
  ContentId content_of(const protocol::MessagePtr& message);

  std::vector<const WriteBatch*> batches_;
  std::vector<Settled> settled_;  // by queue and position
  std::size_t left_out_ = 0;
  std::unordered_set<ContentId> contents_;  // written in this entry
  ContentId next_content_ = 1;
  Known known_;
  std::vector<std::uint8_t> buffer_;
  std::size_t used_ = 0;
  std::vector<Cut> cuts_;
  std::vector<protocol::ByteView> pieces_;
  std::size_t size_ = 0;
  std::uint64_t enqueued_bytes_ = 0;
};

}  // namespace harrier::persistence
