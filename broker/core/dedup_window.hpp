// SPDX-License-Identifier: Apache-2.0
//
// DedupWindow: the ids that came last, by number and by time, in order of arrival. A value inside
// its Deduplication, on the queue's thread. Ids are kept as digests, so their length costs nothing;
// about 90 bytes each. Ids that expire out of order are not found any more, but leave the window in
// order. No method fails.
#pragma once

#include <array>
#include <cstdint>
#include <cstring>
#include <deque>
#include <string_view>
#include <unordered_map>

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
    const auto at = latest_.find(id);
    return at != latest_.end() && order_[at->second - gone_].until > now;
  }
  // In place of an older one of the same id, if that has expired.
  void add(const Entry& entry) {
    latest_[entry.id] = gone_ + order_.size();
    order_.push_back(entry);
  }
  // Takes out what is too old or too much; `left(Seq)` is told of those that the store holds.
  template <class Left>
  void trim(std::uint32_t ids_max, Millis now, const Left& left);

  std::size_t size() const { return order_.size(); }
  bool empty() const { return order_.empty(); }

 private:
  struct DigestHash {
    std::size_t operator()(const Digest& id) const noexcept {
      std::size_t hash = 0;
      std::memcpy(&hash, id.data(), sizeof hash);
      return hash;
    }
  };

  std::deque<Entry> order_;
  std::uint64_t gone_ = 0;  // entries that have left: the number of order_.front()
  std::unordered_map<Digest, std::uint64_t, DigestHash> latest_;  // number of the id's last entry
};

template <class Left>
void DedupWindow::trim(std::uint32_t ids_max, Millis now, const Left& left) {
  while (!order_.empty() && (order_.size() > ids_max || order_.front().until <= now)) {
    const Entry& oldest = order_.front();
    const auto at = latest_.find(oldest.id);
    if (at != latest_.end() && at->second == gone_) latest_.erase(at);
    if (oldest.seq != 0) left(oldest.seq);
    order_.pop_front();
    ++gone_;
  }
}

}  // namespace harrier::broker
