// SPDX-License-Identifier: Apache-2.0
//
// DelayedIds: which of the delayed messages in memory may have a message-id, so that a cancel looks
// at those and not at all of them. Made when the first cancel comes, and given up when no further
// ones do. It is told what comes into memory and not what leaves it: what it says may have gone,
// which whoever asks finds out; now and then it is made anew. Owned by its DelayedMessages, on the
// queue's thread. A value; nothing fails.
#pragma once

#include <cstddef>
#include <functional>
#include <set>
#include <string_view>
#include <utility>
#include <vector>

#include "persistence/write_batch.hpp"
#include "protocol/message.hpp"

namespace harrier::broker {

inline std::string_view message_id_of(const protocol::Message& message) {
  return message.properties().text(protocol::kMessageId).value_or("");
}

class DelayedIds {
 public:
  using Seq = persistence::Seq;

  void came(std::string_view id, Seq seq) {
    if (!id.empty()) known_.emplace(hash_of(id), seq);
  }
  // In order; others may have the same digest.
  std::vector<Seq> candidates(std::string_view id) {
    asked_ = true;
    const std::size_t hash = hash_of(id);
    std::vector<Seq> seqs;
    for (auto at = known_.lower_bound({hash, 0}); at != known_.end() && at->first == hash; ++at)
      seqs.push_back(at->second);
    return seqs;
  }
  void gone(std::string_view id, Seq seq) { known_.erase({hash_of(id), seq}); }

  // Most of what it knows has gone, if so many are in memory.
  bool is_stale(std::size_t in_memory) const { return known_.size() > 2 * in_memory + kSpare; }
  // Since it was made.
  bool was_asked() const { return asked_; }

 private:
  static constexpr std::size_t kSpare = 1'000;
  static std::size_t hash_of(std::string_view id) { return std::hash<std::string_view>()(id); }

  std::set<std::pair<std::size_t, Seq>> known_;
  bool asked_ = false;
};

}  // namespace harrier::broker
