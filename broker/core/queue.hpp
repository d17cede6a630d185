// SPDX-License-Identifier: Apache-2.0
//
// Queue: the messages of one queue, its consumers, and who gets what next. Owned by the engine of
// one shard and used on its thread only; what it has to say to connections goes through the outlet.
// No method fails: what the protocol refuses comes back as a value. Every message is in exactly one
// place: ready in memory, in the backlog behind that, or unsettled with one consumer (C-365).
#pragma once

#include <limits>
#include <list>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "broker/core/arguments.hpp"
#include "broker/core/blocked_publishers.hpp"
#include "broker/core/consumer_roster.hpp"
#include "broker/core/dead_letters.hpp"
#include "broker/core/deduplication.hpp"
#include "broker/core/delayed_exchange.hpp"
#include "broker/core/delivery_caps.hpp"
#include "broker/core/effective_policy.hpp"
#include "broker/core/info.hpp"
#include "broker/core/lane.hpp"
#include "broker/core/length_limit.hpp"
#include "broker/core/levels.hpp"
#include "broker/core/message_groups.hpp"
#include "broker/core/outlet.hpp"
#include "broker/core/recent_history.hpp"
#include "broker/core/residents.hpp"
#include "broker/core/retry_delay.hpp"
#include "persistence/message_store.hpp"

namespace harrier::broker {

class Stream;

class Queue {
 public:
  // Without `residents` everything stays in memory.
  Queue(routing::QueueEntryPtr entry, std::string vhost, UnsentLimits limits,
        Residents* residents = nullptr);
  ~Queue();
  Queue(const Queue&) = delete;
  Queue& operator=(const Queue&) = delete;

  // Before all else: what one part of the store holds for this queue. After a crash any of it may
  // have been delivered before, though the store knows nothing of it. False if the queue has no
  // such part.
  bool restore(const persistence::RecoveredQueue& held, bool clean);

  // What holds from now on, in place of what the queue was declared with.
  void apply(const QueueSettings& settings);

  void restore_expiring();  // some of it may have had a time to live of its own
  // How far a consumer of that tag had come. False if that cannot be: it is no stream, or the value
  // is of no meaning.
  bool restore_stream_offset(std::string tag, const persistence::Bytes& value);

  const routing::QueueEntry& entry() const { return *entry_; }
  const std::string& vhost() const { return vhost_; }
  std::uint32_t ready_count() const {
    if (stream_) return stream_count();
    return static_cast<std::uint32_t>(levels_ ? levels_->count() : main_.count());
  }
  std::uint32_t consumer_count() const { return stream_ ? reader_count() : roster_.count(); }
  QueueInfo info() const;
  // What operators want of it from now on; null: nothing. See effective_arguments() for what that
  // and the queue's own arguments make together.
  void set_policy(EffectivePolicyPtr policy, Outlet& outlet);
  // What it was declared with, from now on; set_policy() comes next.
  void set_entry(routing::QueueEntryPtr entry) { entry_ = std::move(entry); }

  enum class Taken : std::uint8_t {
    InMemory,
    Stored,     // it is in the write batch: the publisher's confirm waits for that
    Refused,    // the queue is full (C-452)
    Duplicate,  // it came before: the confirm waits for the batch that dedup().batch() says
  };
  // A dead letter is not refused: nobody could take it back. Nor is it a duplicate: it may be on
  // its way back to where it was.
  Taken publish(MessagePtr message, Outlet& outlet, bool dead_letter = false,
                DedupRule by_exchange = {}, ShardId by_shard = 0);
  // The queue is full and asks who has just published to it to wait; what is on its way is taken.
  bool blocks_publishers() const { return blocked_ && limit_ && limit_->blocks(ready_count()); }
  void block(ConnectionId publisher, Outlet& outlet) { blocked_->block(publisher, outlet); }
  void forget_publisher(ConnectionId publisher) {
    if (blocked_) blocked_->forget(publisher);
  }
  Deduplication& dedup();  // what it has taken; makes it if there is none
  void settle(const Settle& settle, Outlet& outlet);
  // nullopt: the message has to come from the store, and the answer comes with it.
  std::optional<GetResult> get(const Get& get, Outlet& outlet);

