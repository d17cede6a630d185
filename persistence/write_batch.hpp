// SPDX-License-Identifier: Apache-2.0
//
// WriteBatch: the changes that become durable together, a value built by one shard during one turn
// and then moved into MessageStore::commit. Its encoding is canonical, one batch has exactly one:
// what a journal appends is what another node could apply. decode() is total: any bytes give a
// batch or nullopt, and never more memory than a small multiple of their size.
//
// Integers are big-endian; this is the batch's body, framing (magic, version, checksum) belongs to
// whoever writes it:
//
//   batch     = count:u32 record{count}
//   record    = 1:u8 queue:u64 seq:u64 enqueued-at:i64 expiry message     Enqueue
//             | 2:u8 queue:u64 seq:u64                                    Settle
//             | 3:u8 queue:u64 seq:u64 delivery-count:u32                 Requeue
//             | 4:u8 queue:u64                                            DropQueue
//             | 5:u8 queue:u64 from:u64 up-to:u64                         Purge
//             | 6:u8 kind:u8 vhost:long name:long value:long              Define
//             | 7:u8 kind:u8 vhost:long name:long                         Forget
//   expiry    = 0:u8 | 1:u8 expires-at:i64
//   message   = exchange:short routing-key:short properties:long body:long
//   short     = size:u8 byte{size}
//   long      = size:u32 byte{size}
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "protocol/bytes.hpp"
#include "protocol/message.hpp"

namespace harrier::persistence {

enum class QueueId : std::uint64_t {};  // never reused; the broker's id of the queue
using Seq = std::uint64_t;              // position in its queue, ascending, never reused
using Bytes = std::vector<std::uint8_t>;

// What Define and Forget are about. The values are on disk; in this order they come back at start,
// so that whatever refers to something else comes after it.
enum class Kind : std::uint8_t {
  Vhost = 1,
  Exchange = 2,
  Queue = 3,
  Binding = 4,
  User = 5,
  Permission = 6,
  Policy = 7,
  Parameter = 8,
  Counter = 9,  // numbers that must survive their owners, such as the last queue id
};
inline constexpr Kind kKindMax = Kind::Counter;

// A message enters a queue, at a position where none has been before.
struct Enqueue {
  QueueId queue{};
  Seq seq = 0;
  protocol::MessagePtr message;                                // never null in a batch
  std::int64_t enqueued_at_ms = 0;                             // since 1970
  std::optional<std::int64_t> expires_at_ms;                   // since 1970
  friend bool operator==(const Enqueue& a, const Enqueue& b);  // messages by content
};

// A message leaves its queue for good. Unknown ones are ignored: Enqueue and Settle may have met
// before they got here. The same holds for Requeue.
struct Settle {
  QueueId queue{};
  Seq seq = 0;
  friend bool operator==(const Settle&, const Settle&) = default;
};

// A message returns to its position after a delivery that was not settled; `delivery_count` is the
// new total. More than 0 means that the next delivery is a redelivery.
struct Requeue {
  QueueId queue{};
  Seq seq = 0;
  std::uint32_t delivery_count = 0;
  friend bool operator==(const Requeue&, const Requeue&) = default;
};

// The queue's messages and counters are gone. Its definition is forgotten by a Forget beside it.
struct DropQueue {
  QueueId queue{};
  friend bool operator==(const DropQueue&, const DropQueue&) = default;
};

// Every message of the queue from `from` to `up_to`, both included, leaves it, also those in
// delivery.
struct Purge {
  QueueId queue{};
  Seq from = 0;
  Seq up_to = 0;
  friend bool operator==(const Purge&, const Purge&) = default;
};

// (kind, vhost, name) has this value from now on; see persistence/definitions.hpp for the values.
// Names may be long (a binding's holds its arguments): a store whose keys are bounded digests them.
struct Define {
  Kind kind = Kind::Vhost;
  std::string vhost;
  std::string name;
  Bytes value;
  friend bool operator==(const Define&, const Define&) = default;
};

struct Forget {
  Kind kind = Kind::Vhost;
  std::string vhost;
  std::string name;
  friend bool operator==(const Forget&, const Forget&) = default;
};

using Record = std::variant<Enqueue, Settle, Requeue, DropQueue, Purge, Define, Forget>;

// A transaction over queues of several shards is in as many batches, one of each. They become
// durable together or not at all.
struct TransactionPart {
  std::uint64_t transaction = 0;  // never reused while the process lives
  std::uint32_t parts = 0;        // batches that have one
  friend bool operator==(const TransactionPart&, const TransactionPart&) = default;
};

class WriteBatch {
 public:
  void add(Record record) { records_.push_back(std::move(record)); }
  void reserve(std::size_t count) { records_.reserve(count); }

  // Not encoded: a store that has applied all parts has kept the promise.
  void join(TransactionPart part) { joined_.push_back(part); }
  const std::vector<TransactionPart>& joined() const { return joined_; }

  bool empty() const { return records_.empty() && joined_.empty(); }
  std::size_t size() const { return records_.size(); }
  const std::vector<Record>& records() const { return records_; }  // in the order of add()
  std::vector<Record> take_records() && { return std::move(records_); }

  friend bool operator==(const WriteBatch&, const WriteBatch&) = default;

 private:
  std::vector<Record> records_;
  std::vector<TransactionPart> joined_;
};

// Bytes that a message stands for in budgets and counts: exchange, routing key, properties, body.
std::size_t content_size(const protocol::Message& message);
bool equal_content(const protocol::Message& a, const protocol::Message& b);

std::size_t encoded_size(const WriteBatch& batch);
Bytes encode(const WriteBatch& batch);
// nullopt unless `bytes` is exactly one encoded batch whose properties are well-formed.
std::optional<WriteBatch> decode(protocol::ByteView bytes);

}  // namespace harrier::persistence
