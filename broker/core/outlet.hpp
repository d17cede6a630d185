// SPDX-License-Identifier: Apache-2.0
//
// Outlet: where a queue sends what concerns a connection: deliveries, cancellations, grants. The
// engine of the shard implements it (own shard: a direct call into the session, which only appends
// to its output; other shards: the outbox); unit tests implement it with a vector.
#pragma once

#include <vector>

#include "broker/core/backlog.hpp"
#include "broker/core/dead_letters.hpp"
#include "broker/core/shard_message.hpp"
#include "persistence/write_batch.hpp"

namespace harrier::broker {

class Outlet {
 public:
  virtual ~Outlet() = default;
  virtual void deliver(Delivery delivery) = 0;
  virtual void notify(ConnectionId to, ShardMessage message) = 0;
  // Part of the turn's write batch. By default nothing is kept, as for a queue that is tested
  // alone.
  virtual void record(persistence::Record) {}
  virtual Millis unix_ms() const { return 0; }
  // Goes to its queues after the caller has returned, in order, and within the turn: together with
  // what the caller has recorded, or not at all.
  virtual void dead_letter(DeadLetter) {}
  // The same for a copy of what an exchange has kept; and all shards route by that binding, and all
  // copies for it have arrived.
  virtual void hand_over(HistoryCopy) {}
  virtual void handed_over(std::uint32_t /*number*/) {}
  // The queue wants to be woken at that time, of unix_ms(), instead of the one before; kNeverDue is
  // none.
  virtual void wake_at(QueueId, Millis /*instead_of*/, Millis /*at*/) {}
  // The queue has more to write into the turn's batch, once, before that goes: see
  // Queue::write_late().
  virtual void before_commit(QueueId) {}
  // One more of the messages that exchanges have delayed may go out in this turn.
  virtual bool may_release_delayed() { return true; }
  // False once the broker is on its way down: what a closed connection returns would only go out
  // again to one that is about to be closed too, as a needless redelivery.
  virtual bool delivers() const { return true; }

  // ---- the store, for queues that page; see EngineWorld ----
  virtual void fetch(StoreId, const FetchRequest&) {}
  virtual void page_out(StoreId, std::vector<persistence::StoredMessage>, std::uint64_t /*token*/) {
  }
  virtual void drop_paged(StoreId, Seq /*from*/, Seq /*up_to*/) {}
  // Number of the batch that record() fills, and of the last one that is durable.
  virtual std::uint64_t current_batch() const { return 0; }
  virtual std::uint64_t durable_through() const { return 0; }
};

}  // namespace harrier::broker