  // Adds a consumer, or says why not (C-285). The caller answers the client and then calls
  // deliver(), so that consume-ok is on its way before the first delivery (C-279).
  std::optional<Refused> consume(const Consume& request);
  // True if the queue must go now, because its last consumer left an auto-delete queue (C-258).
  bool cancel(const ConsumerRef& consumer);
  void set_prefetch(const SetPrefetch& change, Outlet& outlet);
  void grant(const Grant& grant, Outlet& outlet);
  void sent(const Sent& sent, Outlet& outlet);

  // Hands out ready messages while any consumer can take one.
  void deliver(Outlet& outlet);

  std::uint32_t purge(Outlet& outlet);  // ready messages only (C-248)
  // The channel is gone: its consumers leave and what it had not settled returns. True as for
  // cancel().
  bool release(const ChannelRef& channel, Outlet& outlet);

  std::optional<Refused> may_delete(bool if_unused, bool if_empty) const;  // C-252, C-253
  // The queue is about to be destroyed: consumers of other reasons than their own are told (C-257).
  void cancel_all(Outlet& outlet);
  // It is destroyed next: nobody waits for it any more, here or in the store.
  void close(Outlet& outlet);

  // ---- time, queue_life.cpp ----
  // It was declared, consumed from, got from, or its last consumer has left (C-264).
  void touch(Outlet& outlet);
  void start(Outlet& outlet);  // it is there: from now on it may ask to be woken
  // The time it asked for has come. True if the queue itself has expired and must go.
  bool wake(Outlet& outlet);

  // ---- what waits until it is due, queue_delays.cpp ----
  void restore(const DelayedNumbers& numbers);
  // As a declaration tells: of a queue that is an exchange's, what waits there.
  std::uint32_t shown_count() const;

  // ---- what an exchange keeps, queue_history.cpp; only of such a queue ----
  bool is_history() const { return history_ != nullptr; }
  void begin_handover(const HandOver& order, const RecentHistory::Mark& mark, Outlet& outlet);
  void copies_sent(std::uint32_t handover, std::size_t copies, Outlet& outlet);
  void copy_settled(std::uint32_t handover, Outlet& outlet);

  // ---- paging, queue_paging.cpp ----
  void fetched(Fetched& page, Outlet& outlet);
  void paged_out(const PagedOut& piece, Outlet& outlet);
  // It asked to write into the turn's batch once more, before that goes.
  void write_late(Outlet& outlet);
  void store_moved(Outlet& outlet);  // more is durable than when it was put on the waiting list
  bool idle() const { return consumer_count() == 0 && waiting_gets_.empty(); }
  bool used_since_last_asked();
  // Gives up what the store has, and its place among the holders; false if that was nothing.
  bool evict();
  // Gives a piece of what no store has to the store; false if it holds none beyond its window: it
  // has left the list then.
  bool page_out(Outlet& outlet);

 private:
  static constexpr std::uint32_t kUnlimited = std::numeric_limits<std::uint32_t>::max();
  static constexpr std::size_t kRetriesReadyMax = 1'000;
  static constexpr std::uint64_t kRetriesReadyTightBytes = 64 * 1024;  // the budget is used up

  std::uint32_t stream_count() const;
  std::uint32_t reader_count() const;
  void take_back(const Settle& settle, Outlet& outlet);
  void put_back(Seq seq, Unsettled unsettled, bool failed, Outlet& outlet);
  Taken refuse(const MessagePtr& message, Outlet& outlet);
  void settle_arrival(Outlet& outlet);
  bool owes_dead_letters(Millis now) const;
  void note_expiring(Outlet& outlet);
  bool is_timed() const {
    return expires_ || lease_ms_ != kNeverDue || has_clocks_ || caps_ != nullptr ||
           delayed_ != nullptr || (groups_ && groups_->has_rate());
  }
  // ---- queue_delays.cpp ----
  DelayedMessages& delayed();
  Taken delay(MessagePtr message, Outlet& outlet);
  void release_delayed(Outlet& outlet);
  bool release_retries(Outlet& outlet);
  bool has_due_retries(const Outlet& outlet) const;
  void wait_for_retry(Lane& lane, Ready ready, Outlet& outlet);
  // What is due goes on; of retries no more than a few are ready before somebody takes them.
  bool takes_delayed() const { return exchange_ || may_have_returned(returned()); }
  struct Returned {  // of the ready ones
    std::size_t messages = 0;
    std::uint64_t bytes = 0;
  };
  Returned returned() const;
  bool may_have_returned(const Returned& held) const;

