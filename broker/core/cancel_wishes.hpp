// SPDX-License-Identifier: Apache-2.0
//
// CancelWishes: cancels of delayed messages that go through the store in one pass. However many
// they are, a message costs one look-up: of the wishes for one message-id the latest counts, as
// each is for what came before it. Owned by its DelayedExchange, on the queue's thread. A value;
// nothing fails.
#pragma once

#include <algorithm>
#include <cstddef>
#include <functional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "broker/core/ids.hpp"
#include "persistence/write_batch.hpp"

namespace harrier::broker {

// `Equal` compares ids; tests count what it does.
template <class Equal>
class BasicCancelWishes {
 public:
  using Seq = persistence::Seq;

  bool empty() const { return latest_ms_.empty(); }
  void add(std::string id, Millis wished_ms) {
    Millis& latest = latest_ms_.try_emplace(std::move(id), wished_ms).first->second;
    latest = std::max(latest, wished_ms);
  }
  // The store has the wish there until it is done.
  void stored_at(Seq seq) { stored_.push_back(seq); }
  const std::vector<Seq>& stored() const { return stored_; }
  // Whether a message of that id that came then is not to go.
  bool want(std::string_view id, Millis enqueued_ms) const {
    if (latest_ms_.empty()) return false;
    const auto at = latest_ms_.find(id);
    return at != latest_ms_.end() && enqueued_ms < at->second;
  }

 private:
  struct Hash {
    using is_transparent = void;
    std::size_t operator()(std::string_view id) const noexcept {
      return std::hash<std::string_view>()(id);
    }
  };

  std::unordered_map<std::string, Millis, Hash, Equal> latest_ms_;  // by message-id
  std::vector<Seq> stored_;
};

using CancelWishes = BasicCancelWishes<std::equal_to<>>;

}  // namespace harrier::broker
