// SPDX-License-Identifier: Apache-2.0
//
// Engine: all the logic of one shard - its connections' sessions, its queues, and on the control
// shard the definitions. Pure: bytes, shard messages and the time go in; output buffers and
// outboxes come out. The runtime runs one engine per thread; the simulation steps several on one
// thread. Used by its own thread only. Protocol errors never leave it.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <span>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "broker/auth/authenticator.hpp"
#include "broker/auth/sasl.hpp"
#include "broker/core/options.hpp"
#include "broker/core/queue.hpp"
#include "broker/core/session.hpp"
#include "routing/router.hpp"

namespace harrier::broker {

class Control;

// What the outside world gives an engine, so that tests can give something else.
struct EngineWorld {
  AuthenticatorPtr authenticator;
  SaslSettings sasl;
  // Fills the span with bytes that nobody can guess; names and tags are made of them.
  std::function<void(std::span<std::uint8_t>)> random;
  // Running count of connections of the whole broker, for the limit.
  std::function<std::uint32_t()> connection_count;
  // Bytes of messages in memory, for the alarm.
  std::function<std::uint64_t()> message_bytes;
  // Hands a write batch to the store, which answers with Durable of that number once the batch is
  // durable, in order. A store that fails ends the process instead: nothing is confirmed after
  // that. Without this function nothing is kept, and every batch counts as durable at once.
  std::function<void(persistence::WriteBatch batch, std::uint64_t number)> commit;
  // The parts of the store that queues keep behind the messages in memory: fetch() and page_out()
  // are answered by Fetched and PagedOut of the same token, later and not inside the call;
  // PagedOut in order with Durable. Without these three nothing is paged.
  std::function<void(StoreId part, const FetchRequest& request)> fetch;
  std::function<void(StoreId part, std::vector<persistence::StoredMessage> messages,
                     std::uint64_t token)>
      page_out;
  std::function<void(StoreId part, Seq from, Seq up_to)> drop_paged;
  // What turns the shard's clock into milliseconds since 1970.
  Millis unix_minus_monotonic_ms = 0;
  // One line for the operator; never per message. Level: 0 debug, 1 info, 2 warning, 3 error.
  std::function<void(int level, const std::string& line)> log;
};

// Messages for one shard, in order; what creates queues goes ahead of all else that the turn sends
// anywhere.
struct Outbox {
  std::vector<ShardMessage> first;
  std::vector<ShardMessage> rest;
  bool empty() const { return first.empty() && rest.empty(); }
};

// A virtual host as one shard sees it; lives as long as the engine.
struct VhostView {
  std::string name;
  routing::TopologyPtr topology;
  VhostProfilePtr profile;  // never null
};

class Engine final : public Outlet {
 public:
  Engine(ShardId self, CoreOptions options, EngineWorld world);
  ~Engine() override;

  // ---- driven by the runtime or the simulation ----
  void set_now(Millis now) { now_ = now; }
  Session& open_connection(const Peer& peer);
  Session* find_session(ConnectionId id);
  void handle(ShardMessage message, ShardId from);
  Queue& add_queue(routing::QueueEntryPtr entry, std::string vhost);
  void tick();                   // timers that are due at now()
  Millis next_deadline() const;  // or a value far away
  // Finishes the turn: deferred work, confirms, definitions. Afterwards outboxes and dirty sessions
  // are ready to be taken.
  void end_turn();
  Outbox& outbox(ShardId to) { return outboxes_[to]; }
  // Sessions with new output, a changed wish for input, or nothing left to live for.
  std::vector<ConnectionId> take_dirty();
  bool has_dirty() const { return !dirty_.empty(); }
  void forget(ConnectionId id);                  // after session.finished()
  void stop_delivering() { delivers_ = false; }  // every shard, before any of them is shut down
  void shut_down(const std::string& reason);     // closes every connection with 320
  EngineInfo info() const;
  std::vector<QueueInfo> queue_infos() const;

  // ---- used by sessions, channels and control, on the same shard ----
  ShardId self() const { return self_; }
  unsigned shards() const { return options_.shards; }
  Millis now() const { return now_; }
  const CoreOptions& options() const { return options_; }
  const EngineWorld& world() const { return world_; }
  const Authenticator& authenticator() const { return *authenticator_; }
  void set_authenticator(AuthenticatorPtr authenticator);
  const Alarm& alarm() const { return alarm_; }
  VhostView* find_vhost(const std::string& name);
  void set_vhost(VhostView view);  // a new one, or what is new about one
  routing::Router& router() { return router_; }
  std::string random_name(std::string_view prefix);  // prefix + 22 URL-safe characters

