// SPDX-License-Identifier: Apache-2.0
//
// The life of a message in a queue beyond delivery: how it comes back and how it ends; and the end
// of a queue that nobody uses.
#include <algorithm>
#include <utility>

#include "broker/core/definition_records.hpp"
#include "broker/core/queue.hpp"

namespace harrier::broker {

namespace {

// Of one page that is read to find what has expired.
constexpr std::size_t kSweepBytes = 256 * 1024;
// Between two sweeps of a queue, so that messages of many different times to live do not keep the
// store busy with nothing else: 100 sweeps in a second find more than a hundred thousand messages.
constexpr Millis kSweepPauseMs = 10;
// A quorum queue's delivery limit, if it was given none (C-472).
constexpr std::int64_t kQuorumDeliveryLimit = 20;

}  // namespace

void Queue::apply(const QueueSettings& settings) {
  dead_letters_.reset();
  if (settings.dead_letter_exchange) {
    dead_letters_ = std::make_unique<DeadLetters>(
        vhost_, entry_.name, *settings.dead_letter_exchange, settings.dead_letter_routing_key);
  }
  limit_.reset();
  if (settings.max_length || settings.max_length_bytes) {
    limit_ = std::make_unique<LengthLimit>(settings.max_length, settings.max_length_bytes,
                                           settings.overflow.value_or(Overflow::DropHead));
    limit_->restore(ready_bytes(), next_seq_ - 1);
  }
  if (settings.message_ttl_ms) ensure_expiry();
  if (expiry_) expiry_->set_ttl(settings.message_ttl_ms);
  const std::int64_t deliveries = settings.delivery_limit.value_or(
      settings.type == QueueType::Quorum ? kQuorumDeliveryLimit : -1);
  delivery_limit_ = deliveries < 0 || deliveries >= kUnlimited
                        ? kUnlimited
                        : static_cast<std::uint32_t>(deliveries);
  lease_ms_ = settings.expires_ms.value_or(kNeverDue);
}

// As the limit counts those that are there when it comes.
std::uint64_t Queue::ready_bytes() const {
  std::uint64_t bytes = backlog_.stored_bytes();
  const auto add = [&](const Ready& ready) { bytes += persistence::content_size(*ready.message); };
  ready_.for_each(add);
  backlog_.behind().for_each(add);
  return bytes;
}

// ---- in and out ----

Queue::Taken Queue::refuse(const MessagePtr& message, Outlet& outlet) {
  if (limit_->keeps_refused() && dead_letters_) {
    outlet.dead_letter(dead_letters_->letter(*message, DeathReason::MaxLength, outlet.unix_ms()));
  }
  return Taken::Refused;
}

Ready Queue::take_ready() {
  Ready ready = ready_.pop();
  if (limit_) limit_->left(ready.seq, *ready.message);
  if (expiry_) expiry_->left(ready);
  return ready;
}

// Every way back to the ready messages: to the position where it was (C-352).
void Queue::put_back(Seq seq, Unsettled unsettled, Outlet& outlet) {
  Ready ready{seq, std::move(unsettled.message), unsettled.returns + 1, unsettled.enqueued_ms};
  if (ready.returns > delivery_limit_) {
    bury(seq, ready.message, DeathReason::DeliveryLimit, outlet);
    return;
  }
  if (is_stored(ready.message))
    outlet.record(persistence::Requeue{stored_id(), seq, ready.returns});
  if (limit_) limit_->came(seq, *ready.message);
  if (expiry_) expiry_->came(ready);
  ready_.put_back(std::move(ready));
}

// Every way out but acknowledgement, purge and deletion. The store loses the message together with
// its becoming a dead letter, so none is lost and none is there twice.
void Queue::bury(Seq seq, const MessagePtr& message, DeathReason reason, Outlet& outlet) {
  const bool stored = is_stored(message);
  if (stored) outlet.record(persistence::Settle{stored_id(), seq});
  if (!dead_letters_) return;
  DeadLetter letter = dead_letters_->letter(*message, reason, outlet.unix_ms());
  letter.leaves_store = stored;
  outlet.dead_letter(std::move(letter));
}

// ---- too many ----

// From the front, after consumers took what they could (C-449, C-450).
void Queue::drop_from_head(Outlet& outlet) {
  while (!ready_.empty() && limit_->exceeded(ready_count())) {
    const Ready ready = take_ready();
    bury(ready.seq, ready.message, DeathReason::MaxLength, outlet);
  }
}

// The next message is in the store only, and there is something to be done with it though nobody
// consumes.
bool Queue::wants_head(const Outlet& outlet) {
  wants_head_ = ready_.empty() && !backlog_.empty() &&
                ((limit_ && limit_->exceeded(ready_count())) ||
                 (expiry_ && expiry_->has_ttl() && expiry_->head_due_ms <= outlet.unix_ms()));
  return wants_head_;
}

// ---- too late ----

void Queue::ensure_expiry() {
  if (expiry_) return;
  expiry_ = std::make_unique<Expiry>();
  backlog_.set_expiry(expiry_.get());
}

// Whether anything here can expire, now that this message comes.
bool Queue::expires(const protocol::Message& message) {
  if (!expiry_ && Expiry::has_own(message)) ensure_expiry();
  return expiry_ != nullptr;
}

// So that a restarted broker knows that it has to look through what the queue holds.
void Queue::note_expiring(Outlet& outlet) {
  if (std::exchange(noted_expiring_, true)) return;
  outlet.record(define_expiring(entry_.id));
}

void Queue::restore_expiring() {
  noted_expiring_ = true;
  ensure_expiry();
  expiry_->suspect(next_seq_ - 1);
}

// With a time to live of 0 it was for those who could take it at once (C-442).
void Queue::settle_arrival(Outlet& outlet) {
  bury_expired(outlet);
  set_alarm(outlet);
}

// In the order of the queue (C-433). Who has expired is never handed out (C-440).
void Queue::bury_expired(Outlet& outlet) {
  const Millis now = outlet.unix_ms();
  std::vector<Ready> dead;
  for (const Seq seq : expiry_->take_due(now, arriving_)) {
    auto ready = ready_.take(seq);
    if (!ready) ready = backlog_.take_unstored(seq);
    if (!ready) continue;
    if (residents_ != nullptr && is_stored(ready->message))
      backlog_.note_gone(seq, outlet.current_batch(), outlet.durable_through());
    if (limit_) limit_->left(seq, *ready->message);
    dead.push_back(std::move(*ready));
  }
  while (!ready_.empty() && is_due(ready_.front(), now)) dead.push_back(take_ready());
  std::ranges::sort(dead, {}, &Ready::seq);
  for (const Ready& ready : dead) bury(ready.seq, ready.message, DeathReason::Expired, outlet);
}

// Looks for messages in the store that have expired; the page that it asks for comes to swept().
void Queue::sweep(Outlet& outlet) {
  const Millis now = outlet.unix_ms();
  if (!expiry_->sweep) {
    if (now < expiry_->sweeps_from_ms) return;
    expiry_->ranges().forget_below(backlog_.empty() ? next_seq_ : backlog_.from());
    const auto range = expiry_->ranges().take(now);
    if (!range) return;
    expiry_->sweep.emplace();
    expiry_->sweep->range = *range;
    expiry_->sweep->next = range->from;
  }
  ExpirySweep& open = *expiry_->sweep;
  if (open.token != 0) return;
  if (backlog_.empty()) {
    expiry_->sweep.reset();
    return;
  }
  const auto request =
      backlog_.next_sweep(open.next, kSweepBytes, next_seq_, outlet.durable_through());
  if (request) {
    open.token = request->token;
    open.end = request->end;
    outlet.fetch(stored_id(), *request);
    return;
  }
  end_sweep(now + kSweepPauseMs, outlet);  // the rest is not there yet
}

// What was not read counts as due as before.
void Queue::end_sweep(Millis unread_due_ms, Outlet& outlet) {
  const ExpirySweep done = *std::exchange(expiry_->sweep, std::nullopt);
  DueRange range = done.range;
  range.due = done.due;
  range.messages = done.left;
  if (done.next <= range.up_to && unread_due_ms != kNeverDue) {
    range.due = std::min(range.due, unread_due_ms);
    range.messages = std::max<std::uint64_t>(range.messages, 1);
  }
  expiry_->ranges().put(range);
  expiry_->sweeps_from_ms = outlet.unix_ms() + kSweepPauseMs;
}

// True if the page was for the sweep.
bool Queue::swept(Fetched& page, Outlet& outlet) {
  if (!expiry_->sweep || page.token != expiry_->sweep->token) return false;
  backlog_.sweep_ended();
  ExpirySweep& open = *expiry_->sweep;
  open.token = 0;
  const Millis now = outlet.unix_ms();
  for (const persistence::StoredMessage& stored : page.messages) {
    if (stored.seq > open.range.up_to || stored.seq >= open.end) break;
    if (!backlog_.holds(stored.seq)) continue;
    const Millis due = expiry_->due(*stored.message, stored.enqueued_at_ms);
    if (due > now) {
      if (!Expiry::has_own(*stored.message)) continue;
      open.due = std::min(open.due, due);
      ++open.left;
      continue;
    }
    if (backlog_.take_stored(stored.seq, *stored.message, outlet.current_batch()))
      outlet.drop_paged(stored_id(), stored.seq, stored.seq);
    if (limit_) limit_->left(stored.seq, *stored.message);
    bury(stored.seq, stored.message, DeathReason::Expired, outlet);
  }
  open.next = std::min(page.next.value_or(open.end), open.end);
  if (open.next > open.range.up_to) end_sweep(kNeverDue, outlet);
  if (backlog_.empty() && !backlog_.behind().empty())
    backlog_.surface(residents_->window_bytes, ready_.fresh());
  sweep(outlet);
  deliver(outlet);
  return true;
}

void Queue::set_policy(EffectivePolicyPtr policy, Outlet& outlet) {
  policy_ = std::move(policy);
  apply(read_queue_settings(effective_arguments(entry_.arguments, policy_.get()).view()));
  used_at_ms_ = 0;  // a lease begins now
  outlet.wake_at(entry_.id, std::exchange(alarm_ms_, 0), 0);
}

// ---- time ----

void Queue::start(Outlet& outlet) {
  if (is_timed()) outlet.wake_at(entry_.id, std::exchange(alarm_ms_, 0), 0);
}

void Queue::touch(Outlet& outlet) {
  if (!is_timed()) return;
  used_at_ms_ = outlet.unix_ms();
  set_alarm(outlet);
}

bool Queue::wake(Outlet& outlet) {
  alarm_ms_ = kNeverDue;
  if (used_at_ms_ == 0) used_at_ms_ = outlet.unix_ms();
  if (lease_ms_ != kNeverDue && consumer_count_ == 0 && outlet.unix_ms() >= used_at_ms_ + lease_ms_)
    return true;
  if (expiry_) sweep(outlet);
  deliver(outlet);
  return false;
}

// Asks to be woken when the next thing is due. An alarm that comes too early is left as it is: it
// finds nothing to do, and that costs less than moving it with every message.
void Queue::set_alarm(Outlet& outlet) {
  Millis next = kNeverDue;
  if (lease_ms_ != kNeverDue && consumer_count_ == 0) next = used_at_ms_ + lease_ms_;
  if (expiry_) {
    next = std::min(next, expiry_->next_due());
    if (!ready_.empty()) {
      next = std::min(next, expiry_->due_in_turn(ready_.front().enqueued_ms));
    } else if (!backlog_.empty() && expiry_->has_ttl() && !backlog_.fetching() && !is_waiting_) {
      next = std::min(next, expiry_->head_due_ms);
    }
  }
  if (next >= alarm_ms_) return;
  outlet.wake_at(entry_.id, std::exchange(alarm_ms_, next), next);
}

}  // namespace harrier::broker
