// SPDX-License-Identifier: Apache-2.0
//
// Channel: what one channel number means from channel.open to its end: content assembly, consumers,
// unacknowledged deliveries, confirms or transaction, prefetch. Owned by its session, on the
// session's shard. Methods are handled in files grouped as the protocol's classes; what they refuse
// they throw as AmqpError, caught by the session.
#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "broker/auth/quota.hpp"
#include "broker/core/confirms.hpp"
#include "broker/core/outstanding_changes.hpp"
#include "broker/core/shard_message.hpp"
#include "broker/core/window.hpp"
#include "protocol/codec.hpp"
#include "protocol/content.hpp"

namespace harrier::broker {

class Engine;
class Session;

class Channel {
 public:
  enum class State : std::uint8_t {
    Unopened,  // a publish came without channel.open; its content is still to come (C-129)
    Open,
    Closing,  // channel.close is on its way out; only close and close-ok count (C-134)
  };

  Channel(Session& session, ChannelRef ref);

  const ChannelRef& ref() const { return ref_; }
  std::uint16_t number() const { return ref_.number; }
  bool consumes() const { return !consumers_.empty() || !unacked_.empty(); }
  State state() const { return state_; }
  void set_state(State state) { state_ = state; }
  void hold(Claim claim) { claim_ = std::move(claim); }
  protocol::ContentAssembler& assembler() { return assembler_; }
  std::uint64_t touched_shards() const { return touched_shards_; }
  void touch(ShardId shard) { touched_shards_ |= std::uint64_t{1} << shard; }
  void clear_touched() { touched_shards_ = 0; }

  void handle(const protocol::Method& method);
  // While this channel waits for answers to its changes: may this one be sent behind them? Only
  // if, as far as this shard knows, it cannot be refused, and it comes out as if they were done.
  bool may_follow(const protocol::QueueDeclare& method) const;
  bool may_follow(const protocol::QueueBind& method) const;
  bool may_follow(const protocol::QueueDelete& method) const;
  void publish(protocol::Publish publish);

  void on(const protocol::BasicAck& method);  // the hot ones are called directly

  void on_delivery(Delivery& delivery);
  void on_publish_settled(const PublishSettled& settled);
  void on_consumer_cancelled(std::uint32_t consumer, bool tell_client);
  void on_grant_wanted(std::uint32_t consumer);
  void on_grant_returned(std::uint32_t consumer, std::uint32_t count);
  void on_direct_reply(const DirectReply& reply);
  const std::string& direct_reply_name() const { return assembler_.reply_to(); }
  void return_credit(std::uint32_t consumer);
  void flush_confirms();
  void forget_consumers();  // the channel is closing: nothing is delivered any more

 private:
  struct Consumer {
    std::string tag;
    QueueId queue{};
    bool no_ack = false;
    std::uint32_t prefetch = 0;
    std::uint32_t granted = 0;  // under the channel-wide limit, not yet used
    bool waiting = false;       // has asked for a grant
    std::uint32_t sent_messages = 0;
    std::uint64_t sent_bytes = 0;
  };
  struct Unacked {
    QueueId queue{};
    Seq seq = 0;
    std::uint32_t slot = 0;
    bool from_consumer = false;   // basic.get is outside every window (C-272)
    bool in_transaction = false;  // settled by a method whose commit is still to come
    std::uint16_t attempt = 0;    // see Settle
  };
  struct TxPublish {
    std::vector<QueueId> queues;
    MessagePtr message;
    bool returned = false;
    bool direct_reply = false;
    routing::DedupRule dedup{};
  };
  struct TxSettle {
    std::uint64_t tag = 0;
    Outcome outcome = Outcome::Ack;
  };

  template <class M>
  void on(const M&);  // methods that only a server sends: 503
  void on(const protocol::ChannelFlow& method);
  void on(const protocol::AccessRequest& method);

  void on(const protocol::ExchangeDeclare& method);
  void on(const protocol::ExchangeDelete& method);
  void on(const protocol::ExchangeBind& method);
  void on(const protocol::ExchangeUnbind& method);

  void on(const protocol::QueueDeclare& method);
  void on(const protocol::QueueBind& method);
  void on(const protocol::QueueUnbind& method);
  void on(const protocol::QueuePurge& method);
  void on(const protocol::QueueDelete& method);

  void on(const protocol::BasicQos& method);
  void on(const protocol::BasicConsume& method);
  void on(const protocol::BasicCancel& method);
  void on(const protocol::BasicCancelOk& method);
  void on(const protocol::BasicGet& method);
  void on(const protocol::BasicReject& method);
  void on(const protocol::BasicNack& method);
  void on(const protocol::BasicRecover& method);
  void on(const protocol::BasicRecoverAsync& method);

  void on(const protocol::ConfirmSelect& method);
  void on(const protocol::TxSelect& method);
  void on(const protocol::TxCommit& method);
  void on(const protocol::TxRollback& method);

  Engine& engine();
  template <class M>
  void send(const M& method);
  // Parks the session for one answer. Refused is thrown as an AmqpError, everything else is handed
  // to `then`.
  ReplyTo ask(std::function<void(Reply&)> then);
  void change_definitions(decltype(ControlRequest::change) change,
                          std::function<void(Reply&)> then);

