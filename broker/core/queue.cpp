// SPDX-License-Identifier: Apache-2.0
#include "broker/core/queue.hpp"

#include <algorithm>
#include <utility>

#include "broker/core/definition_records.hpp"

namespace harrier::broker {

using protocol::ReplyCode;

Queue::Queue(routing::QueueEntry entry, std::string vhost, UnsentLimits limits,
             Residents* residents)
    : entry_(std::move(entry)),
      vhost_(std::move(vhost)),
      limits_(limits),
      main_(entry_.id, 0, entry_.durable, residents != nullptr),
      residents_(residents) {
  const QueueSettings settings = read_queue_settings(entry_.arguments.view());
  if (settings.type == QueueType::Stream)
    stream_ = std::make_unique<Stream>(entry_, vhost_, limits_, residents_);
  apply(settings);
}

Queue::~Queue() {
  if (residents_ != nullptr) residents_->bytes -= accounted_bytes_;
  if (holder_) residents_->holders.erase(*holder_);
  if (unstored_) residents_->unstored.erase(*unstored_);
}

QueueInfo Queue::info() const {
  QueueInfo info;
  info.id = entry_.id;
  info.vhost = vhost_;
  info.name = entry_.name;
  info.messages_ready = ready_count();
  info.messages_paged = main_.backlog.paged();
  info.resident_bytes = accounted_bytes_;
  info.messages_published = next_seq_ - 1;
  info.consumers = consumer_count_;
  if (policy_) {
    info.policy = policy_->policy;
    info.operator_policy = policy_->operator_policy;
    info.effective_policy = policy_->definition;
  }
  info.effective_arguments = effective_arguments(entry_.arguments, policy_.get());
  for (const auto& slot : slots_) {
    if (slot) info.messages_unacknowledged += slot->unsettled.size();
  }
  if (stream_) stream_->describe(info);
  return info;
}

Queue::Taken Queue::publish(MessagePtr message, Outlet& outlet, bool dead_letter) {
  if (stream_) {
    stream_->publish(std::move(message), outlet);
    if (is_timed()) set_alarm(outlet);
    return Taken::Stored;
  }
  if (limit_ && !dead_letter && limit_->refuses(ready_count())) return refuse(message, outlet);
  Lane& lane = main_;
  const Seq seq = next_seq_++;
  const bool stored = is_stored(message);
  const Millis now = outlet.unix_ms();
  const bool expiring = expires(*message);
  if (stored) {
    if (expiring && Expiry::has_own(*message)) note_expiring(outlet);
    outlet.record(persistence::Enqueue{lane.part, seq, message, now,
                                       expiring ? Expiry::own_due(*message, now) : std::nullopt});
    if (residents_ != nullptr)
      lane.backlog.recorded(seq, outlet.current_batch(), outlet.durable_through());
  }
  if (limit_) limit_->came(seq, *message);
  if (lane.backlog.empty() && (!stored || keeps(lane, *message))) {
    if (expiring) lane.expiry->came({seq, message, 0, now});
    lane.ready.push({seq, std::move(message), 0, now});
    arriving_ = seq;
    deliver(outlet);
    arriving_ = 0;
    if (expiring) settle_arrival(outlet);
  } else {
    put_behind(lane, {seq, std::move(message), 0, now}, stored);
    deliver(outlet);
  }
  return stored ? Taken::Stored : Taken::InMemory;
}

void Queue::settle(const Settle& settle, Outlet& outlet) {
  if (stream_) return stream_->settle(settle, outlet);
  take_back(settle, outlet);
  if (!settle.more) deliver(outlet);
}

void Queue::take_back(const Settle& settle, Outlet& outlet) {
  if (settle.slot >= slots_.size() || !slots_[settle.slot]) return;
  QueueConsumer& consumer = *slots_[settle.slot];
  std::optional<Unsettled> taken = consumer.unsettled.take(settle.seq);
  if (!taken) return;
  if (settle.outcome == Outcome::Requeue) {
    put_back(settle.seq, std::move(*taken), outlet);
  } else if (settle.outcome == Outcome::Discard) {
    bury(lane_of(*taken), settle.seq, taken->message, DeathReason::Rejected, outlet);
  } else if (is_stored(taken->message)) {
    outlet.record(persistence::Settle{lane_of(*taken).part, settle.seq});
  }
  if ((consumer.cancelled || consumer.getter) && consumer.unsettled.empty()) {
    free_slot(consumer);
  } else {
    list_if_able(consumer);
  }
}

std::optional<GetResult> Queue::get(const Get& get, Outlet& outlet) {
  if (expires_) bury_expired(outlet);
  if (waiting_gets_.empty() && can_answer()) {
    GetResult result = take_for(get, outlet);
    if (residents_ != nullptr) {
      refill(main_, false, outlet);
      account();
    }
    if (is_timed()) set_alarm(outlet);
    return result;
  }
  waiting_gets_.push_back(get);
  deliver(outlet);
  return std::nullopt;
}

GetResult Queue::take_for(const Get& get, Outlet& outlet) {
  GetResult result;
  result.queue = entry_.id;
  Lane* const lane = next_lane();
  if (lane == nullptr) return result;
  Ready ready = take_ready(*lane);
  used_ = true;
  result.seq = ready.seq;
  result.redelivered = redelivered(ready);
  result.returns = ready.returns;
  result.remaining = ready_count();
  if (!get.no_ack) {
    auto [at, fresh] = getters_.try_emplace(get.channel, 0);
    if (fresh) {
      QueueConsumer& getter = add_slot();
      getter.ref.channel = get.channel;
      getter.getter = true;
      at->second = getter.slot;
    }
    result.slot = at->second;
    slots_[result.slot]->unsettled.insert(
        ready.seq, {ready.message, ready.returns, lane->level, ready.enqueued_ms});
  } else if (is_stored(ready.message)) {
    outlet.record(persistence::Settle{lane->part, ready.seq});
  }
  result.message = std::move(ready.message);
  return result;
}

std::optional<Refused> Queue::consume(const Consume& request) {
  if (stream_) return stream_->consume(request);
  if (exclusive_consumer_ || (request.exclusive && consumer_count_ > 0)) {
    return Refused{ReplyCode::AccessRefused,
                   "queue '" + entry_.name + "' in vhost '" + vhost_ + "' in exclusive use"};
  }
  QueueConsumer& consumer = add_slot();
  consumer.ref = request.consumer;
  consumer.priority = request.priority;
  consumer.prefetch = request.prefetch;
  consumer.no_ack = request.no_ack;
  consumer.exclusive = request.exclusive;
  consumer.gated = request.gated;
  if (consumer.gated) ++gated_count_;
  consumers_.emplace(consumer.ref, consumer.slot);
  ++consumer_count_;
  exclusive_consumer_ = request.exclusive;
  had_consumer_ = true;
  list_if_able(consumer);
  return std::nullopt;
}

bool Queue::cancel(const ConsumerRef& ref) {
  if (stream_) stream_->cancel(ref);
  QueueConsumer* consumer = find(ref);
  if (consumer == nullptr) return false;
  detach(*consumer);
  if (consumer->unsettled.empty()) free_slot(*consumer);
  return due_for_deletion();
}

void Queue::set_prefetch(const SetPrefetch& change, Outlet& outlet) {
  if (stream_) return stream_->set_prefetch(change, outlet);
  QueueConsumer* consumer = find(change.consumer);
  if (consumer == nullptr) return;
  consumer->prefetch = change.prefetch;
  if (consumer->gated != change.gated) {
    consumer->gated = change.gated;
    gated_count_ += change.gated ? 1u : ~0u;
    consumer->wanted = false;
    consumer->grants = 0;  // the channel counts afresh when its limit comes or goes
  }
  list_if_able(*consumer);
  deliver(outlet);
}

void Queue::grant(const Grant& grant, Outlet& outlet) {
  QueueConsumer* consumer = find(grant.consumer);
  if (consumer == nullptr || !consumer->gated) return;
  consumer->wanted = false;
  consumer->grants += grant.count;
  list_if_able(*consumer);
  deliver(outlet);
}

void Queue::sent(const Sent& sent, Outlet& outlet) {
  if (stream_) return stream_->sent(sent, outlet);
  QueueConsumer* consumer = find(sent.consumer);
  if (consumer == nullptr) return;
  consumer->unsent_messages -= std::min(sent.messages, consumer->unsent_messages);
  consumer->unsent_bytes -= std::min(sent.bytes, consumer->unsent_bytes);
  list_if_able(*consumer);
  deliver(outlet);
}

void Queue::deliver(Outlet& outlet) {
  if (stream_) return stream_->deliver(outlet);
  if (!outlet.delivers()) return;
  do {
    if (expires_) bury_expired(outlet);
    if (!waiting_gets_.empty()) answer_gets(outlet);
    while (Lane* lane = next_lane()) {
      QueueConsumer* consumer = next_consumer();
      if (consumer == nullptr) break;
      hand_over(*lane, *consumer, outlet);
    }
    if (limit_) drop_from_head(outlet);
  } while (refill(outlet));
  if (gated_count_ > 0) settle_grants(outlet);
  account();
  if (is_timed()) set_alarm(outlet);
}

// The next consumer in turn that can take a message; those that can't are struck off the list on
// the way.
QueueConsumer* Queue::next_consumer() {
  while (!available_.empty()) {
    Available& same_priority = available_.begin()->second;
    while (!same_priority.empty()) {
      QueueConsumer* consumer = same_priority.front();
      if (consumer->can_take(limits_)) {
        same_priority.splice(same_priority.end(), same_priority, same_priority.begin());
        return consumer;
      }
      consumer->available = false;
      same_priority.pop_front();
    }
    available_.erase(available_.begin());
  }
  return nullptr;
}

void Queue::hand_over(Lane& lane, QueueConsumer& consumer, Outlet& outlet) {
  Ready ready = take_ready(lane);
  used_ = true;
  if (consumer.gated) --consumer.grants;
  ++consumer.unsent_messages;
  consumer.unsent_bytes += ready.message->body().size();
  if (!consumer.no_ack) {
    consumer.unsettled.insert(ready.seq,
                              {ready.message, ready.returns, lane.level, ready.enqueued_ms});
  } else if (is_stored(ready.message)) {
    outlet.record(persistence::Settle{lane.part, ready.seq});
  }
  outlet.deliver({consumer.ref, entry_.id, ready.seq, consumer.slot, redelivered(ready), false,
                  ready.returns, std::move(ready.message)});
}

// Asks for grants while messages wait, and gives unused ones back when none do, so that a
// channel-wide limit is never held by a queue that has nothing to deliver (C-268, C-274).
void Queue::settle_grants(Outlet& outlet) {
  const bool has_next = next_lane() != nullptr;
  for (const auto& slot : slots_) {
    if (!slot || !slot->gated || slot->cancelled) continue;
    if (has_next && slot->grants == 0 && !slot->wanted && slot->has_room(limits_)) {
      slot->wanted = true;
      outlet.notify(slot->ref.channel.connection, GrantWanted{slot->ref});
    } else if (slot->grants > 0) {
      outlet.notify(slot->ref.channel.connection,
                    GrantReturned{slot->ref, std::exchange(slot->grants, 0u)});
    }
  }
}

std::uint32_t Queue::purge(Outlet& outlet) {
  const std::uint32_t count = ready_count();
  main_.purge(next_seq_, outlet);
  if (limit_) limit_->emptied();
  deliver(outlet);  // whoever waits for a message learns that there is none
  return count;
}

bool Queue::release(const ChannelRef& channel, Outlet& outlet) {
  if (stream_) stream_->release(channel);
  const bool had_consumers = consumer_count_ > 0;
  std::erase_if(waiting_gets_, [&](const Get& get) { return get.channel == channel; });
  for (const auto& slot : slots_) {
    if (!slot || !(slot->ref.channel == channel)) continue;
    QueueConsumer& consumer = *slot;
    requeue_all(consumer, outlet);
    if (!consumer.cancelled && !consumer.getter) detach(consumer);
    free_slot(consumer);
  }
  if (had_consumers && due_for_deletion()) return true;
  deliver(outlet);
  return false;
}

std::optional<Refused> Queue::may_delete(bool if_unused, bool if_empty) const {
  const std::string subject = "queue '" + entry_.name + "' in vhost '" + vhost_ + "' ";
  if (if_empty && ready_count() > 0)
    return Refused{ReplyCode::PreconditionFailed, subject + "not empty"};
  if (if_unused && consumer_count() > 0)
    return Refused{ReplyCode::PreconditionFailed, subject + "in use"};
  return std::nullopt;
}

void Queue::cancel_all(Outlet& outlet) {
  if (stream_) stream_->cancel_all(outlet);
  for (const auto& slot : slots_) {
    if (!slot || slot->cancelled || slot->getter) continue;
    outlet.notify(slot->ref.channel.connection, ConsumerCancelled{slot->ref});
  }
}

void Queue::close(Outlet& outlet) {
  for (const Get& get : std::exchange(waiting_gets_, {}))
    outlet.notify(get.reply.connection, Reply{get.reply, QueueMissing{}});
  outlet.wake_at(entry_.id, std::exchange(alarm_ms_, kNeverDue), kNeverDue);
  if (stream_) stream_->close(outlet);
  if (noted_expiring_) outlet.record(forget_expiring(entry_.id));
  if (entry_.durable) outlet.record(persistence::DropQueue{main_.part});
  if (main_.backlog.has_paged_out()) outlet.drop_paged(main_.part, 0, next_seq_ - 1);
}

QueueConsumer& Queue::add_slot() {
  if (free_slots_.empty()) {
    free_slots_.push_back(static_cast<std::uint32_t>(slots_.size()));
    slots_.emplace_back();
  }
  const std::uint32_t slot = free_slots_.back();
  free_slots_.pop_back();
  slots_[slot] = std::make_unique<QueueConsumer>();
  slots_[slot]->slot = slot;
  return *slots_[slot];
}

void Queue::free_slot(QueueConsumer& consumer) {
  if (consumer.getter) getters_.erase(consumer.ref.channel);
  const std::uint32_t slot = consumer.slot;
  slots_[slot].reset();
  free_slots_.push_back(slot);
}

QueueConsumer* Queue::find(const ConsumerRef& ref) {
  const auto at = consumers_.find(ref);
  return at == consumers_.end() ? nullptr : slots_[at->second].get();
}

void Queue::list_if_able(QueueConsumer& consumer) {
  if (consumer.available || !consumer.can_take(limits_)) return;
  consumer.available = true;
  available_[consumer.priority].push_back(&consumer);
}

void Queue::unlist(QueueConsumer& consumer) {
  if (!consumer.available) return;
  consumer.available = false;
  const auto at = available_.find(consumer.priority);
  at->second.remove(&consumer);
  if (at->second.empty()) available_.erase(at);
}

// Takes a consumer out of the running; what it has not settled stays with its channel.
void Queue::detach(QueueConsumer& consumer) {
  unlist(consumer);
  consumer.cancelled = true;
  if (consumer.gated) --gated_count_;
  if (consumer.exclusive) exclusive_consumer_ = false;
  consumers_.erase(consumer.ref);
  --consumer_count_;
}

void Queue::requeue_all(QueueConsumer& consumer, Outlet& outlet) {
  consumer.unsettled.take_to(~std::uint64_t{0}, [&](std::uint64_t seq, Unsettled unsettled) {
    put_back(seq, std::move(unsettled), outlet);
  });
}

}  // namespace harrier::broker
