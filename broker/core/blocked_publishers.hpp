// SPDX-License-Identifier: Apache-2.0
//
// BlockedPublishers: the connections that wait for room in one queue (`x-overflow`:
// block-publisher). Owned by its queue, on its thread; only queues that ask for it have one. A
// connection is told once that the queue is full, and once that it has room again or is gone, in
// this order; one that has closed meanwhile takes itself off, or is told in vain. No method fails.
#pragma once

#include <unordered_set>
#include <utility>

#include "broker/core/outlet.hpp"

namespace harrier::broker {

class BlockedPublishers {
 public:
  explicit BlockedPublishers(QueueId queue) : queue_(queue) {}

  bool empty() const { return waiting_.empty(); }
  void block(ConnectionId publisher, Outlet& outlet) {
    if (waiting_.insert(publisher).second) outlet.notify(publisher, QueueFull{queue_, publisher});
  }
  void forget(ConnectionId publisher) { waiting_.erase(publisher); }
  // Out of the list first: what they publish then may fill the queue again.
  void release(Outlet& outlet) {
    for (const ConnectionId publisher : std::exchange(waiting_, {}))
      outlet.notify(publisher, QueueHasRoom{queue_, publisher});
  }

 private:
  const QueueId queue_;
  std::unordered_set<ConnectionId> waiting_;
};

}  // namespace harrier::broker