  // ---- queue_history.cpp ----
  void serve_history(Outlet& outlet);
  void wake_for_history(Outlet& outlet);

  // ---- queue_levels.cpp ----
  // Made when it is first used.
  Lane& lane_at(std::uint8_t level) { return level == 0 ? main_ : upper_lane(level); }
  Lane& upper_lane(std::uint8_t level);
  Lane* lane_of(StoreId part);  // null: there is none
  template <class Visit>
  void for_each_lane(Visit&& visit) {
    levels_ ? levels_->for_each(visit) : visit(main_);
  }
  template <class Visit>
  void for_each_occupied(Visit&& visit) {
    levels_ ? levels_->for_each_occupied(visit) : visit(main_);
  }
  template <class Visit>
  void for_each_occupied(Visit&& visit) const {
    levels_ ? levels_->for_each_occupied(visit) : visit(main_);
  }
  void changed(const Lane& lane) {
    if (levels_) levels_->changed(lane);
  }
  // The lane whose head goes out next, wherever that is; null: nothing is left.
  Lane* lane_in_turn() const { return levels_->next(priorities_); }
  // The same if that is in memory; null: nothing can go out now.
  Lane* next_lane() {
    Lane* const lane = levels_ ? lane_in_turn() : &main_;
    return lane == nullptr || lane->ready.empty() ? nullptr : lane;
  }
  // Whether a get can be answered now.
  bool can_answer(const Get& get, const Outlet& outlet) {
    const Lane* const lane = levels_ ? lane_in_turn() : &main_;
    return (lane == nullptr || !lane->head_is_away()) && !(delayed_ && delayed_->head_is_away()) &&
           !(groups_ && looks_ahead_for(get, outlet));
  }
  // The lane that gives way when there is too much.
  Lane& lane_to_drop() {
    Lane* const lane = levels_ ? levels_->lowest_occupied() : nullptr;
    return lane == nullptr ? main_ : *lane;
  }
  bool refill_levels(bool wanted, Outlet& outlet);
  void trim_levels();
  std::uint64_t content_bytes() const;

  Ready take_ready(Lane& lane);
  std::optional<Ready> take_ready(Lane& lane, Seq seq, const Outlet& outlet);
  void leaves_store(Lane& lane, Seq seq, Outlet& outlet);
  Ready remove_head(Lane& lane);
  bool expires(const protocol::Message& message);
  void bury_expired(Outlet& outlet);
  bool has_too_many() const {
    return limit_->exceeded(ready_count()) && !(history_ && history_->is_reading());
  }
  void drop_from_head(Outlet& outlet);
  void release_publishers(Outlet& outlet);
  bool wants_head(const Lane& lane, const Outlet& outlet);
  void begin_expiry();
  void swept(Lane& lane, Fetched& page, Outlet& outlet);
  Millis next_expiry(Millis now);
  void set_alarm(Outlet& outlet);
  void bury(Lane& lane, Seq seq, const MessagePtr& message, DeathReason reason, Outlet& outlet);
  void hand_over(Lane& lane, QueueConsumer& consumer, Ready ready, Outlet& outlet);

  // ---- queue_delivery.cpp ----
  void apply_delivery(const QueueSettings& settings);
  void apply_groups(const QueueSettings& settings);
  void set_clock(QueueConsumer& consumer, Millis now);
  void start_clock(QueueConsumer& consumer, const Ready& ready, Millis now);
  void time_out(Outlet& outlet);
  void time_out(QueueConsumer& consumer, Outlet& outlet);
  bool was_late(QueueConsumer& consumer, const Settle& settle);
  void note_settled(const Unsettled& unsettled);
  void offer(QueueConsumer& consumer);
  void leave(QueueConsumer& consumer);
  bool may_hand_out(const Outlet& outlet) { return !caps_ || caps_->allows(outlet.unix_ms()); }
  void hand_out_groups(Outlet& outlet);
  std::optional<Ready> take_for_getter(const Get& get, Lane*& from, Outlet& outlet);

