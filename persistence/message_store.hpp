// SPDX-License-Identifier: Apache-2.0
//
// MessageStore: the seam between the broker and what makes its state durable. Owned by the server,
// shared by all shards: it goes after their threads have stopped and before what its dones refer
// to. Nothing above it may assume a local disk.
// Threads: recover() comes first, once, alone. After that commit(), fetch() and stats() may be
// called from any thread at any time. Callbacks run on a thread of the store's choosing or inside
// the call itself; they must not block, must not throw, and may call commit() and fetch().
// Failure: a batch that fails is terminal. Its done and that of every later batch gets the error,
// whether the failed ones survive is unknown, and the broker stops confirming and exits.
// The destructor finishes what has been committed: every done has been called when it returns.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <optional>
#include <vector>

#include "persistence/status.hpp"
#include "persistence/write_batch.hpp"

namespace harrier::persistence {

struct StoredMessage {
  Seq seq = 0;
  protocol::MessagePtr message;
  std::int64_t enqueued_at_ms = 0;
  std::optional<std::int64_t> expires_at_ms;
  std::uint32_t delivery_count = 0;  // as of the last Requeue
};

// What one queue holds. A queue is opened from the counters; time to start must not depend on the
// backlog, so only the head comes along, the rest is fetched when it is needed.
struct RecoveredQueue {
  QueueId queue{};
  // The highest that was ever enqueued, also if it was settled since; the next is above it. One
  // that came and went without a trace may not count, nor its queue, if it had no other.
  Seq seq_max = 0;
  std::uint64_t messages = 0;       // all that it holds, the head included
  std::uint64_t bytes = 0;          // their content_size
  std::vector<StoredMessage> head;  // ascending
  // Where to fetch what is after the head: at or below its first message.
  std::optional<Seq> next;
};

struct Recovery {
  // Asked for: content_size of each queue's head, as in fetch(); 0 means no head.
  std::size_t head_bytes_max = std::numeric_limits<std::size_t>::max();

  // Given back. False after a crash: what a queue holds may have been delivered before, though no
  // Requeue says so.
  bool clean = true;
  // Definitions by kind, vhost, name. Queues by id: those that have seen an Enqueue
  // and no DropQueue since, the emptied ones included. A queue that no definition names is left
  // over from a crash between two batches: drop it.
  std::vector<Define> definitions;
  std::vector<RecoveredQueue> queues;
};

struct Fetched {
  Status status;
  std::vector<StoredMessage> messages;  // ascending
  std::optional<Seq> next;              // first message that did not fit; nullopt: that was all
};

// Two pages of one queue, each read with bytes_max from the same position, as one page.
Fetched merge(Fetched a, Fetched b, std::size_t bytes_max);

using OnDurable = std::function<void(const Status&)>;
using OnFetched = std::function<void(Fetched)>;

struct StoreStats {
  std::uint64_t batches = 0;         // made durable since start
  std::uint64_t records = 0;         // in them
  std::uint64_t enqueued_bytes = 0;  // content_size of the messages in them
  std::uint64_t queues = 0;          // held now, as in Recovery
  std::uint64_t messages = 0;        // held now
  std::uint64_t message_bytes = 0;   // their content_size
  std::uint64_t definitions = 0;     // held now
  Status failure;                    // what ended durability; ok as long as all is well
};

class MessageStore {
 public:
  virtual ~MessageStore() = default;

  // What the store holds: everything whose done was ok, and whole batches only.
  virtual Status recover(Recovery& out) = 0;

  // Applies the records in order, all or none. `done` is called exactly once, after those of all
  // earlier batches of the same calling thread; ok means that the batch survives power loss.
  // Batches joined by a transaction survive together or not at all: the done of one, and of what
  // the same thread commits after it, may wait until all parts have been committed.
  virtual void commit(WriteBatch batch, OnDurable done) = 0;

  // The queue's messages from position `from` on, as many as fit into bytes_max of content_size, at
  // least one if there is any. Sees every batch whose done was ok before the call, and never a part
  // of a batch. An unknown queue is empty.
  virtual void fetch(QueueId queue, Seq from, std::size_t bytes_max, OnFetched done) = 0;

  // Transient messages that memory has no room for, of one queue, at positions that the queue does
  // not hold yet: fetch() gives them among the durable ones once `done` was called, which keeps no
  // order with the dones of commit(). They count nowhere, and are gone after a restart.
  virtual void page_out(QueueId queue, std::vector<StoredMessage> messages, OnDurable done) = 0;
  // Those from `from` to `up_to`, both included, are not wanted any more.
  virtual void drop_paged(QueueId queue, Seq from, Seq up_to) = 0;

  virtual StoreStats stats() const = 0;

 protected:
  MessageStore() = default;
  MessageStore(const MessageStore&) = delete;
  MessageStore& operator=(const MessageStore&) = delete;
};

}  // namespace harrier::persistence
