// SPDX-License-Identifier: Apache-2.0
//
// What decides about a delivery beside the order of messages and the turn of consumers: a single
// active consumer, groups, caps; and what becomes of one that is not settled in time.
#include <algorithm>
#include <utility>

#include "broker/core/queue.hpp"

namespace harrier::broker {

namespace {

std::uint16_t attempt_of(std::uint32_t returns) { return static_cast<std::uint16_t>(returns); }

}  // namespace

void Queue::apply_delivery(const QueueSettings& settings) {
  if (settings.single_active_consumer) {
    roster_.set_single_active(settings.type == QueueType::Quorum ? SingleActive::Takeover
                                                                 : SingleActive::Stays);
  }
  roster_.set_fair_share(settings.fair_share);
  const std::int64_t timeout_ms = settings.consumer_timeout_ms.value_or(0);
  timeout_ms_ = timeout_ms == 0 ? kNeverDue : timeout_ms;
  if (timeout_ms_ != kNeverDue) has_clocks_ = true;
  caps_.reset();
  if (settings.max_unacked || settings.delivery_rate) {
    std::uint64_t unsettled = 0;
    roster_.for_each([&](const QueueConsumer& each) { unsettled += each.unsettled.size(); });
    caps_ = std::make_unique<DeliveryCaps>(settings.max_unacked, settings.delivery_rate, unsettled);
  }
  apply_groups(settings);
}

// Groups that are known already stay where they are. Priorities would turn the order within them
// around: they come first.
void Queue::apply_groups(const QueueSettings& settings) {
  if (!settings.message_group_header || settings.max_priority || levels_) {
    groups_.reset();
    return;
  }
  if (!groups_ || groups_->header() != *settings.message_group_header) {
    groups_ = std::make_unique<MessageGroups>(*settings.message_group_header);
    groups_->forget_waiting();  // it has seen none of what is ready
    roster_.for_each([&](QueueConsumer& each) {
      each.unsettled.for_each_to(~std::uint64_t{0}, [&](std::uint64_t, const Unsettled& held) {
        groups_->is_out(*held.message);
      });
      if (!each.cancelled && !each.getter) groups_->joined(each, roster_);
    });
  }
  const std::int64_t max = settings.group_max_unacked.value_or(MessageGroups::kUnlimited);
  groups_->set_unsettled_max(
      static_cast<std::uint32_t>(std::min<std::int64_t>(max, MessageGroups::kUnlimited)));
  groups_->set_rate(settings.group_delivery_rate);
}

// ---- in and out ----

void Queue::offer(QueueConsumer& consumer) {
  roster_.list(consumer);
  if (groups_) groups_->touch(consumer.slot);
}

// Takes a consumer out of the running; what it has not settled stays with its channel.
void Queue::leave(QueueConsumer& consumer) {
  roster_.leave(consumer);
  if (groups_) groups_->left(consumer);
}

// It is about to be gone, or to return.
void Queue::note_settled(const Unsettled& unsettled) {
  if (caps_) caps_->settled();
  if (groups_) groups_->settled(*unsettled.message);
}

void Queue::hand_out_groups(Outlet& outlet) {
  groups_->look_through(main_.ready, outlet.unix_ms());
  // What has returned from further back waits for a head that is away.
  while (may_hand_out(outlet) && !main_.head_is_away()) {
    const auto pick = groups_->pick(roster_);
    if (!pick) return;
    if (auto ready = take_ready(main_, pick->seq, outlet))
      hand_over(main_, *pick->consumer, std::move(*ready), outlet);
  }
}

std::optional<Ready> Queue::take_for_getter(const Get& get, Lane*& from, Outlet& outlet) {
  from = next_lane();
  if (from == nullptr || !may_hand_out(outlet)) return std::nullopt;
  if (!groups_) return take_ready(*from);
  groups_->look_through(from->ready, outlet.unix_ms());
  const auto slot = roster_.getter_slot(get.channel);
  while (const auto seq = groups_->pick_for_get(slot)) {
    if (auto ready = take_ready(*from, *seq, outlet)) return ready;
  }
  return std::nullopt;
}

// ---- too slow ----

// With the smaller of its own timeout and the queue's. What it has already begins now, if there was
// no clock.
void Queue::set_clock(QueueConsumer& consumer, Millis now) {
  const Millis timeout_ms = std::min(timeout_ms_, consumer.timeout_ms);
  late_ms_ = 0;  // to be found out
  if (consumer.clock) {
    consumer.clock->set_timeout(timeout_ms);
    return;
  }
  if (timeout_ms == kNeverDue) return;
  has_clocks_ = true;
  consumer.clock = std::make_unique<DeliveryClock>(timeout_ms);
  consumer.unsettled.for_each_to(~std::uint64_t{0}, [&](std::uint64_t seq, const Unsettled& held) {
    consumer.clock->started(seq, held.returns, now, [](Seq, std::uint32_t) { return true; });
  });
}

void Queue::start_clock(QueueConsumer& consumer, const Ready& ready, Millis now) {
  if (!consumer.clock) {
    if (!consumer.getter || timeout_ms_ == kNeverDue) return;
    consumer.clock = std::make_unique<DeliveryClock>(timeout_ms_);
  }
  consumer.clock->started(ready.seq, ready.returns, now, [&](Seq seq, std::uint32_t returns) {
    return consumer.has(seq, returns);
  });
  late_ms_ = std::min(late_ms_, consumer.clock->next_due());
}

void Queue::time_out(Outlet& outlet) {
  if (outlet.unix_ms() < late_ms_) return;
  late_ms_ = kNeverDue;
  roster_.for_each([&](QueueConsumer& each) {
    if (!each.clock) return;
    time_out(each, outlet);
    late_ms_ = std::min(late_ms_, each.clock->next_due());
    if ((each.cancelled || each.getter) && each.unsettled.empty()) {
      roster_.remove(each);
    } else {
      offer(each);
    }
  });
}

// Only what is late goes back, and counts as returned; the channel lives, and is told nothing.
void Queue::time_out(QueueConsumer& consumer, Outlet& outlet) {
  const auto is_out = [&](Seq seq, std::uint32_t returns) { return consumer.has(seq, returns); };
  consumer.clock->take_late(outlet.unix_ms(), is_out, [&](Seq seq, std::uint32_t returns) {
    Unsettled late = *consumer.unsettled.take(seq);
    had_late_ = true;
    if (!consumer.cancelled && !consumer.getter)
      consumer.clock->note_late(seq, attempt_of(returns));
    if (caps_) caps_->settled();
    if (groups_) groups_->timed_out(*late.message);
    put_back(seq, std::move(late), true, outlet);
  });
}

// The settlement of a delivery that has gone back meanwhile, perhaps to the same consumer again: it
// changes nothing but the room that the consumer has.
bool Queue::was_late(QueueConsumer& consumer, const Settle& settle) {
  const Unsettled* const held = consumer.unsettled.find(settle.seq);
  if (held != nullptr && attempt_of(held->returns) == settle.attempt) return false;
  if (consumer.clock && consumer.clock->settle_late(settle.seq, settle.attempt)) offer(consumer);
  return true;
}

}  // namespace harrier::broker