  void settle_grants(Outlet& outlet);
  void requeue_all(QueueConsumer& consumer, Outlet& outlet);
  GetResult take_for(const Get& get, Outlet& outlet);
  void answer_gets(Outlet& outlet);
  bool redelivered(const Ready& ready) const {
    return ready.returns > 0 || ready.seq <= redelivered_to_;
  }
  bool keeps(const Lane& lane, const protocol::Message& message) const;
  void put_behind(Lane& lane, Ready ready, bool stored);
  std::uint64_t window_now(bool head_is_wanted) const;
  std::uint64_t window_for(const protocol::Message& message) const;
  bool refill(bool wanted, Outlet& outlet);
  bool refill(Lane& lane, bool head_is_wanted, Outlet& outlet);
  std::uint64_t ahead_max() const;
  bool looks_ahead(const Outlet& outlet);
  bool looks_ahead_for(const Get& get, const Outlet& outlet);
  void account();
  // Persistent in a durable queue; all else is gone after a restart (C-228).
  bool is_stored(const MessagePtr& message) const { return main_.backlog.is_stored(*message); }
  bool due_for_deletion() const {
    return entry_->auto_delete && roster_.had_any() && roster_.count() == 0;
  }

  routing::QueueEntryPtr entry_;
  const QueueId id_;  // the entry's, here for each message
  std::string vhost_;
  EffectivePolicyPtr policy_;
  Seq next_seq_ = 1;
  Seq redelivered_to_ = 0;  // up to here everything counts as delivered before
  Lane main_;               // level 0: of most queues all there is
  PriorityRule priorities_;
  std::unique_ptr<Stream> stream_;  // null: it is not one; else messages and consumers are there
  std::unique_ptr<Levels> levels_;  // null: nothing above level 0 has ever come
  std::unique_ptr<DelayedMessages> delayed_;   // null: nothing has ever had to wait
  std::unique_ptr<DelayedExchange> exchange_;  // whose messages wait here; null: a common queue
  std::unique_ptr<RecentHistory> history_;     // an exchange's last messages are here; null: not so
  std::unique_ptr<RetryDelay> retry_;          // null: what returns is ready at once
  std::unique_ptr<DeadLetters> dead_letters_;  // null: what dies is dropped
  std::unique_ptr<LengthLimit> limit_;
  std::unique_ptr<BlockedPublishers> blocked_;  // null: has never blocked any
  std::unique_ptr<Deduplication> dedup_;        // null: nothing here was ever deduplicated
  std::optional<Millis> ttl_ms_;
  Seq arriving_ = 0;  // being published: not expired before consumers were asked
  std::uint32_t delivery_limit_ = kUnlimited;  // returns beyond it are the last (C-472)
  Millis lease_ms_ = kNeverDue;                // x-expires
  Millis used_at_ms_ = 0;
  Millis alarm_ms_ = kNeverDue;  // when it is woken; an early one does no harm
  std::vector<Get> waiting_gets_;
  Residents* const residents_;
  std::uint64_t accounted_bytes_ = 0;  // our share of the residents
  // Our places on their lists.
  std::optional<std::list<QueueId>::iterator> holder_;
  std::optional<std::list<QueueId>::iterator> unstored_;
  ConsumerRoster roster_;
  std::unique_ptr<MessageGroups> groups_;  // null: any message is for anybody
  std::unique_ptr<DeliveryCaps> caps_;
  Millis timeout_ms_ = kNeverDue;  // x-consumer-timeout
  Millis late_ms_ = kNeverDue;     // when the next delivery may be late
  bool has_clocks_ = false;        // a consumer may be late
  bool had_late_ = false;          // one was: settlements are not believed unseen
  const bool durable_;             // the entry's, as id_ is
  bool expires_ = false;           // something here has, or has had, a time to live
  bool noted_expiring_ = false;    // the store knows that messages have one of their own
  bool used_ = false;
  bool is_waiting_ = false;
};

}  // namespace harrier::broker
