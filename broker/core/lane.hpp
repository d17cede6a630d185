// SPDX-License-Identifier: Apache-2.0
//
// Lane: the ready messages of one priority level of a queue: what of them is in memory, what lies
// behind that in the store, and when they expire. Most queues have one, of level 0; each is a part
// of the queue's store with counters of its own, and positions come from the queue, so that they
// are unique in it. Owned by its queue, on the queue's thread. It decides nothing: what has died
// comes back as a value, and its queue buries it.
#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "broker/core/backlog.hpp"
#include "broker/core/expiry.hpp"
#include "broker/core/outlet.hpp"
#include "broker/core/ready_list.hpp"
#include "broker/core/shard_message.hpp"

namespace harrier::broker {

class Lane {
 public:
  // `number` is the level. `pages`: the queue has a store to fetch from.
  Lane(QueueId queue, std::uint8_t number, bool durable, bool pages)
      : level(number), part(store_id(queue, level_part(number))), backlog(durable), pages_(pages) {}
  Lane(const Lane&) = delete;
  Lane& operator=(const Lane&) = delete;

  const std::uint8_t level;
  const StoreId part;
  ReadyList ready;
  Backlog backlog;
  std::unique_ptr<Expiry> expiry;  // null: nothing in the queue has ever had a time to live

  // Where the store has it: a message that has waited for a retry stays where it waited.
  StoreId part_at(Seq seq) const {
    return is_delayed_position(seq) ? store_id(queue_of(part), QueuePart::Delayed) : part;
  }
  bool empty() const { return ready.empty() && backlog.empty(); }
  std::uint64_t count() const { return ready.size() + backlog.count(); }
  // The head is in the store only; of what is in memory then all has been out of its turn.
  bool head_is_away() const {
    if (backlog.empty() || ready.empty()) return !backlog.empty();
    return backlog.has_absent() && !is_delayed_position(ready.front().seq) &&
           backlog.from() < ready.front().seq;
  }
  std::uint64_t content_bytes() const;  // as a length limit counts those that are there already
  // In memory, though the store has it too.
  std::uint64_t resident_bytes() const {
    return ready.fresh().persistent_bytes() + backlog.tail().bytes();
  }

  // When the head came; of one that is in the store only, a time that is not later.
  Millis head_since_ms() const {
    return ready.empty() ? backlog_since_ms_ : ready.front().enqueued_ms;
  }
  void taken(const Ready& head) {  // by who wants to know head_since_ms()
    backlog_since_ms_ = std::max(backlog_since_ms_, head.enqueued_ms);
  }

  void put_behind(Ready message, bool stored, std::uint64_t tail_bytes_max);
  // Out of memory goes what the store has.
  void evict();
  // See Backlog.
  std::vector<persistence::StoredMessage> cut_piece(std::uint64_t window_bytes,
                                                    std::uint64_t bytes_max);
  // Nothing is left; the store is told of each that was in memory, and of the rest at once.
  void purge(Seq next_seq, Outlet& outlet);

  // ---- too late; only with an Expiry ----
  void begin_expiry(std::optional<Millis> ttl_ms);
  // Takes out what is due, in the order of the queue, but not the one that is just arriving.
  std::vector<Ready> take_expired(Seq arriving, Outlet& outlet);
  // The head is in the store, and its time has come.
  bool head_is_due(Millis now) const {
    return head_is_away() && expiry->has_ttl() && expiry->head_due_ms <= now;
  }
  // Something in the store has expired, or may have, and has not been read yet.
  bool may_be_overdue(Millis now) const {
    return !backlog.empty() &&
           (head_is_due(now) || expiry->sweep || expiry->ranges().next_due() <= now);
  }
  // When there is something to be done; `waiting`: the head is not durable yet.
  Millis next_due(bool waiting) const;
  // Looks for messages in the store that have expired; the page that it asks for goes to swept().
  void sweep(Seq next_seq, Outlet& outlet);
  bool is_sweep(std::uint64_t token) const {
    return expiry->sweep && expiry->sweep->token == token;
  }
  // What has expired among them, off the store already as far as the lane is concerned.
  std::vector<persistence::StoredMessage> swept(Fetched& page, std::uint64_t window_bytes,
                                                Outlet& outlet);

 private:
  void end_sweep(Millis unread_due_ms, Outlet& outlet);
  // Retries come back when they are due: who is first has not come first.
  bool has_retries_in_turn() const {
    return expiry->has_ttl() && !ready.empty() && is_delayed_position(ready.front().seq);
  }

  const bool pages_;
  Millis backlog_since_ms_ = 0;  // nothing behind the head came earlier
};

}  // namespace harrier::broker
