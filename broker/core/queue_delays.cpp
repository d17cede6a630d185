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
    const auto keeps = is_delayed_queue(entry_.name) ? DelayedMessages::Keeps::All
                                                     : DelayedMessages::Keeps::Persistent;
    delayed_ = std::make_unique<DelayedMessages>(entry_.id, entry_.durable, keeps, window);
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
  if (const auto request = delayed_->next_fetch(outlet)) {
    outlet.fetch(delayed_->part(), *request);
  } else if (!more && delayed_->awaits_durable(outlet) && !is_waiting_) {
    is_waiting_ = true;
    residents_->waiting.push_back(entry_.id);
  }
}

// Ahead of all that has not been out; what was due first goes first. The store has them where they
// waited until they are settled.
bool Queue::release_retries(Outlet& outlet) {
  const Millis now = outlet.unix_ms();
  while (takes_delayed()) {
    auto due = delayed_->take_due(now);
    if (!due) return false;
    Ready ready{due->seq, std::move(due->message), due->returns, due->enqueued_ms};
    if (limit_) limit_->came(ready.seq, *ready.message);
    Lane& lane = lane_at(priorities_.level_of(*ready.message));
    if (expires_) lane.expiry->came(ready);
    if (groups_) groups_->returned(ready);
    lane.ready.put_back(std::move(ready));
    changed(lane);
  }
  return true;
}

std::size_t Queue::returned() const {
  std::size_t count = 0;
  for_each_occupied([&](const Lane& lane) { count += lane.ready.returned(); });
  return count;
}

bool Queue::has_due_retries(const Outlet& outlet) const {
  return !exchange_ && returned() == 0 && delayed_->next_due() <= outlet.unix_ms();
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
