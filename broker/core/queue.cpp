// SPDX-License-Identifier: Apache-2.0
#include "broker/core/queue.hpp"

#include <algorithm>
#include <utility>

#include "broker/core/definition_records.hpp"
#include "broker/core/stream.hpp"

namespace harrier::broker {

using protocol::ReplyCode;

Queue::Queue(routing::QueueEntryPtr entry, std::string vhost, UnsentLimits limits,
             Residents* residents)
    : entry_(std::move(entry)),
      id_(entry_->id),
      vhost_(std::move(vhost)),
      main_(id_, 0, entry_->durable, residents != nullptr),
      residents_(residents),
      roster_(limits),
      durable_(entry_->durable) {
  if (is_history_queue(entry_->name)) history_ = std::make_unique<RecentHistory>(main_);
  if (is_delayed_queue(entry_->name))
    exchange_ = std::make_unique<DelayedExchange>(vhost_, entry_->name, delayed());
  const QueueSettings settings = read_queue_settings(entry_->arguments.view());
  if (settings.type == QueueType::Stream)
    stream_ = std::make_unique<Stream>(entry_, vhost_, limits, residents_);
  apply(settings);
}

Queue::~Queue() {
  if (residents_ != nullptr) residents_->bytes -= accounted_bytes_;
  if (holder_) residents_->holders.erase(*holder_);
  if (unstored_) residents_->unstored.erase(*unstored_);
}

QueueInfo Queue::info() const {
  QueueInfo info;
  info.id = id_;
  info.vhost = vhost_;
  info.name = entry_->name;
  info.messages_ready = ready_count();
  if (delayed_) {
    info.messages_delayed = delayed_->count();
    info.delayed_in_memory = delayed_->in_memory();
  }
  if (priorities_.kind != PriorityRule::Kind::None)
    info.ready_by_level.resize(priorities_.highest + 1u);
  for_each_occupied([&](const Lane& lane) {
    info.messages_paged += lane.backlog.paged();
    if (lane.level < info.ready_by_level.size()) info.ready_by_level[lane.level] = lane.count();
  });
  info.resident_bytes = accounted_bytes_;
  info.messages_published = next_seq_ - 1;
  info.consumers = roster_.count();
  if (roster_.active() != nullptr) info.single_active = roster_.active()->ref;
  if (policy_) {
    info.policy = policy_->policy;
    info.operator_policy = policy_->operator_policy;
    info.effective_policy = policy_->definition;
  }
  info.effective_arguments = effective_arguments(entry_->arguments, policy_.get());
  roster_.for_each([&](const QueueConsumer& consumer) {
    info.messages_unacknowledged += consumer.unsettled.size();
  });
  if (stream_) stream_->describe(info);
  return info;
}

Queue::Taken Queue::publish(MessagePtr message, Outlet& outlet, bool dead_letter,
                            DedupRule by_exchange, ShardId by_shard) {
  bool deduplicates = !dead_letter && (dedup_ || by_exchange.any());
  if (exchange_ && DelayedExchange::is_wish(*message)) deduplicates = false;
  if (deduplicates && dedup().came_before(*message, by_exchange, outlet.unix_ms()))
    return Taken::Duplicate;
  if (stream_) {
    if (deduplicates) dedup_->accept(true, outlet);
    stream_->publish(std::move(message), outlet);
    set_alarm(outlet);
    return Taken::Stored;
  }
  if (exchange_) {
    if (deduplicates) dedup_->accept(durable_, outlet);
    return delay(std::move(message), outlet);
  }
  if (limit_ && !dead_letter && limit_->refuses(ready_count())) return refuse(message, outlet);
  Lane& lane = lane_at(priorities_.level_of(*message));
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
  if (deduplicates) dedup_->accept(stored, outlet);
  if (limit_) limit_->came(seq, *message);
  if (history_) history_->came(message, by_shard, outlet);
  if (lane.backlog.empty() && (!stored || keeps(lane, *message))) {
    if (expiring) lane.expiry->came({seq, message, 0, now});
    lane.ready.push({seq, std::move(message), 0, now});
    changed(lane);
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
  QueueConsumer* const holder = roster_.at(settle.slot);
  if (holder == nullptr) return;
  QueueConsumer& consumer = *holder;
  if (had_late_ && was_late(consumer, settle)) return;
  std::optional<Unsettled> taken = consumer.unsettled.take(settle.seq);
  if (!taken) return;
  note_settled(*taken);
  if (settle.outcome == Outcome::Requeue || settle.outcome == Outcome::Fail) {
    put_back(settle.seq, std::move(*taken), settle.outcome == Outcome::Fail, outlet);
  } else if (settle.outcome == Outcome::Discard) {
    bury(lane_at(taken->level), settle.seq, taken->message, DeathReason::Rejected, outlet);
  } else if (is_stored(taken->message)) {
    leaves_store(lane_at(taken->level), settle.seq, outlet);
  }
  if ((consumer.cancelled || consumer.getter) && consumer.unsettled.empty()) {
    roster_.remove(consumer);
  } else {
    offer(consumer);
  }
}

std::optional<GetResult> Queue::get(const Get& get, Outlet& outlet) {
  if (delayed_) release_delayed(outlet);
  if (expires_) bury_expired(outlet);
  if (waiting_gets_.empty() && can_answer(get, outlet)) {
    GetResult result = take_for(get, outlet);
    if (blocked_) release_publishers(outlet);
    if (residents_ != nullptr) {
      refill(true, outlet);
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
  result.queue = id_;
  Lane* lane = nullptr;
  std::optional<Ready> taken = take_for_getter(get, lane, outlet);
  if (!taken) return result;
  Ready ready = std::move(*taken);
  used_ = true;
  result.seq = ready.seq;
  result.redelivered = redelivered(ready);
  result.returns = ready.returns;
  result.remaining = ready_count();
  if (!get.no_ack) {
    QueueConsumer& getter = roster_.getter(get.channel);
    result.slot = getter.slot;
    getter.unsettled.insert(ready.seq,
                            {ready.message, ready.returns, lane->level, ready.enqueued_ms});
    if (has_clocks_) start_clock(getter, ready, outlet.unix_ms());
  } else if (is_stored(ready.message)) {
    leaves_store(*lane, ready.seq, outlet);
  }
  if (caps_) caps_->handed_out(get.no_ack);
  if (groups_) {
    groups_->handed_out(*ready.message, get.no_ack);
    if (!get.no_ack) groups_->lend(*ready.message, result.slot);
  }
  result.message = std::move(ready.message);
  return result;
}

std::optional<Refused> Queue::consume(const Consume& request) {
  if (stream_) return stream_->consume(request);
  if (roster_.refuses(request.exclusive)) {
    return Refused{ReplyCode::AccessRefused,
                   "queue '" + entry_->name + "' in vhost '" + vhost_ + "' in exclusive use"};
  }
  QueueConsumer& consumer = roster_.add(request);
  if (timeout_ms_ != kNeverDue || consumer.timeout_ms != kNeverDue) set_clock(consumer, 0);
  if (groups_) groups_->joined(consumer, roster_);
  return std::nullopt;
}

bool Queue::cancel(const ConsumerRef& ref) {
  if (stream_) stream_->cancel(ref);
  QueueConsumer* consumer = roster_.find(ref);
  if (consumer == nullptr) return false;
  leave(*consumer);
  if (consumer->unsettled.empty()) roster_.remove(*consumer);
  return due_for_deletion();
}

void Queue::set_prefetch(const SetPrefetch& change, Outlet& outlet) {
  if (stream_) return stream_->set_prefetch(change, outlet);
  QueueConsumer* consumer = roster_.find(change.consumer);
  if (consumer == nullptr) return;
  consumer->prefetch = change.prefetch;
  roster_.set_gated(*consumer, change.gated);
  offer(*consumer);
  deliver(outlet);
}

void Queue::grant(const Grant& grant, Outlet& outlet) {
  QueueConsumer* consumer = roster_.find(grant.consumer);
  if (consumer == nullptr || !consumer->gated) return;
  consumer->wanted = false;
  consumer->grants += grant.count;
  offer(*consumer);
  deliver(outlet);
}

void Queue::sent(const Sent& sent, Outlet& outlet) {
  if (stream_) return stream_->sent(sent, outlet);
  QueueConsumer* consumer = roster_.find(sent.consumer);
  if (consumer == nullptr) return;
  consumer->unsent_messages -= std::min(sent.messages, consumer->unsent_messages);
  consumer->unsent_bytes -= std::min(sent.bytes, consumer->unsent_bytes);
  offer(*consumer);
  deliver(outlet);
}

void Queue::deliver(Outlet& outlet) {
  if (stream_) return stream_->deliver(outlet);
  if (!outlet.delivers()) return;
  do {
    if (delayed_) release_delayed(outlet);
    if (expires_) bury_expired(outlet);
    if (!waiting_gets_.empty()) answer_gets(outlet);
    if (groups_) {
      hand_out_groups(outlet);
    } else {
      while (Lane* const lane = may_hand_out(outlet) ? next_lane() : nullptr) {
        QueueConsumer* const consumer = roster_.next();
        if (consumer == nullptr) break;
        hand_over(*lane, *consumer, take_ready(*lane), outlet);
      }
    }
    if (limit_) drop_from_head(outlet);
  } while (refill(!idle(), outlet) || (delayed_ && has_due_retries(outlet)));
  if (roster_.gated() > 0) settle_grants(outlet);
  if (blocked_) release_publishers(outlet);
  account();
  if (is_timed()) set_alarm(outlet);
}

void Queue::hand_over(Lane& lane, QueueConsumer& consumer, Ready ready, Outlet& outlet) {
  used_ = true;
  if (consumer.gated) --consumer.grants;
  ++consumer.unsent_messages;
  consumer.unsent_bytes += ready.message->body().size();
  if (!consumer.no_ack) {
    consumer.unsettled.insert(ready.seq,
                              {ready.message, ready.returns, lane.level, ready.enqueued_ms});
    if (has_clocks_) start_clock(consumer, ready, outlet.unix_ms());
  } else if (is_stored(ready.message)) {
    leaves_store(lane, ready.seq, outlet);
  }
  if (caps_) caps_->handed_out(consumer.no_ack);
  if (groups_) groups_->handed_out(*ready.message, consumer.no_ack);
  outlet.deliver({consumer.ref, id_, ready.seq, consumer.slot, redelivered(ready), false,
                  ready.returns, std::move(ready.message)});
}

// Asks for grants while messages wait, and gives unused ones back when none do, so that a
// channel-wide limit is never held by a queue that has nothing to deliver (C-268, C-274).
void Queue::settle_grants(Outlet& outlet) {
  const bool has_next =
      next_lane() != nullptr && may_hand_out(outlet) && !(groups_ && main_.head_is_away());
  roster_.for_each([&](QueueConsumer& each) {
    if (!each.gated || each.cancelled) return;
    const bool for_it = has_next && (!groups_ || groups_->offers(each.slot));
    if (for_it && each.grants == 0 && !each.wanted && roster_.has_room(each)) {
      each.wanted = true;
      outlet.notify(each.ref.channel.connection, GrantWanted{each.ref});
    } else if (each.grants > 0) {
      outlet.notify(each.ref.channel.connection,
                    GrantReturned{each.ref, std::exchange(each.grants, 0u)});
    }
  });
}

std::uint32_t Queue::purge(Outlet& outlet) {
  std::uint32_t count = ready_count();
  if (delayed_) {
    count += static_cast<std::uint32_t>(delayed_->count());
    delayed_->clear(outlet);
  }
  for_each_lane([&](Lane& lane) {
    lane.purge(next_seq_, outlet);
    changed(lane);
  });
  if (groups_) groups_->forget_waiting();
  if (limit_) limit_->emptied();
  deliver(outlet);  // whoever waits for a message learns that there is none
  return count;
}

bool Queue::release(const ChannelRef& channel, Outlet& outlet) {
  if (stream_) stream_->release(channel);
  const bool had_consumers = roster_.count() > 0;
  std::erase_if(waiting_gets_, [&](const Get& get) { return get.channel == channel; });
  roster_.for_each([&](QueueConsumer& consumer) {
    if (!(consumer.ref.channel == channel)) return;
    requeue_all(consumer, outlet);
    if (!consumer.cancelled && !consumer.getter) leave(consumer);
    roster_.remove(consumer);
  });
  if (had_consumers && due_for_deletion()) return true;
  deliver(outlet);
  return false;
}

std::optional<Refused> Queue::may_delete(bool if_unused, bool if_empty) const {
  const std::string subject = "queue '" + entry_->name + "' in vhost '" + vhost_ + "' ";
  if (if_empty && (ready_count() > 0 || (delayed_ && delayed_->count() > 0)))
    return Refused{ReplyCode::PreconditionFailed, subject + "not empty"};
  if (if_unused && consumer_count() > 0)
    return Refused{ReplyCode::PreconditionFailed, subject + "in use"};
  return std::nullopt;
}

void Queue::cancel_all(Outlet& outlet) {
  if (stream_) stream_->cancel_all(outlet);
  roster_.for_each([&](const QueueConsumer& each) {
    if (each.cancelled || each.getter) return;
    outlet.notify(each.ref.channel.connection, ConsumerCancelled{each.ref});
  });
}

void Queue::close(Outlet& outlet) {
  for (const Get& get : std::exchange(waiting_gets_, {}))
    outlet.notify(get.reply.connection, Reply{get.reply, QueueMissing{}});
  outlet.wake_at(id_, std::exchange(alarm_ms_, kNeverDue), kNeverDue);
  if (stream_) stream_->close(outlet);
  if (noted_expiring_) outlet.record(forget_expiring(id_));
  if (dedup_) dedup_->close(outlet);
  if (blocked_) blocked_->release(outlet);
  if (delayed_) delayed_->close(outlet);
  if (history_) history_->close(outlet);
  for_each_lane([&](Lane& lane) {
    if (durable_) outlet.record(persistence::DropQueue{lane.part});
    if (lane.backlog.has_paged_out()) outlet.drop_paged(lane.part, 0, next_seq_ - 1);
  });
}

void Queue::requeue_all(QueueConsumer& consumer, Outlet& outlet) {
  consumer.unsettled.take_to(~std::uint64_t{0}, [&](std::uint64_t seq, Unsettled unsettled) {
    note_settled(unsettled);
    put_back(seq, std::move(unsettled), true, outlet);
  });
}

}  // namespace harrier::broker
