// SPDX-License-Identifier: Apache-2.0
//
// ReadyList: the messages of one queue that are in memory and wait for a consumer, in publish
// order. Owned by its queue. A requeued message returns to its original position (C-352): new ones
// append to a run, returned ones wait in an ordered map beside it, and the lower position of the
// two heads goes first. ReadyRun: consecutive messages, and what they cost in memory; one that has
// never had any allocates nothing, because most queues need one of their three at most.
#pragma once

#include <algorithm>
#include <cstdint>
#include <deque>
#include <limits>
#include <map>
#include <memory>
#include <optional>
#include <utility>

#include "broker/core/ids.hpp"
#include "broker/core/store_id.hpp"
#include "protocol/message.hpp"

namespace harrier::broker {

struct Ready {
  Seq seq = 0;
  protocol::MessagePtr message;
  std::uint32_t returns = 0;  // how often it came back undone; redelivered if ever
  Millis enqueued_ms = 0;     // since 1970: when its time to live began
};

inline std::uint64_t memory_of(const Ready& ready) {
  return ready.message ? ready.message->footprint() : 0;
}

class ReadyRun {
 public:
  bool empty() const { return !items_ || items_->empty(); }
  std::size_t size() const { return items_ ? items_->size() - holes_ : 0; }
  std::uint64_t bytes() const { return bytes_; }  // of memory
  std::uint64_t persistent_bytes() const { return persistent_bytes_; }
  const Ready& front() const { return items_->front(); }
  const Ready& back() const { return items_->back(); }

  void push_back(Ready ready) {
    count(ready);
    items().push_back(std::move(ready));
  }
  void push_front(Ready ready) {
    count(ready);
    items().push_front(std::move(ready));
  }
  Ready pop_front() {
    Ready ready = std::move(items_->front());
    items_->pop_front();
    discount(ready);
    if (holes_ > 0) trim();
    return ready;
  }
  // From anywhere; nullopt if that position is not here.
  std::optional<Ready> take(Seq seq) {
    if (empty()) return std::nullopt;
    const auto at = std::ranges::lower_bound(*items_, seq, {}, &Ready::seq);
    if (at == items_->end() || at->seq != seq || at->returns == kHole) return std::nullopt;
    Ready ready = std::move(*at);
    at->message = {};
    at->returns = kHole;
    ++holes_;
    discount(ready);
    trim();
    return ready;
  }
  Ready pop_back() {
    Ready ready = std::move(items_->back());
    items_->pop_back();
    discount(ready);
    if (holes_ > 0) trim();
    return ready;
  }
  template <class Visit>
  void for_each(Visit&& visit) const {
    if (!items_) return;
    for (const Ready& ready : *items_) {
      if (ready.returns != kHole) visit(ready);
    }
  }
  // Those of positions above that one.
  template <class Visit>
  void for_each_above(Seq seq, Visit&& visit) const {
    if (!items_) return;
    auto at = std::ranges::lower_bound(*items_, seq + 1, {}, &Ready::seq);
    for (; at != items_->end(); ++at) {
      if (at->returns != kHole) visit(*at);
    }
  }
  // Puts a run of higher positions behind this one; touches the shorter of the two only.
  void append(ReadyRun more) {
    if (more.size() > size()) {
      while (!empty()) more.push_front(pop_back());
      std::swap(*this, more);
    }
    while (!more.empty()) push_back(more.pop_front());
  }

 private:
  void count(const Ready& ready) {
    const std::uint64_t bytes = memory_of(ready);
    bytes_ += bytes;
    if (is_persistent(ready)) persistent_bytes_ += bytes;
  }
  void discount(const Ready& ready) {
    const std::uint64_t bytes = memory_of(ready);
    bytes_ -= bytes;
    if (is_persistent(ready)) persistent_bytes_ -= bytes;
  }
  // Holes are never at an end, and never the most.
  void trim() {
    while (holes_ > 0 && items_->front().returns == kHole) {
      items_->pop_front();
      --holes_;
    }
    while (holes_ > 0 && items_->back().returns == kHole) {
      items_->pop_back();
      --holes_;
    }
    if (holes_ < kHolesMin || holes_ < items_->size() / 2) return;
    std::erase_if(*items_, [](const Ready& ready) { return ready.returns == kHole; });
    holes_ = 0;
  }
  static bool is_persistent(const Ready& ready) {
    return ready.message && ready.message->persistent();
  }

  std::deque<Ready>& items() {
    if (!items_) items_ = std::make_unique<std::deque<Ready>>();
    return *items_;
  }

  // In place of `returns`: this one was taken out of the middle.
  static constexpr std::uint32_t kHole = std::numeric_limits<std::uint32_t>::max();
  static constexpr std::size_t kHolesMin = 64;

  std::unique_ptr<std::deque<Ready>> items_;
  std::size_t holes_ = 0;
  std::uint64_t bytes_ = 0;
  std::uint64_t persistent_bytes_ = 0;
};

// What has waited for a retry goes ahead of all that has not: the order in which positions go out.
// Its own inverse, and never 0.
inline Seq rank_of(Seq seq) { return seq ^ kDelayedFrom; }
struct DelayedFirst {
  bool operator()(Seq a, Seq b) const { return rank_of(a) < rank_of(b); }
};

class ReadyList {
 public:
  std::size_t size() const { return fresh_.size() + returned_.size(); }
  std::size_t returned() const { return returned_.size(); }
  std::uint64_t returned_bytes() const { return returned_bytes_; }  // of memory
  bool empty() const { return fresh_.empty() && returned_.empty(); }

  void push(Ready ready) { fresh_.push_back(std::move(ready)); }
  void put_back(Ready ready) {
    const Seq seq = ready.seq;
    returned_bytes_ += memory_of(ready);
    returned_.emplace(seq, std::move(ready));
  }

  const Ready& front() const {
    return returned_first() ? returned_.begin()->second : fresh_.front();
  }

  Ready pop() { return returned_first() ? take_returned(returned_.begin()) : fresh_.pop_front(); }

  std::optional<Ready> take(Seq seq) {
    const auto at = returned_.find(seq);
    return at != returned_.end() ? take_returned(at) : fresh_.take(seq);
  }

  template <class Visit>
  void for_each(Visit&& visit) const {
    for_each_returned(visit);
    fresh_.for_each(visit);
  }
  template <class Visit>
  void for_each_returned(Visit&& visit) const {
    for (const auto& [seq, ready] : returned_) visit(ready);
  }

  // What has not been out yet: every position in it is above every returned one's.
  ReadyRun& fresh() { return fresh_; }
  const ReadyRun& fresh() const { return fresh_; }

 private:
  using Returned = std::map<Seq, Ready, DelayedFirst>;

  Ready take_returned(Returned::iterator at) {
    Ready ready = std::move(returned_.extract(at).mapped());
    returned_bytes_ -= memory_of(ready);
    return ready;
  }
  bool returned_first() const {
    if (returned_.empty()) return false;
    const Seq first = returned_.begin()->first;
    return fresh_.empty() || is_delayed_position(first) || first < fresh_.front().seq;
  }

  ReadyRun fresh_;
  Returned returned_;
  std::uint64_t returned_bytes_ = 0;
};

}  // namespace harrier::broker
