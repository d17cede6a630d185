// SPDX-License-Identifier: Apache-2.0
//
// What waits in a queue until it is due.
#include <algorithm>
#include <utility>

#include "broker/core/queue.hpp"

namespace harrier::broker {

DelayedMessages& Queue::delayed() {
  if (!delayed_) {
    const auto window =
        residents_ == nullptr ? std::nullopt : std::optional(residents_->window_bytes);
    // What an exchange delays waits long, and however many there are they cost no memory.
    const auto keeps = is_delayed_queue(entry_->name) ? DelayedMessages::Keeps::All
                                                      : DelayedMessages::Keeps::Persistent;
    delayed_ = std::make_unique<DelayedMessages>(id_, durable_, keeps, window);
  }
  return *delayed_;
}

void Queue::restore(const DelayedNumbers& numbers) { delayed().restore(numbers); }

std::uint32_t Queue::shown_count() const {
  return exchange_ ? static_cast<std::uint32_t>(delayed_->count()) : ready_count();
}

Queue::Taken Queue::delay(MessagePtr message, Outlet& outlet) {
  const bool stored = exchange_->publish(std::move(message), outlet);
  deliver(outlet);
  return stored ? Taken::Stored : Taken::InMemory;
}

void Queue::release_delayed(Outlet& outlet) {
  const bool more = exchange_ ? exchange_->release(outlet) : release_retries(outlet);
  const bool tight = residents_ != nullptr && residents_->full();
  delayed_->set_tight(tight);
  if (tight && delayed_->head_is_away()) residents_->wanted = true;
  if (const auto request = delayed_->next_fetch(outlet)) {
    outlet.fetch(delayed_->part(), *request);
  } else if (!more && delayed_->awaits_durable(outlet)) {
    residents_->wait(id_, is_waiting_);
  }
}

// Ahead of all that has not been out; what was due first goes first. The store has them where they
// waited until they are settled.
bool Queue::release_retries(Outlet& outlet) {
  const Millis now = outlet.unix_ms();
  if (delayed_->next_due() > now) return false;
  for (Returned held = returned(); may_have_returned(held);) {
    auto due = delayed_->take_due(now);
    if (!due) return false;
    Ready ready{due->seq, std::move(due->message), due->returns, due->enqueued_ms};
    ++held.messages;
    held.bytes += memory_of(ready);
    if (limit_) limit_->came(ready.seq, *ready.message);
    Lane& lane = lane_at(priorities_.level_of(*ready.message));
    if (expires_) lane.expiry->came(ready);
    if (groups_) groups_->returned(ready);
    lane.ready.put_back(std::move(ready));
    changed(lane);
  }
  return true;
}

Queue::Returned Queue::returned() const {
  Returned held;
  for_each_occupied([&](const Lane& lane) {
    held.messages += lane.ready.returned();
    held.bytes += lane.ready.returned_bytes();
  });
  return held;
}

// They are ready, so the store could not give them again: a bound of their own on their memory.
bool Queue::may_have_returned(const Returned& held) const {
  if (held.messages == 0) return true;
  if (held.messages >= kRetriesReadyMax) return false;
  if (residents_ == nullptr) return true;
  const std::uint64_t window = residents_->window_bytes;
  return held.bytes < (residents_->full() ? std::min(window, kRetriesReadyTightBytes) : window);
}

bool Queue::has_due_retries(const Outlet& outlet) const {
  return !exchange_ && delayed_->next_due() <= outlet.unix_ms() && returned().messages == 0;
}

// It moves in the store, in one batch, from where it is to where it waits.
void Queue::wait_for_retry(Lane& lane, Ready ready, Outlet& outlet) {
  Delayed waiting;
  waiting.due_ms = outlet.unix_ms() + retry_->delay_ms(ready.returns, ready.seq + ready.returns);
  waiting.enqueued_ms = ready.enqueued_ms;
  waiting.returns = ready.returns;
  waiting.message = std::move(ready.message);
  if (is_stored(waiting.message)) leaves_store(lane, ready.seq, outlet);
  delayed().add(std::move(waiting), outlet);
}

}  // namespace harrier::broker
