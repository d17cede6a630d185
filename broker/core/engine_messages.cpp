// SPDX-License-Identifier: Apache-2.0
//
// What each shard message does when it arrives.
#include <algorithm>
#include <bit>
#include <utility>

#include "broker/core/control.hpp"
#include "broker/core/engine.hpp"

namespace harrier::broker {

Queue* Engine::find_queue(QueueId id) {
  const auto at = queues_.find(id);
  return at == queues_.end() ? nullptr : at->second.get();
}

void Engine::drop_queue(QueueId id) {
  const auto at = queues_.find(id);
  at->second->close(*this);
  queues_.erase(at);
}

// A channel that goes through many short-lived queues leaves no trail of those that are gone.
void Engine::note_footprint(const ChannelRef& channel, QueueId queue) {
  constexpr std::size_t kSweepMin = 64;
  std::unordered_set<QueueId>& footprint = footprints_[channel];
  footprint.insert(queue);
  if (footprint.size() < kSweepMin || !std::has_single_bit(footprint.size())) return;
  std::erase_if(footprint, [this](QueueId id) { return !queues_.contains(id); });
}

// Auto-delete queues that have just gone here; whoever waits is answered once no shard knows them
// any more (C-259).
void Engine::report_gone(const std::string& vhost, std::vector<QueueId> queues,
                         const ReplyTo& reply) {
  send(kControlShard, ControlRequest{reply, vhost, QueuesGone{std::move(queues)}});
}

// ---- for queues ----

void Engine::on(Publish& m, ShardId from) {
  if (from != self_) processed_for_[from] += m.message->footprint();
  // A queue that has gone takes its messages along: an answer too, and not a refusal (C-375).
  Queue* queue = find_queue(m.queue);
  const bool dead_letter = m.from.connection == ConnectionId{};
  const Queue::Taken taken =
      queue == nullptr ? Queue::Taken::InMemory
                       : queue->publish(std::move(m.message), *this, dead_letter, m.dedup, from);
  if (!dead_letters_.empty()) send_dead_letters();
  if (queue != nullptr && !dead_letter && queue->blocks_publishers())
    queue->block(m.from.connection, *this);
  if (m.confirm == 0) return;
  const PublishSettled settled{m.from, m.confirm, taken != Queue::Taken::Refused};
  if (taken == Queue::Taken::Stored) {
    awaiting_durable_.emplace_back(current_batch(), settled);
  } else if (taken == Queue::Taken::Duplicate && queue->dedup().batch() > durable_) {
    // Confirmed when what it is a duplicate of is safe, which may be earlier than this turn.
    const std::uint64_t behind = awaiting_durable_.empty() ? 0 : awaiting_durable_.back().first;
    awaiting_durable_.emplace_back(std::max(behind, queue->dedup().batch()), settled);
  } else {
    send_to_connection(m.from.connection, settled);
  }
}

void Engine::on(PublisherGone& m, ShardId) {
  if (Queue* queue = find_queue(m.queue)) queue->forget_publisher(m.publisher);
}

void Engine::on(Settle& m, ShardId) { settle(m); }

void Engine::on(CommitPart& m, ShardId) {
  if (m.parts > 1) batch_.join({m.transaction, m.parts});
  if (m.channel.connection == ConnectionId{}) return;  // dead letters: nobody waits
  if (!late_writers_.empty()) write_late();            // what acknowledgements of it have led to
  const PublishSettled settled{m.channel, 0, true};
  if (batch_.empty()) {  // nothing of it is stored here after all
    send_to_connection(m.channel.connection, settled);
  } else {
    awaiting_durable_.emplace_back(current_batch(), settled);
  }
}

void Engine::on(Sent& m, ShardId) {
  if (Queue* queue = find_queue(m.queue)) queue->sent(m, *this);
}

void Engine::on(Get& m, ShardId) {
  Queue* queue = find_queue(m.queue);
  if (queue == nullptr) {
    reply(m.reply, QueueMissing{});
    return;
  }
  queue->touch(*this);
  std::optional<GetResult> result = queue->get(m, *this);
  if (!m.no_ack || !result) note_footprint(m.channel, m.queue);
  if (result) reply(m.reply, std::move(*result));
}

void Engine::on(Consume& m, ShardId) {
  Queue* queue = find_queue(m.queue);
  if (queue == nullptr) {
    reply(m.reply, QueueMissing{});
    return;
  }
  if (auto refused = queue->consume(m)) {
    reply(m.reply, std::move(*refused));
    return;
  }
  note_footprint(m.consumer.channel, m.queue);
  reply(m.reply, Done{});
  queue->touch(*this);
  queue->deliver(*this);
}

void Engine::on(Cancel& m, ShardId) {
  Queue* queue = find_queue(m.queue);
  if (queue != nullptr && queue->cancel(m.consumer)) {
    const std::string vhost = queue->vhost();
    drop_queue(m.queue);
    report_gone(vhost, {m.queue}, m.reply);
    return;
  }
  if (queue != nullptr) queue->touch(*this);
  reply(m.reply, Done{});
  if (queue != nullptr) queue->deliver(*this);  // another one may be the active one now (C-462)
}

void Engine::on(SetPrefetch& m, ShardId) {
  // Answered first: what the queue asks for under the new limit must come after the answer.
  reply(m.reply, Done{});
  if (Queue* queue = find_queue(m.queue)) queue->set_prefetch(m, *this);
}

void Engine::on(Grant& m, ShardId) {
  if (Queue* queue = find_queue(m.queue)) queue->grant(m, *this);
}

void Engine::on(Purge& m, ShardId) {
  Queue* queue = find_queue(m.queue);
  if (queue == nullptr) {
    reply(m.reply, QueueMissing{});
  } else {
    reply(m.reply, Counted{queue->purge(*this), queue->consumer_count()});
  }
}

void Engine::on(CountQueue& m, ShardId) {
  Queue* queue = find_queue(m.queue);
  if (queue == nullptr) {
    reply(m.reply, QueueMissing{});
  } else {
    queue->touch(*this);  // a declaration asks (C-224)
    reply(m.reply, Counted{queue->shown_count(), queue->consumer_count()});
  }
}

void Engine::on(ReleaseChannel& m, ShardId) {
  const auto footprint = footprints_.extract(m.channel);
  std::vector<QueueId> gone;
  std::string vhost;
  if (!footprint.empty()) {
    for (const QueueId id : footprint.mapped()) {
      Queue* queue = find_queue(id);
      if (queue == nullptr) continue;
      queue->touch(*this);
      if (!queue->release(m.channel, *this)) continue;
      vhost = queue->vhost();
      drop_queue(id);
      gone.push_back(id);
    }
  }
  if (gone.empty()) {
    reply(m.reply, Done{});
  } else {
    report_gone(vhost, std::move(gone), m.reply);
  }
}

Queue& Engine::add_queue(routing::QueueEntryPtr entry, std::string vhost) {
  const QueueId id = entry->id;
  auto queue =
      std::make_unique<Queue>(std::move(entry), std::move(vhost), options_.unsent, residents());
  return *queues_.emplace(id, std::move(queue)).first->second;
}

void Engine::on(CreateQueue& m, ShardId) {
  Queue& queue = add_queue(std::move(m.queue), std::move(m.vhost));
  if (m.policy) queue.set_policy(std::move(m.policy), *this);
  queue.start(*this);
}

void Engine::on(DropQueue& m, ShardId) {
  QueueDropped dropped;
  dropped.deletion = m.deletion;
  dropped.queue = m.queue;
  if (Queue* queue = find_queue(m.queue)) {
    dropped.refused = queue->may_delete(m.if_unused, m.if_empty);
    if (!dropped.refused) {
      dropped.messages = queue->ready_count();
      queue->cancel_all(*this);
      drop_queue(m.queue);
    }
  }
  send(kControlShard, std::move(dropped));
}

// ---- for connections ----

void Engine::on(Delivery& m, ShardId) {
  Session* session = find_session(m.consumer.channel.connection);
  if (session == nullptr) return;  // its queue has been told, and keeps the message
  session->on_delivery(m);
  mark_dirty(*session);
}

void Engine::on(PublishSettled& m, ShardId) {
  Session* session = find_session(m.channel.connection);
  if (session == nullptr) return settle_history(m);
  session->on_publish_settled(m);
  mark_dirty(*session);
}

void Engine::on(QueueFull& m, ShardId) {
  if (Session* session = find_session(m.publisher)) {
    session->on_queue_full(m.queue);
  } else {
    send_to_queue(m.queue, PublisherGone{m.queue, m.publisher});
  }
}

void Engine::on(QueueHasRoom& m, ShardId) {
  if (Session* session = find_session(m.publisher)) session->on_queue_has_room(m.queue);
}

void Engine::on(ConsumerCancelled& m, ShardId) {
  Session* session = find_session(m.consumer.channel.connection);
  if (session == nullptr) return;
  session->on_consumer_cancelled(m);
  mark_dirty(*session);
}

void Engine::on(GrantWanted& m, ShardId) {
  if (Session* session = find_session(m.consumer.channel.connection)) session->on_grant_wanted(m);
}

void Engine::on(GrantReturned& m, ShardId) {
  if (Session* session = find_session(m.consumer.channel.connection)) session->on_grant_returned(m);
}

void Engine::on(DirectReply& m, ShardId) {
  Session* session = find_session(m.channel.connection);
  if (session == nullptr) return;
  session->on_direct_reply(m);
  mark_dirty(*session);
}

void Engine::on(ProbeDirectReply& m, ShardId) {
  const Session* session = find_session(m.channel.connection);
  if (session != nullptr && session->has_reply_consumer(m.channel, m.name)) {
    reply(m.reply, Done{});
  } else {
    reply(m.reply, QueueMissing{});
  }
}

void Engine::on(Reply& m, ShardId) {
  if (Session* session = find_session(m.to.connection)) session->on_reply(m);
}

// ---- for and from the control shard ----

void Engine::on(ControlRequest& m, ShardId) { control_->on_request(m); }

void Engine::on(QueueDropped& m, ShardId) { control_->on_queue_dropped(m); }

void Engine::on(HandedOver& m, ShardId) { control_->on_handed_over(m); }

void Engine::on(TopologySeen& m, ShardId) { control_->on_topology_seen(m); }

void Engine::on(NewTopology& m, ShardId) {
  set_vhost({m.vhost, std::move(m.topology), std::move(m.profile)});
  begin_handovers(m);
  send(kControlShard, TopologySeen{self_, m.epoch});
}

void Engine::on(NewUsers& m, ShardId) {
  set_authenticator(std::move(m.authenticator));
  send(kControlShard, TopologySeen{self_, m.epoch});
}

void Engine::on(ApplyPolicy& m, ShardId) {
  Queue* const queue = find_queue(m.queue);
  if (queue == nullptr) return;
  if (m.declared) queue->set_entry(std::move(m.declared));
  queue->set_policy(std::move(m.policy), *this);
}

void Engine::on(ImportDefinitions& m, ShardId) { control_->on_import(m); }

// ---- for all ----

void Engine::on(Alarm& m, ShardId) {
  alarm_ = m;
  for (const auto& [id, session] : sessions_) session->on_alarm();
}

void Engine::on(MemoryCrossed&, ShardId) { decide_memory_alarm(); }

void Engine::on(DiskCrossed& m, ShardId) {
  if (m.low == alarm_.disk) return;
  log(2, m.low ? "disk alarm: " + m.cause + "; publishers are blocked"
               : "disk alarm is over; publishers go on");
  tell_all(Alarm{alarm_.memory, m.low});
}

void Engine::on(Durable& m, ShardId) {
  durable_ = m.batch;
  while (!awaiting_durable_.empty() && awaiting_durable_.front().first <= durable_) {
    const PublishSettled settled = awaiting_durable_.front().second;
    awaiting_durable_.pop_front();
    send_to_connection(settled.channel.connection, settled);
  }
  wake_waiting_queues();
  if (control_) control_->on_durable();
}

void Engine::on(Processed& m, ShardId) {
  in_flight_to_[m.by] -= m.bytes;
  if (in_flight_to_[m.by] > options_.shard_window_bytes / 2) return;
  for (const ConnectionId id : std::exchange(window_waiters_, {})) {
    if (Session* session = find_session(id)) session->on_window_open();
  }
}

}  // namespace harrier::broker
