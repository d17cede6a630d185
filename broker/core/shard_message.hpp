// SPDX-License-Identifier: Apache-2.0
//
// Everything that crosses shards, as values. Each pair of shards is FIFO, and what one shard has
// put into a mailbox before it answers a client is there before anything that the client does next
// (end of turn: mailboxes, then sockets). A message for the own shard is handled by a direct call.
// Nothing here may fail: errors travel as values.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "broker/auth/authenticator.hpp"
#include "broker/core/due_ranges.hpp"
#include "broker/core/effective_policy.hpp"
#include "broker/core/ids.hpp"
#include "broker/core/store_id.hpp"
#include "broker/core/vhost_profile.hpp"
#include "persistence/message_store.hpp"
#include "protocol/error.hpp"
#include "protocol/message.hpp"

namespace harrier::broker {

using protocol::MessagePtr;
struct Definitions;
struct StreamSubscription;
struct ImportReport;

// Where the answer to a request goes: to the wait of a parked connection. The token tells its waits
// apart, and what it asked for within one.
struct ReplyTo {
  ConnectionId connection{};
  std::uint32_t token = 0;  // 0: nobody waits
};

// ---- to the shard of a queue ----

struct Publish {
  QueueId queue{};
  MessagePtr message;
  ChannelRef from;
  std::uint64_t confirm = 0;   // the publisher's sequence number; 0 = no answer wanted
  routing::DedupRule dedup{};  // the exchange's
};

// Fail: to be requeued, too, as what could not be dealt with; Requeue: as what was not dealt with.
enum class Outcome : std::uint8_t { Ack, Requeue, Fail, Discard };

struct Settle {
  QueueId queue{};
  Seq seq = 0;
  std::uint32_t slot = 0;  // as the delivery said
  Outcome outcome = Outcome::Ack;
  // More of the same method follows for this queue: it hands out again after the last one only, or
  // messages that return together could go out again in the wrong order.
  bool more = false;
  // How often the message had come back when it was delivered, in as many bits: the delivery may
  // have been too late, and the message be out again.
  std::uint16_t attempt = 0;
};

// After all publishes and settlements of a commit for queues of this shard, in the same batch of
// mail: they are in one write batch, joined with those of the commit's other shards. Answered by
// PublishSettled once it is durable. Dead letters make a commit too, of no channel.
struct CommitPart {
  ChannelRef channel;
  std::uint64_t transaction = 0;
  std::uint32_t parts = 0;  // shards that get one
};

struct Get {
  QueueId queue{};
  ChannelRef channel;
  bool no_ack = false;
  ReplyTo reply;
};

struct Consume {
  QueueId queue{};
  ConsumerRef consumer;
  std::int64_t priority = 0;
  std::uint32_t prefetch = 0;  // 0 = no limit
  bool no_ack = false;
  bool exclusive = false;
  bool gated = false;             // under a channel-wide limit: needs a grant for each message
  Millis timeout_ms = kNeverDue;  // for each delivery
  std::shared_ptr<const StreamSubscription> stream{};  // what it asks of a stream
  ReplyTo reply;
};

struct Cancel {
  QueueId queue{};
  ConsumerRef consumer;
  ReplyTo reply;
};

struct SetPrefetch {
  QueueId queue{};
  ConsumerRef consumer;
  std::uint32_t prefetch = 0;
  bool gated = false;
  ReplyTo reply;  // once it is in force, no grant of before is on its way any more
};

// Channel-wide limit: leave to deliver `count` messages. What the queue can't use comes back as
// GrantReturned.
struct Grant {
  QueueId queue{};
  ConsumerRef consumer;
  std::uint32_t count = 0;
};

// The socket took deliveries of this consumer: its share of the write buffer is free again.
struct Sent {
  QueueId queue{};
  ConsumerRef consumer;
  std::uint32_t messages = 0;
  std::uint64_t bytes = 0;
};

struct Purge {
  QueueId queue{};
  ReplyTo reply;
};

struct CountQueue {
  QueueId queue{};
  ReplyTo reply;
};

// To the queue where an exchange keeps its last messages, from every shard when it begins to route
// by a new binding of the exchange: behind all that it has routed without. HandedOver is the
// answer.
struct HandOver {
  QueueId history{};
  std::uint32_t number = 0;
  QueueId to_queue{};  // or
  std::string to_exchange;
};

// The channel is gone: its consumers leave, its unacknowledged messages return, its auto-delete
// queues go.
struct ReleaseChannel {
  ChannelRef channel;
  ReplyTo reply;
};

// A connection that the queue has blocked is no more.
struct PublisherGone {
  QueueId queue{};
  ConnectionId publisher{};
};

// ---- to the shard of a connection ----

// The queue asks its publishers to wait, and for how long.
struct QueueFull {
  QueueId queue{};
  ConnectionId publisher{};
};
struct QueueHasRoom {
  QueueId queue{};
  ConnectionId publisher{};
};

struct Delivery {
  ConsumerRef consumer;
  QueueId queue{};
  Seq seq = 0;
  std::uint32_t slot = 0;
  bool redelivered = false;
  bool shows_offset = false;  // of a stream: its position is shown, counted from 0
  std::uint32_t returns = 0;  // how often it has come back
  MessagePtr message;
};

struct PublishSettled {
  ChannelRef channel;
  std::uint64_t confirm = 0;
  bool accepted = true;
};

struct ConsumerCancelled {
  ConsumerRef consumer;
};

struct GrantWanted {
  ConsumerRef consumer;
};

struct GrantReturned {
  ConsumerRef consumer;
  std::uint32_t count = 0;
};

struct DirectReply {
  ChannelRef channel;
  std::string name;  // compared with the channel's, which nobody can guess
  MessagePtr message;
};

struct ProbeDirectReply {
  ChannelRef channel;
  std::string name;
  ReplyTo reply;
};

// ---- answers ----

struct Done {};
struct Refused {
  protocol::ReplyCode code{};
  std::string explanation;
};
struct Counted {
  std::uint32_t messages = 0;
  std::uint32_t consumers = 0;
};
struct QueueMissing {};
struct GetResult {
  MessagePtr message;  // empty: the queue is
  QueueId queue{};
  Seq seq = 0;
  std::uint32_t slot = 0;
  std::uint32_t remaining = 0;
  bool redelivered = false;
  std::uint32_t returns = 0;
};
struct QueueDeclared {
  QueueId queue{};
  std::string name;
  bool created = false;
};

struct Reply {
  ReplyTo to;
  std::variant<Done, Refused, Counted, QueueMissing, GetResult, QueueDeclared> result;
};

// ---- to the control shard ----

struct DeclareExchange {
  routing::Exchange exchange;
};
struct DeleteExchange {
  std::string name;
  bool if_unused = false;
};
struct DeclareQueue {
  routing::QueueEntry queue;  // without id; an empty name asks for a generated one
  ConnectionId connection{};
  ShardId preferred = 0;
  bool unlimited = false;          // operators may go beyond the limits that they set
  std::optional<Refused> unfit{};  // why a queue that is there may not take its arguments over
};
struct DeleteQueue {
  std::string name;
  ConnectionId connection{};
  bool if_unused = false;
  bool if_empty = false;
};
struct Bind {
  routing::Binding binding;
  ConnectionId connection{};
  bool unbind = false;
  bool hands_over = true;  // what the exchange has kept, if it keeps anything and this is new
};
struct DeleteExclusive {
  ConnectionId connection{};
};
// Queues that their shard has dropped already (auto-delete): the definitions follow.
struct QueuesGone {
  std::vector<QueueId> queues;
};

struct ControlRequest {
  ReplyTo reply;
  std::string vhost;
  std::variant<DeclareExchange, DeleteExchange, DeclareQueue, DeleteQueue, Bind, DeleteExclusive,
               QueuesGone>
      change;
};

struct QueueDropped {
  std::uint64_t deletion = 0;
  QueueId queue{};
  std::uint32_t messages = 0;
  std::optional<Refused> refused;
};

// All shards route by the new binding, and what was kept before it is where the binding leads.
struct HandedOver {
  std::uint32_t number = 0;
};

struct TopologySeen {
  ShardId shard = 0;
  std::uint64_t epoch = 0;
};

// ---- from the control shard ----

// Always in the mailbox of its shard before any shard sees a topology that names the queue.
struct CreateQueue {
  std::string vhost;
  routing::QueueEntryPtr queue;
  EffectivePolicyPtr policy{};
};
// What operators want of the queue from now on; null: nothing.
struct ApplyPolicy {
  QueueId queue{};
  EffectivePolicyPtr policy;
  routing::QueueEntryPtr declared{};  // as what, from now on; null: as before
};
struct DropQueue {
  std::uint64_t deletion = 0;
  QueueId queue{};
  bool if_unused = false;
  bool if_empty = false;
};
struct NewTopology {
  std::uint64_t epoch = 0;
  std::string vhost;
  routing::TopologyPtr topology;
  VhostProfilePtr profile;
  std::shared_ptr<const std::vector<HandOver>> handovers{};  // by bindings that are new in it
};
// Seen like a topology.
struct NewUsers {
  std::uint64_t epoch = 0;
  AuthenticatorPtr authenticator;
};

// From the operator, by way of the server. Answered when all of it is durable and seen by every
// shard, or at once if nothing changes.
struct ImportDefinitions {
  std::shared_ptr<const Definitions> definitions;
  bool dry_run = false;
  std::function<void(const ImportReport&)> done;  // on the control shard's thread
};

// ---- between all shards ----

struct Alarm {
  bool memory = false;
  bool disk = false;
};
// Bytes of publishes from that shard that this one has dealt with: leave to send more.
struct Processed {
  ShardId by = 0;
  std::uint64_t bytes = 0;
};

// A shard has seen that the memory in use is on the other side of the limit.
struct MemoryCrossed {};

// From the store, to the control shard: the disk has come to be short of space, or is no more.
struct DiskCrossed {
  bool low = false;
  std::string cause;  // for the log
};

// From the store: the shard's write batches up to this one are durable.
struct Durable {
  std::uint64_t batch = 0;
};

// From the store: what one of its queues has asked for (see EngineWorld).
struct Fetched {
  StoreId part{};
  std::uint64_t token = 0;
  std::vector<persistence::StoredMessage> messages;
  std::optional<Seq> next;  // first message that did not fit
};
struct PagedOut {
  StoreId part{};
  std::uint64_t token = 0;
};

using ShardMessage =
    std::variant<Publish, Settle, CommitPart, Delivery, PublishSettled, Sent, Get, Consume, Cancel,
                 SetPrefetch, Grant, Purge, CountQueue, ReleaseChannel, ConsumerCancelled,
                 GrantWanted, GrantReturned, DirectReply, ProbeDirectReply, Reply, ControlRequest,
                 QueueDropped, TopologySeen, CreateQueue, DropQueue, NewTopology, NewUsers,
                 ApplyPolicy, ImportDefinitions, Alarm, Processed, MemoryCrossed, DiskCrossed,
                 Durable, Fetched, PagedOut, QueueFull, QueueHasRoom, PublisherGone, HandOver,
                 HandedOver>;

// Not one of them, but where one comes from: what a history hands over, see Outlet::hand_over().
struct HistoryCopy {
  std::shared_ptr<const HandOver> order;
  MessagePtr message;
};

}  // namespace harrier::broker
