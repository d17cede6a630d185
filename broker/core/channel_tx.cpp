// SPDX-License-Identifier: Apache-2.0
//
// The confirm and tx classes (conformance section 6).
#include <bit>
#include <utility>

#include "broker/core/arguments.hpp"
#include "broker/core/channel_impl.hpp"
#include "broker/core/engine.hpp"

namespace harrier::broker {

using protocol::AmqpError;
using protocol::ReplyCode;

void Channel::on(const protocol::ConfirmSelect& method) {
  if (transactional_)
    throw AmqpError(ReplyCode::PreconditionFailed, "cannot switch from tx to confirm mode");
  if (!confirms_) confirms_ = std::make_unique<Confirms>();
  if (!method.nowait) send(protocol::ConfirmSelectOk{});
}

void Channel::on(const protocol::TxSelect&) {
  if (confirms_)
    throw AmqpError(ReplyCode::PreconditionFailed, "cannot switch from confirm to tx mode");
  transactional_ = true;
  send(protocol::TxSelectOk{});
}

bool Channel::is_durable(QueueId id) {
  const routing::QueueEntry* queue = session_.vhost().topology->find_queue(id);
  return queue != nullptr && queue->durable;
}

bool Channel::stores_transient(QueueId id) {
  const routing::QueueEntry* queue = session_.vhost().topology->find_queue(id);
  return queue != nullptr && stores_all(*queue);
}

// One bit for each shard where the transaction may change what is stored.
std::uint64_t Channel::storing_shards(const std::vector<TxPublish>& publishes,
                                      const std::vector<TxSettle>& settles) {
  std::uint64_t shards = 0;
  const auto add = [&](QueueId queue) {
    if (is_durable(queue)) shards |= std::uint64_t{1} << shard_of(queue, engine().shards());
  };
  for (const TxPublish& publish : publishes) {
    for (const QueueId queue : publish.queues) {
      if (publish.message->persistent() || stores_transient(queue)) add(queue);
    }
  }
  for (const TxSettle& settle : settles) {
    if (const Unacked* unacked = unacked_.find(settle.tag)) add(unacked->queue);
  }
  return shards;
}

// Behind everything else of the commit: what one turn sends to one shard is read in one turn there,
// so all of it is in the write batch that this joins.
void Channel::send_commit_parts(std::uint64_t shards) {
  if (shards == 0) return;
  const auto parts = static_cast<std::uint32_t>(std::popcount(shards));
  const CommitPart part{ref_, engine().next_transaction(), parts};
  tx_unsettled_ += parts;
  for (unsigned shard = 0; shard < engine().shards(); ++shard) {
    if (shards >> shard & 1) engine().send(static_cast<ShardId>(shard), part);
  }
}

// Publishes first, then acks in order (C-390); commit-ok once every queue has answered for every
// message (C-391) and all of it is durable, together or not at all. The session waits meanwhile, so
// whatever the client pipelined behind the commit simply comes after it.
void Channel::on(const protocol::TxCommit&) {
  if (!transactional_)
    throw AmqpError(ReplyCode::PreconditionFailed, "channel is not transactional");
  const std::vector<TxPublish> publishes = std::exchange(tx_publishes_, {});
  const std::vector<TxSettle> settles = std::exchange(tx_settles_, {});
  const std::uint64_t shards = storing_shards(publishes, settles);
  committing_ = true;
  tx_refused_ = false;
  session_.park(1, [](Reply&) {});
  ++tx_unsettled_;  // so that answers that come at once do not end it early
  for (const TxPublish& publish : publishes) {
    if (publish.direct_reply) {
      publish_direct_reply(publish.message, publish.returned);
      continue;
    }
    if (publish.returned) send_return(publish.message);
    tx_unsettled_ += publish.queues.size();
    for (const QueueId queue : publish.queues)
      engine().publish({queue, publish.message, ref_, 1, publish.dedup});
  }
  for (const TxSettle& settle : settles) {
    if (auto unacked = unacked_.take(settle.tag)) this->settle(*unacked, settle.outcome, false);
  }
  give_grants();
  send_commit_parts(shards);
  --tx_unsettled_;
  finish_commit_if_settled();
}

void Channel::finish_commit_if_settled() {
  if (!committing_ || tx_unsettled_ > 0) return;
  committing_ = false;
  session_.unpark();
  session_.guarded(number(), protocol::TxCommit::kId, [this] {
    if (tx_refused_)
      throw AmqpError(ReplyCode::PreconditionFailed, "partial tx completion");  // C-392
    send(protocol::TxCommitOk{});
  });
}

void Channel::on(const protocol::TxRollback&) {
  if (!transactional_)
    throw AmqpError(ReplyCode::PreconditionFailed, "channel is not transactional");
  tx_publishes_.clear();
  for (const TxSettle& settle : std::exchange(tx_settles_, {})) {
    if (Unacked* unacked = unacked_.find(settle.tag))
      unacked->in_transaction = false;  // outstanding again (C-393)
  }
  send(protocol::TxRollbackOk{});
}

}  // namespace harrier::broker
