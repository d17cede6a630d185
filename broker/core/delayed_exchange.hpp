// SPDX-License-Identifier: Apache-2.0
//
// DelayedExchange: what makes a queue the place where an exchange delays messages (conformance
// 8.15). Such a queue is hidden: the control shard makes it with the exchange and deletes it with
// it, and nobody can consume from it or declare it. What comes in waits for as long as its header
// x-delay says, in the store if the exchange is durable, transient or not; when it is due it leaves
// the store and is routed in one transaction. Messages that
// wait are cancelled by their message-id: those in memory at once, those in the store by a scan of
// it, page by page, that one pass does for all who wait for one. The wish itself is a message of
// the queue until then, so that it survives a crash. Owned by its queue, on the queue's thread.
#pragma once

#include <string>
#include <string_view>

#include "broker/core/cancel_wishes.hpp"
#include "broker/core/delayed_messages.hpp"
#include "broker/core/exchange_queues.hpp"

namespace harrier::broker {

class DelayedExchange {
 public:
  DelayedExchange(std::string vhost, std::string_view queue, DelayedMessages& messages)
      : vhost_(std::move(vhost)),
        exchange_(queue.substr(kDelayedQueuePrefix.size())),
        messages_(messages) {}

  // Cancels or replaces others by its id, which came before then.
  static bool is_wish(const protocol::Message& message);
  // True if it is stored.
  bool publish(MessagePtr message, Outlet& outlet);
  // Routes what is due, as much of it as the turn has room for; true if there is more.
  bool release(Outlet& outlet);
  // The answer to a scan; false: it is for somebody else.
  bool scanned(Fetched& page, Outlet& outlet);

 private:
  bool cancel(const MessagePtr& message, Outlet& outlet);
  void remove(Seq seq, bool stored, const protocol::Message& message, Outlet& outlet);
  void scan(Outlet& outlet);
  bool is_cancelled(const protocol::Message& message, Millis enqueued_ms) const;
  void route(const Delayed& delayed, Outlet& outlet);

  const std::string vhost_;
  const std::string exchange_;
  DelayedMessages& messages_;
  CancelWishes next_pass_;        // those that wait for a scan
  CancelWishes pass_;             // those of the scan that is going on
  std::uint64_t scan_token_ = 0;  // of the page that is on its way; 0: none
};

}  // namespace harrier::broker