  void publish(Publish publish);
  void settle(const Settle& settle);
  void send(ShardId to, ShardMessage message);
  void send_first(ShardId to, ShardMessage message);
  void send_to_queue(QueueId queue, ShardMessage message);
  void send_to_connection(ConnectionId connection, ShardMessage message);
  void defer(Grant grant) {
    deferred_.push_back(grant);
  }  // sent later in the turn, not inside the caller
  void defer(Publish copy) { deferred_copies_.push_back(std::move(copy)); }
  // What the session has held back may go, but not from within the queue or channel that says so.
  void publish_held_later(ConnectionId id) { may_publish_.push_back(id); }
  void drop_deferred(const ChannelRef& channel) {
    std::erase_if(deferred_, [&](const Grant& g) { return g.consumer.channel == channel; });
  }
  // Unique in the process.
  std::uint64_t next_transaction() { return std::uint64_t{self_} << 48 | ++last_transaction_; }
  void reply(const ReplyTo& to, decltype(Reply::result) result);
  bool congested(ShardId to) const;
  void wait_for_window(ConnectionId id) { window_waiters_.insert(id); }
  void mark_dirty(Session& session);
  // Replaces one deadline of a connection by another; 0 is none.
  void schedule(ConnectionId id, Millis old_deadline, Millis deadline);
  Control* control() { return control_.get(); }
  void log(int level, const std::string& line) const { world_.log(level, line); }

  // Outlet
  void deliver(Delivery delivery) override;
  void record(persistence::Record record) override { batch_.add(std::move(record)); }
  bool delivers() const override { return delivers_; }
  void dead_letter(DeadLetter letter) override;
  void hand_over(HistoryCopy copy) override;
  void handed_over(std::uint32_t number) override;
  void wake_at(QueueId queue, Millis instead_of, Millis at) override;
  void before_commit(QueueId queue) override { late_writers_.push_back(queue); }
  bool may_release_delayed() override;
  Millis unix_ms() const override { return now_ + world_.unix_minus_monotonic_ms; }
  // The number that the batch of this turn will have, and how many records it holds so far.
  std::uint64_t current_batch() const override { return committed_ + 1; }
  std::size_t records_so_far() const { return batch_.records().size(); }
  std::uint64_t durable_through() const override { return durable_; }
  void fetch(StoreId part, const FetchRequest& request) override;
  void page_out(StoreId part, std::vector<persistence::StoredMessage> messages,
                std::uint64_t token) override;
  void drop_paged(StoreId part, Seq from, Seq up_to) override;
  void notify(ConnectionId to, ShardMessage message) override {
    send_to_connection(to, std::move(message));
  }

 private:
  Queue* find_queue(QueueId id);
  void drop_queue(QueueId id);
  void note_footprint(const ChannelRef& channel, QueueId queue);
  void report_gone(const std::string& vhost, std::vector<QueueId> queues, const ReplyTo& reply);

  void on(Publish& m, ShardId from);
  void on(Settle& m, ShardId from);
  void on(CommitPart& m, ShardId from);
  void on(Delivery& m, ShardId from);
  void on(PublishSettled& m, ShardId from);
  void on(Sent& m, ShardId from);
  void on(Get& m, ShardId from);
  void on(Consume& m, ShardId from);
  void on(Cancel& m, ShardId from);
  void on(SetPrefetch& m, ShardId from);
  void on(Grant& m, ShardId from);
  void on(Purge& m, ShardId from);
  void on(CountQueue& m, ShardId from);
  void on(ReleaseChannel& m, ShardId from);
  void on(ConsumerCancelled& m, ShardId from);
  void on(GrantWanted& m, ShardId from);
  void on(GrantReturned& m, ShardId from);
  void on(DirectReply& m, ShardId from);
  void on(ProbeDirectReply& m, ShardId from);
  void on(Reply& m, ShardId from);
  void on(ControlRequest& m, ShardId from);
  void on(QueueDropped& m, ShardId from);
  void on(TopologySeen& m, ShardId from);
  void on(CreateQueue& m, ShardId from);
  void on(DropQueue& m, ShardId from);
  void on(NewTopology& m, ShardId from);
  void on(NewUsers& m, ShardId from);
  void on(ApplyPolicy& m, ShardId from);
  void on(ImportDefinitions& m, ShardId from);
  void on(Alarm& m, ShardId from);
  void on(Processed& m, ShardId from);
  void on(MemoryCrossed& m, ShardId from);
  void on(DiskCrossed& m, ShardId from);
  void on(Durable& m, ShardId from);
  void on(Fetched& m, ShardId from);
  void on(PagedOut& m, ShardId from);
  void on(QueueFull& m, ShardId from);
  void on(QueueHasRoom& m, ShardId from);
  void on(PublisherGone& m, ShardId from);
  void on(HandOver& m, ShardId from);
  void on(HandedOver& m, ShardId from);

