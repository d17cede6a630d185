// SPDX-License-Identifier: Apache-2.0
//
// The life of a message in a queue beyond delivery: how it comes back and how it ends; and the end
// of a queue that nobody uses.
#include <algorithm>
#include <utility>

#include "broker/core/definition_records.hpp"
#include "broker/core/queue.hpp"
#include "broker/core/stream.hpp"

namespace harrier::broker {

namespace {

// Between two looks at a queue that is to go and has not read all that has expired in it.
constexpr Millis kOwingPauseMs = 10;
// A quorum queue's delivery limit, if it was given none (C-472).
constexpr std::int64_t kQuorumDeliveryLimit = 20;

}  // namespace

void Queue::apply(const QueueSettings& settings) {
  if (stream_) return stream_->set_retention(settings);
  priorities_ = priority_rule(settings);
  // One level, if there is still the choice: the order within groups would be turned around.
  if (settings.message_group_header && !settings.max_priority && !levels_)
    priorities_.kind = PriorityRule::Kind::None;
  dead_letters_.reset();
  if (settings.dead_letter_exchange) {
    dead_letters_ = std::make_unique<DeadLetters>(
        vhost_, entry_->name, *settings.dead_letter_exchange, settings.dead_letter_routing_key);
  }
  limit_.reset();
  if (settings.max_length || settings.max_length_bytes) {
    limit_ = std::make_unique<LengthLimit>(settings.max_length, settings.max_length_bytes,
                                           settings.overflow.value_or(Overflow::DropHead));
    limit_->restore(content_bytes(), next_seq_ - 1);
  }
  if (limit_ && limit_->may_block() && !blocked_)
    blocked_ = std::make_unique<BlockedPublishers>(id_);
  ttl_ms_ = settings.message_ttl_ms;
  if (ttl_ms_ || expires_) begin_expiry();
  const std::int64_t deliveries = settings.delivery_limit.value_or(
      settings.type == QueueType::Quorum ? kQuorumDeliveryLimit : -1);
  delivery_limit_ = deliveries < 0 || deliveries >= kUnlimited
                        ? kUnlimited
                        : static_cast<std::uint32_t>(deliveries);
  lease_ms_ = settings.expires_ms.value_or(kNeverDue);
  retry_ = RetryDelay::of(settings);
  apply_delivery(settings);
  if (settings.dedup.any() || dedup_) dedup().set_own(settings.dedup);
}

Deduplication& Queue::dedup() {
  if (!dedup_) dedup_ = std::make_unique<Deduplication>(id_);
  return *dedup_;
}

// ---- in and out ----

Queue::Taken Queue::refuse(const MessagePtr& message, Outlet& outlet) {
  if (limit_->keeps_refused() && dead_letters_) {
    outlet.dead_letter(dead_letters_->letter(*message, DeathReason::MaxLength, outlet.unix_ms()));
  }
  return Taken::Refused;
}

Ready Queue::take_ready(Lane& lane) {
  if (levels_) levels_->served(lane);
  return remove_head(lane);
}

Ready Queue::remove_head(Lane& lane) {
  Ready ready = lane.ready.pop();
  if (limit_) limit_->left(ready.seq, *ready.message);
  if (expires_) lane.expiry->left(ready);
  if (levels_) {
    lane.taken(ready);
    levels_->changed(lane);
  }
  return ready;
}

// Out of its turn, perhaps: what it leaves behind may go back to the store, and is looked for there
// from its lowest position on.
std::optional<Ready> Queue::take_ready(Lane& lane, Seq seq, const Outlet& outlet) {
  std::optional<Ready> ready = lane.ready.take(seq);
  if (!ready) return ready;
  const ReadyRun& behind = lane.ready.fresh();
  const bool passes_some = !behind.empty() && behind.front().seq < seq && !is_delayed_position(seq);
  if (passes_some && residents_ != nullptr && is_stored(ready->message))
    lane.backlog.hold(seq, outlet.durable_through());
  if (limit_) limit_->left(seq, *ready->message);
  if (expires_) lane.expiry->left(*ready);
  return ready;
}

// With this turn's batch.
void Queue::leaves_store(Lane& lane, Seq seq, Outlet& outlet) {
  outlet.record(persistence::Settle{lane.part_at(seq), seq});
  if (lane.backlog.has_absent())
    lane.backlog.left_store(seq, outlet.current_batch(), outlet.durable_through());
}

// Every way back to the ready messages: to the position where it was (C-352).
// If it has to wait first, then ahead of the others.
void Queue::put_back(Seq seq, Unsettled unsettled, bool failed, Outlet& outlet) {
  Lane& lane = lane_at(unsettled.level);
  Ready ready{seq, std::move(unsettled.message), unsettled.returns + 1, unsettled.enqueued_ms};
  if (ready.returns > delivery_limit_) {
    bury(lane, seq, ready.message, DeathReason::DeliveryLimit, outlet);
    return;
  }
  if (retry_ && retry_->applies(failed)) return wait_for_retry(lane, std::move(ready), outlet);
  if (is_stored(ready.message))
    outlet.record(persistence::Requeue{lane.part_at(seq), seq, ready.returns});
  if (limit_) limit_->came(seq, *ready.message);
  if (expires_) lane.expiry->came(ready);
  if (groups_) groups_->returned(ready);
  lane.ready.put_back(std::move(ready));
  changed(lane);
}

// Every way out but acknowledgement, purge and deletion. The store loses the message together with
// its becoming a dead letter, so none is lost and none is there twice.
void Queue::bury(Lane& lane, Seq seq, const MessagePtr& message, DeathReason reason,
                 Outlet& outlet) {
  const bool stored = is_stored(message);
  if (stored) leaves_store(lane, seq, outlet);
  if (!dead_letters_) return;
  DeadLetter letter = dead_letters_->letter(*message, reason, outlet.unix_ms());
  letter.leaves_store = stored;
  outlet.dead_letter(std::move(letter));
}

// ---- too many ----

// From the front, after consumers took what they could (C-449, C-450); the lowest level first
// (C-453).
void Queue::drop_from_head(Outlet& outlet) {
  while (has_too_many()) {
    Lane& lane = lane_to_drop();
    if (lane.ready.empty()) return;
    const Ready ready = remove_head(lane);
    bury(lane, ready.seq, ready.message, DeathReason::MaxLength, outlet);
  }
}

// There is room, or nobody wants to block any more.
void Queue::release_publishers(Outlet& outlet) {
  if (!blocked_->empty() && (!limit_ || limit_->has_room(ready_count()))) blocked_->release(outlet);
}

// The next message is in the store only, and there is something to be done with it though nobody
// consumes.
bool Queue::wants_head(const Lane& lane, const Outlet& outlet) {
  return (limit_ && lane.head_is_away() && has_too_many() && &lane == &lane_to_drop()) ||
         (expires_ && lane.head_is_due(outlet.unix_ms()));
}

// ---- too late ----

void Queue::begin_expiry() {
  expires_ = true;
  for_each_lane([this](Lane& lane) {
    lane.begin_expiry(ttl_ms_);
    changed(lane);
  });
}

// Whether anything here can expire, now that this message comes. Nothing does in a history: the
// time that a message has is for each queue that gets it.
bool Queue::expires(const protocol::Message& message) {
  if (!expires_ && Expiry::has_own(message) && !history_) begin_expiry();
  return expires_;
}

// So that a restarted broker knows that it has to look through what the queue holds.
void Queue::note_expiring(Outlet& outlet) {
  if (std::exchange(noted_expiring_, true)) return;
  outlet.record(define_expiring(id_));
}

void Queue::restore_expiring() {
  noted_expiring_ = true;
  begin_expiry();
  for_each_lane([this](Lane& lane) {
    lane.expiry->suspect(next_seq_ - 1);
    changed(lane);
  });
}

// With a time to live of 0 it was for those who could take it at once (C-442).
void Queue::settle_arrival(Outlet& outlet) {
  bury_expired(outlet);
  set_alarm(outlet);
}

// In the order of the queue (C-433). Who has expired is never handed out (C-440).
void Queue::bury_expired(Outlet& outlet) {
  const auto bury_in = [&](Lane& lane) {
    for (const Ready& ready : lane.take_expired(arriving_, outlet)) {
      if (limit_) limit_->left(ready.seq, *ready.message);
      bury(lane, ready.seq, ready.message, DeathReason::Expired, outlet);
    }
  };
  levels_ ? levels_->for_each_due(outlet.unix_ms(), bury_in) : bury_in(main_);
}

void Queue::swept(Lane& lane, Fetched& page, Outlet& outlet) {
  for (const auto& stored : lane.swept(page, residents_->window_bytes, outlet)) {
    if (limit_) limit_->left(stored.seq, *stored.message);
    bury(lane, stored.seq, stored.message, DeathReason::Expired, outlet);
  }
  lane.sweep(next_seq_, outlet);
  changed(lane);
  deliver(outlet);
}

void Queue::set_policy(EffectivePolicyPtr policy, Outlet& outlet) {
  policy_ = std::move(policy);
  apply(read_queue_settings(effective_arguments(entry_->arguments, policy_.get()).view()));
  if (timeout_ms_ != kNeverDue || has_clocks_)
    roster_.for_each([&](QueueConsumer& each) { set_clock(each, outlet.unix_ms()); });
  if (dedup_) dedup_->trim(outlet);
  if (blocked_) release_publishers(outlet);
  used_at_ms_ = 0;  // a lease begins now
  outlet.wake_at(id_, std::exchange(alarm_ms_, 0), 0);
}

// ---- time ----

void Queue::start(Outlet& outlet) {
  if (dedup_) dedup_->trim(outlet);
  if (is_timed() || stream_) outlet.wake_at(id_, std::exchange(alarm_ms_, 0), 0);
}

void Queue::touch(Outlet& outlet) {
  if (!is_timed() && !stream_) return;
  used_at_ms_ = outlet.unix_ms();
  set_alarm(outlet);
}

// True if nobody has used the queue for too long. What has expired in it by then leaves it first,
// however late this is: queues that delay messages are given twice the time of their messages.
bool Queue::wake(Outlet& outlet) {
  alarm_ms_ = kNeverDue;
  const Millis now = outlet.unix_ms();
  if (used_at_ms_ == 0) used_at_ms_ = now;
  if (expires_) {
    for_each_occupied([&](Lane& lane) {
      lane.sweep(next_seq_, outlet);
      changed(lane);
    });
  }
  if (has_clocks_) time_out(outlet);
  if (stream_) stream_->retain(outlet);
  deliver(outlet);
  if (history_) serve_history(outlet);
  if (stream_) set_alarm(outlet);
  const bool unused =
      lease_ms_ != kNeverDue && roster_.count() == 0 && now >= used_at_ms_ + lease_ms_;
  return unused && !owes_dead_letters(now);
}

bool Queue::owes_dead_letters(Millis now) const {
  bool owes = false;
  if (dead_letters_ && expires_)
    for_each_occupied([&](const Lane& lane) { owes = owes || lane.may_be_overdue(now); });
  return owes;
}

Millis Queue::next_expiry(Millis now) {
  if (levels_ && !is_waiting_) return levels_->first_due(now);
  Millis next = kNeverDue;
  for_each_occupied([&](Lane& lane) { next = std::min(next, lane.next_due(is_waiting_)); });
  return next;
}

// Asks to be woken when the next thing is due. An alarm that comes too early is left as it is: it
// finds nothing to do, and that costs less than moving it with every message.
void Queue::set_alarm(Outlet& outlet) {
  Millis next = kNeverDue;
  if (lease_ms_ != kNeverDue && roster_.count() == 0) {
    next = used_at_ms_ + lease_ms_;
    if (next <= outlet.unix_ms()) next = outlet.unix_ms() + kOwingPauseMs;
  }
  if (stream_) next = std::min(next, stream_->next_due());
  if (expires_) next = std::min(next, next_expiry(outlet.unix_ms()));
  next = std::min(next, late_ms_);
  // Those who need grants are listed once they have some: they are asked when one more may go out.
  if ((caps_ || groups_) && next_lane() != nullptr &&
      (roster_.any_available() || roster_.gated() > 0)) {
    if (caps_) next = std::min(next, caps_->next_due());
    if (groups_) next = std::min(next, groups_->next_due());
  }
  if (delayed_ && delayed_->next_due() < std::min(next, alarm_ms_) && takes_delayed())
    next = delayed_->next_due();
  if (next >= alarm_ms_) return;
  outlet.wake_at(id_, std::exchange(alarm_ms_, next), next);
}

}  // namespace harrier::broker
