// SPDX-License-Identifier: Apache-2.0
//
// ConsumerRoster: the consumers of one queue, and whose turn it is. Highest priority first among
// those that can take a message, round-robin within one priority (C-293, C-468); with a single
// active consumer only that one, while the others wait (C-462). Owned by its queue, on the queue's
// thread. It knows nothing of messages but their number, and sends nothing. A consumer that has
// left keeps its slot until its last message is settled (C-297).
#pragma once

#include <cstdint>
#include <functional>
#include <iterator>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <unordered_map>
#include <utility>
#include <vector>

#include "broker/core/consumer.hpp"

namespace harrier::broker {

enum class SingleActive : std::uint8_t {
  Off,
  Stays,     // as long as it lives
  Takeover,  // until one of higher priority comes, and it has nothing unsettled (C-465)
};

class ConsumerRoster {
 public:
  explicit ConsumerRoster(UnsentLimits limits) : limits_(limits) {}

  // Before the first consumer comes.
  void set_single_active(SingleActive mode) { single_active_ = mode; }
  // Within one priority the one with the fewest unsettled deliveries comes first, in place of the
  // one whose turn is longest ago.
  void set_fair_share(bool fair) { fair_ = fair; }

  // Whether another one may come (C-285, C-466).
  bool refuses(bool exclusive) const {
    return exclusive_ || (exclusive && (count_ > 0 || single_active_ != SingleActive::Off));
  }
  QueueConsumer& add(const Consume& request);
  // basic.get's stand-in.
  QueueConsumer& getter(const ChannelRef& channel);
  std::optional<std::uint32_t> getter_slot(const ChannelRef& channel) const {
    if (!directory_) return std::nullopt;
    const auto at = directory_->getters.find(channel);
    return at == directory_->getters.end() ? std::nullopt : std::optional(at->second);
  }
  QueueConsumer* at(std::uint32_t slot) {
    return slot < slots_.size() ? slots_[slot].get() : nullptr;
  }
  QueueConsumer* find(const ConsumerRef& ref);
  // It gets nothing any more; what it has not settled stays with its channel.
  void leave(QueueConsumer& consumer);
  // It has left, and has nothing. The reference is void then.
  void remove(QueueConsumer& consumer);
  void set_gated(QueueConsumer& consumer, bool gated);

  // Something about it has changed that may let it take a message.
  void list(QueueConsumer& consumer);
  // The next one in turn that can take a message, or null. It takes one: its turn is over.
  QueueConsumer* next();
  // Of those of the highest priority the one with the smallest load(consumer), in turn among
  // equals.
  template <class Load>
  QueueConsumer* next_least(Load&& load) {
    const QueueConsumer* const first = first_able();
    if (first == nullptr) return nullptr;
    Available& same_priority = available_.begin()->second;
    auto least = same_priority.begin();
    auto load_of_least = load(*first);
    for (auto at = std::next(least); at != same_priority.end() && load_of_least > 0; ++at) {
      if (!(*at)->can_take(limits_)) continue;
      if (const auto its = load(std::as_const(**at)); its < load_of_least) {
        least = at;
        load_of_least = its;
      }
    }
    same_priority.splice(same_priority.end(), same_priority, least);
    return same_priority.back();
  }
  // Whether it is to be served at all, apart from its room.
  bool may_take(const QueueConsumer& consumer) const {
    return single_active_ == SingleActive::Off || (&consumer == active_ && !retiring_);
  }
  bool can_take(const QueueConsumer& consumer) const {
    return may_take(consumer) && consumer.can_take(limits_);
  }
  bool has_room(const QueueConsumer& consumer) const {
    return may_take(consumer) && consumer.has_room(limits_);
  }

  std::uint32_t count() const { return count_; }
  std::uint32_t gated() const { return gated_; }
  bool had_any() const { return arrivals_ > 0; }
  bool any_available() const { return !available_.empty(); }
  const QueueConsumer* active() const { return active_; }

  // Getters and those that have left, too. `visit` may remove the one that it visits.
  template <class Visit>
  void for_each(Visit&& visit) {
    for (const auto& slot : slots_) {
      if (slot) visit(*slot);
    }
  }
  template <class Visit>
  void for_each(Visit&& visit) const {
    for (const auto& slot : slots_) {
      if (slot) visit(std::as_const(*slot));
    }
  }

 private:
  using Available = std::list<QueueConsumer*>;
  // By whom they belong to, with their slots: for what is not about messages.
  struct Directory {
    std::unordered_map<ConsumerRef, std::uint32_t> consumers;
    std::unordered_map<ChannelRef, std::uint32_t> getters;
    std::vector<std::uint32_t> free_slots;
  };

  Directory& directory() {
    if (!directory_) directory_ = std::make_unique<Directory>();
    return *directory_;
  }
  QueueConsumer& add_slot();
  void unlist(QueueConsumer& consumer);
  QueueConsumer* first_able();
  void choose_active();
  QueueConsumer* first_in_line();

  const UnsentLimits limits_;
  std::vector<std::unique_ptr<QueueConsumer>> slots_;
  std::unique_ptr<Directory> directory_;                         // null: nobody has ever been here
  std::map<std::int64_t, Available, std::greater<>> available_;  // by priority, highest first
  std::uint64_t arrivals_ = 0;
  std::uint32_t count_ = 0;
  std::uint32_t gated_ = 0;
  bool exclusive_ = false;
  bool fair_ = false;
  SingleActive single_active_ = SingleActive::Off;
  QueueConsumer* active_ = nullptr;  // the single one
  bool retiring_ = false;            // it gets nothing more: another one takes over
};

}  // namespace harrier::broker
