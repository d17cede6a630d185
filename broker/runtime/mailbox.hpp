// SPDX-License-Identifier: Apache-2.0
//
// Mailbox: what other shards have sent to one shard. Filled by any thread, emptied by its own. One
// lock and at most one wake-up per batch, never per message; pushes have one total order, which the
// control plane relies on (threading rule 3).
#pragma once

#include <atomic>
#include <mutex>
#include <utility>
#include <vector>

#include "broker/core/shard_message.hpp"

namespace harrier::broker {

class Mailbox {
 public:
  struct Batch {
    ShardId from = 0;
    std::vector<ShardMessage> messages;
  };

  // True if the owner has to be woken: nothing was waiting before.
  bool push(Batch batch) {
    const std::lock_guard lock(mutex_);
    batches_.push_back(std::move(batch));
    return !full_.exchange(true, std::memory_order_release);
  }

  bool empty() const { return !full_.load(std::memory_order_acquire); }

  std::vector<Batch> take() {
    const std::lock_guard lock(mutex_);
    full_.store(false, std::memory_order_release);
    return std::exchange(batches_, {});
  }

 private:
  std::mutex mutex_;
  std::vector<Batch> batches_;
  std::atomic<bool> full_{false};
};

}  // namespace harrier::broker
