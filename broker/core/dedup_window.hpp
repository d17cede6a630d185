// SPDX-License-Identifier: Apache-2.0
//
// DedupWindow: the ids that came last, by number and by time, in order of arrival. A value inside
// its Deduplication, on the queue's thread. Ids are kept as digests, so their length costs nothing;
// about 60 bytes each. Ids that expire out of order are not found any more, but leave the window in
// order. No method fails.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <deque>
#include <string_view>
#include <utility>
#include <vector>

#include "broker/core/ids.hpp"
#include "persistence/write_batch.hpp"

namespace harrier::broker {

class DedupWindow {
 public:
  using Seq = persistence::Seq;
  using Digest = std::array<std::uint8_t, 16>;
  // The first half of SHA-256: nobody can make up an id that passes for another's.
  static Digest digest(std::string_view id);

  // What the id holds in the window: its position in the store, 0 if it is in memory only.
  struct Entry {
    Digest id{};
    Seq seq = 0;
    Millis until = 0;  // since 1970; from then on it counts no more
  };

  bool holds(const Digest& id, Millis now) const {
    const Slot* const latest = find(id);
    return latest != nullptr && latest->entry.until > now;
  }
  // In place of an older one of the same id, if that has expired.
  void add(const Entry& entry) {
    if (order_.size() >= newest_.size()) make_room();
    std::uint64_t& newest = newest_[bucket_of(entry.id)];
    order_.push_back({entry, newest});
    newest = gone_ + order_.size();
  }
  // Takes out what is too old or too much; `left(Seq)` is told of those that the store holds.
  template <class Left>
  void trim(std::uint32_t ids_max, Millis now, const Left& left);

  std::size_t size() const { return order_.size(); }
  bool empty() const { return order_.empty(); }

 private:
  // Ids share buckets; each entry knows the one before it in its bucket. Entries leave in the order
  // in which they came, so whatever a chain leads to beyond the first that has gone has gone too,
  // and no chain needs mending.
  struct Slot {
    Entry entry;
    std::uint64_t before = 0;  // its number; numbers begin at 1
  };
  static constexpr std::size_t kBucketsMin = 16;  // a power of two, as all their numbers

  std::size_t bucket_of(const Digest& id) const {
    std::size_t hash = 0;
    std::memcpy(&hash, id.data(), sizeof hash);
    return hash & (newest_.size() - 1);
  }
  // Its last entry; null: none.
  const Slot* find(const Digest& id) const {
    if (newest_.empty()) return nullptr;
    for (std::uint64_t number = newest_[bucket_of(id)]; number > gone_;) {
      const Slot& slot = order_[number - gone_ - 1];
      if (slot.entry.id == id) return &slot;
      number = slot.before;
    }
    return nullptr;
  }
  void make_room() {
    newest_.assign(std::max(kBucketsMin, 2 * newest_.size()), 0);
    std::uint64_t number = gone_;
    for (Slot& slot : order_) {
      std::uint64_t& newest = newest_[bucket_of(slot.entry.id)];
      slot.before = std::exchange(newest, ++number);
    }
  }

  std::deque<Slot> order_;
  std::uint64_t gone_ = 0;             // entries that have left: the number of the last of them
  std::vector<std::uint64_t> newest_;  // by bucket, the number of its last entry
};

template <class Left>
void DedupWindow::trim(std::uint32_t ids_max, Millis now, const Left& left) {
  while (!order_.empty() && (order_.size() > ids_max || order_.front().entry.until <= now)) {
    if (order_.front().entry.seq != 0) left(order_.front().entry.seq);
    order_.pop_front();
    ++gone_;
  }
}

}  // namespace harrier::broker
