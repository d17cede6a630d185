// SPDX-License-Identifier: Apache-2.0
#include "broker/core/consumer_roster.hpp"

namespace harrier::broker {

QueueConsumer& ConsumerRoster::add_slot() {
  std::vector<std::uint32_t>& free_slots = directory().free_slots;
  if (free_slots.empty()) {
    free_slots.push_back(static_cast<std::uint32_t>(slots_.size()));
    slots_.emplace_back();
  }
  const std::uint32_t slot = free_slots.back();
  free_slots.pop_back();
  slots_[slot] = std::make_unique<QueueConsumer>();
  slots_[slot]->slot = slot;
  return *slots_[slot];
}

QueueConsumer& ConsumerRoster::add(const Consume& request) {
  QueueConsumer& consumer = add_slot();
  consumer.ref = request.consumer;
  consumer.arrival = ++arrivals_;
  consumer.priority = request.priority;
  consumer.prefetch = request.prefetch;
  consumer.no_ack = request.no_ack;
  consumer.exclusive = request.exclusive;
  consumer.gated = request.gated;
  consumer.timeout_ms = request.timeout_ms;
  if (consumer.gated) ++gated_;
  directory_->consumers.emplace(consumer.ref, consumer.slot);
  ++count_;
  exclusive_ = request.exclusive;
  choose_active();
  list(consumer);
  return consumer;
}

QueueConsumer& ConsumerRoster::getter(const ChannelRef& channel) {
  const auto [at, fresh] = directory().getters.try_emplace(channel, 0);
  if (fresh) {
    QueueConsumer& getter = add_slot();
    getter.ref.channel = channel;
    getter.getter = true;
    at->second = getter.slot;
  }
  return *slots_[at->second];
}

QueueConsumer* ConsumerRoster::find(const ConsumerRef& ref) {
  if (!directory_) return nullptr;
  const auto at = directory_->consumers.find(ref);
  return at == directory_->consumers.end() ? nullptr : slots_[at->second].get();
}

void ConsumerRoster::leave(QueueConsumer& consumer) {
  unlist(consumer);
  consumer.cancelled = true;
  if (consumer.gated) --gated_;
  if (consumer.exclusive) exclusive_ = false;
  directory_->consumers.erase(consumer.ref);
  --count_;
  if (active_ == &consumer) active_ = nullptr;
  choose_active();
}

void ConsumerRoster::remove(QueueConsumer& consumer) {
  if (consumer.getter) directory_->getters.erase(consumer.ref.channel);
  const std::uint32_t slot = consumer.slot;
  slots_[slot].reset();
  directory_->free_slots.push_back(slot);
}

void ConsumerRoster::set_gated(QueueConsumer& consumer, bool gated) {
  if (consumer.gated == gated) return;
  consumer.gated = gated;
  gated_ += gated ? 1u : ~0u;
  consumer.wanted = false;
  consumer.grants = 0;  // the channel counts afresh when its limit comes or goes
}

void ConsumerRoster::list(QueueConsumer& consumer) {
  if (retiring_) choose_active();
  if (consumer.available || !consumer.can_take(limits_) || !may_take(consumer)) return;
  consumer.available = true;
  available_[consumer.priority].push_back(&consumer);
}

void ConsumerRoster::unlist(QueueConsumer& consumer) {
  if (!consumer.available) return;
  consumer.available = false;
  const auto at = available_.find(consumer.priority);
  at->second.remove(&consumer);
  if (at->second.empty()) available_.erase(at);
}

// The first of the highest priority; those that can't take one are struck off the list on the way.
QueueConsumer* ConsumerRoster::first_able() {
  while (!available_.empty()) {
    Available& same_priority = available_.begin()->second;
    while (!same_priority.empty()) {
      QueueConsumer* const consumer = same_priority.front();
      if (consumer->can_take(limits_)) return consumer;
      consumer->available = false;
      same_priority.pop_front();
    }
    available_.erase(available_.begin());
  }
  return nullptr;
}

QueueConsumer* ConsumerRoster::next() {
  if (fair_) {
    return next_least([](const QueueConsumer& consumer) -> std::size_t {
      return consumer.no_ack ? consumer.unsent_messages
                             : consumer.unsettled.size() + consumer.late();
    });
  }
  QueueConsumer* const consumer = first_able();
  if (consumer == nullptr) return nullptr;
  Available& same_priority = available_.begin()->second;
  same_priority.splice(same_priority.end(), same_priority, same_priority.begin());
  return consumer;
}

// ---- single active consumer ----

// Highest priority, then oldest (C-462).
QueueConsumer* ConsumerRoster::first_in_line() {
  QueueConsumer* first = nullptr;
  for (const auto& [ref, slot] : directory_->consumers) {
    QueueConsumer& each = *slots_[slot];
    if (first == nullptr || each.priority > first->priority ||
        (each.priority == first->priority && each.arrival < first->arrival))
      first = &each;
  }
  return first;
}

void ConsumerRoster::choose_active() {
  if (single_active_ == SingleActive::Off) return;
  if (active_ != nullptr && single_active_ == SingleActive::Stays) return;
  QueueConsumer* const first = first_in_line();
  // The one that is active stays among equals, whoever is older.
  const bool takes_over =
      first != nullptr && (active_ == nullptr || first->priority > active_->priority);
  retiring_ = takes_over && active_ != nullptr && !active_->unsettled.empty();
  if (retiring_) {
    unlist(*active_);
    return;
  }
  if (takes_over) {
    if (active_ != nullptr) unlist(*active_);
    active_ = first;
  }
  if (active_ != nullptr) list(*active_);
}

}  // namespace harrier::broker