  bool memory_is_high() const;
  void check_memory();
  void decide_memory_alarm();
  void tell_all(const Alarm& alarm);
  void write_late();
  void commit_batch();

  // engine_life.cpp
  void send_dead_letters();
  void send_dead_letter(const DeadLetter& letter);
  void join_dead_letters();
  void wake_queues();
  void drop_unused(QueueId id);

  // engine_history.cpp
  void begin_handovers(const NewTopology& news);
  bool has_history() const { return !history_copies_.empty() || !handed_over_.empty(); }
  void send_history();
  void send_history(const HistoryCopy& copy);
  void route_history(const routing::Topology& topology, const routing::Exchange& source,
                     const std::string& target, const protocol::Message& message);
  void settle_history(const PublishSettled& settled);

  // engine_paging.cpp
  Residents* residents() { return world_.fetch ? &residents_ : nullptr; }
  void wake_waiting_queues();
  void relieve_residents();
  void page_out_unstored();

  const ShardId self_;
  const CoreOptions options_;
  const EngineWorld world_;
  Millis now_ = 0;
  bool delivers_ = true;
  Alarm alarm_;
  AuthenticatorPtr authenticator_;
  routing::Router router_;
  std::map<std::string, std::unique_ptr<VhostView>, std::less<>> vhosts_;
  std::unique_ptr<Control> control_;

  std::unordered_map<ConnectionId, std::unique_ptr<Session>> sessions_;
  std::uint64_t next_connection_ = 1;
  Residents residents_;  // outlives the queues
  unsigned page_outs_open_ = 0;
  std::unordered_map<QueueId, std::unique_ptr<Queue>> queues_;
  // Queues of this shard where a channel consumes or has got messages: what to visit when the
  // channel goes.
  std::unordered_map<ChannelRef, std::unordered_set<QueueId>> footprints_;

  std::vector<Outbox> outboxes_;
  std::vector<Grant> deferred_;
  std::vector<Publish> deferred_copies_;
  std::vector<ConnectionId> may_publish_;
  std::vector<ConnectionId> dirty_;
  std::set<std::pair<Millis, ConnectionId>> deadlines_;
  Millis next_memory_check_ = 0;

  persistence::WriteBatch batch_;  // of this turn
  std::vector<QueueId> late_writers_;
  unsigned released_ = 0;        // of what exchanges have delayed, in this turn
  std::uint64_t committed_ = 0;  // number of the last batch that went to the store
  std::uint64_t durable_ = 0;
  std::uint64_t last_transaction_ = 0;
  std::deque<std::pair<std::uint64_t, PublishSettled>> awaiting_durable_;  // in batch order

  std::set<std::pair<Millis, QueueId>> queue_alarms_;  // since 1970
  std::vector<DeadLetter> dead_letters_;               // of this turn, not sent yet
  bool sending_dead_letters_ = false;
  std::uint64_t dead_letter_shards_ = 0;  // one bit for each that has got stored ones in this turn
  std::vector<QueueId> dead_letter_routes_;

  std::deque<HistoryCopy> history_copies_;  // of this turn, not sent yet
  std::vector<std::uint32_t> handed_over_;  // handovers that have ended in this turn
  std::vector<QueueId> history_routes_;

  // Publishes on their way to each shard, in bytes, and what this shard has dealt with for each
  // other.
  std::vector<std::uint64_t> in_flight_to_;
  std::vector<std::uint64_t> processed_for_;
  std::unordered_set<ConnectionId> window_waiters_;
};

}  // namespace harrier::broker