  // channel_queue.cpp
  const routing::QueueEntry& existing_queue(std::string_view name);  // 404, 405
  const routing::QueueEntry& known_queue(std::string_view name);     // also one that is hidden
  std::string named_queue(std::string_view name) const;  // "" = the last declared one (C-245)
  void refuse_stream(const routing::QueueEntry& queue, std::string_view method) const;  // 540
  bool is_other_owners(const routing::QueueEntry& queue) const;
  void refuse_other_owner(const routing::QueueEntry& queue) const;  // 405
  void declare_passive(const std::string& name, bool nowait);
  void declare_reply_to(const std::string& name, bool nowait);  // C-493
  void declare_at_control(routing::QueueEntry wanted, const protocol::Table& arguments,
                          bool nowait);
  void declare_otherwise(routing::QueueEntry wanted, bool nowait);
  ReplyTo await(OutstandingChanges::Change& change);
  void send_change(OutstandingChanges::Change& change, decltype(ControlRequest::change) request);
  void send_declare(OutstandingChanges::Change& declare);
  void on_change_reply(Reply& reply);
  void give_answers();
  void send_ok(const OutstandingChanges::Change& change);
  void send_declare_ok(const std::string& name, const Counted& counted);
  void answer_declared(const std::string& name, QueueId queue, bool nowait,
                       std::function<void()> if_missing);
  template <class M>
  Bind binding_of(const M& method) const;              // queue.bind or unbind
  void check_rights(const routing::Binding& binding);  // 403
  bool cannot_fail(const routing::Binding& binding) const;
  bool cannot_fail(const DeleteQueue& deletion) const;
  // channel_exchange.cpp
  const routing::Exchange& existing_exchange(std::string_view name);  // 404
  void need_source(const routing::Binding& binding);                  // 403
  void bind_exchange(std::string_view destination, std::string_view source,
                     std::string_view routing_key, protocol::TableView arguments, bool unbind,
                     bool nowait);

  // channel_publish.cpp
  void check_properties(const protocol::Publish& publish, const routing::Exchange& exchange);
  void need_topics(const protocol::Publish& publish);  // 403
  void publish_direct_reply(const MessagePtr& message, bool mandatory);
  void publish_to(const std::vector<QueueId>& queues, const MessagePtr& message,
                  routing::DedupRule dedup = {});
  void send_return(const MessagePtr& message);

  // channel_trace.cpp
  bool is_traced(const MessagePtr& message);
  void trace_published(const protocol::Publish& publish);
  void trace_delivered(QueueId queue, bool redelivered, const MessagePtr& message);
  void send_trace(const MessagePtr& copy);

  // channel_consume.cpp
  void check_stream_consumer(const std::string& name, bool no_ack) const;
  void consume_direct_reply(const protocol::BasicConsume& method, const std::string& tag);
  void erase_consumer(std::uint32_t number);
  std::uint64_t send_deliver(std::string_view tag, bool redelivered, std::uint32_t returns,
                             const MessagePtr& message,
                             std::optional<std::int64_t> stream_offset = std::nullopt);

  // channel_ack.cpp
  void settle_tags(std::uint64_t tag, bool multiple, Outcome outcome);
  void settle(const Unacked& unacked, Outcome outcome, bool more);
  void settle_together(const std::vector<Unacked>& together, Outcome outcome);
  void recover();
  void update_consumers(std::function<void()> then);
  void give_grants();

  // channel_tx.cpp
  bool is_durable(QueueId queue);
  bool stores_transient(QueueId queue);
  std::uint64_t storing_shards(const std::vector<TxPublish>& publishes,
                               const std::vector<TxSettle>& settles);
  void send_commit_parts(std::uint64_t shards);
  void finish_commit_if_settled();

  Session& session_;
  const ChannelRef ref_;
  State state_ = State::Open;
  Claim claim_;  // on the user's channels
  protocol::ContentAssembler assembler_;
  std::string last_queue_;  // "most recently declared"; empty = none
  OutstandingChanges changes_;
  std::uint64_t touched_shards_ = 0;

  std::unordered_map<std::uint32_t, Consumer> consumers_;
  std::unordered_map<std::string, std::uint32_t> tags_;
  std::string direct_reply_tag_;  // while the assembler has a reply-to name
  std::uint64_t last_delivery_tag_ = 0;
  Window<Unacked> unacked_;

  std::uint32_t default_prefetch_ = 0;  // for consumers to come
  std::uint32_t global_limit_ = 0;      // 0 = none
  std::uint32_t outstanding_ = 0;       // unacknowledged deliveries of consumers
  std::uint32_t granted_ = 0;
  bool updating_consumers_ = false;        // their queues are being told of a new limit
  std::deque<std::uint32_t> grant_queue_;  // consumers that wait for a grant, in turn

  std::unique_ptr<Confirms> confirms_;  // in confirm mode
  bool confirms_listed_ = false;

  bool transactional_ = false;
  std::vector<TxPublish> tx_publishes_;
  std::vector<TxSettle> tx_settles_;
  std::uint64_t tx_unsettled_ = 0;  // queues and shards that have yet to answer for a commit
  bool tx_refused_ = false;
  bool committing_ = false;

  std::vector<QueueId> routed_;  // scratch of route()
};

}  // namespace harrier::broker
