// SPDX-License-Identifier: Apache-2.0
//
// Control: every change of definitions of the broker, on the control shard (threading rule 6). It
// keeps the registries, cuts one topology per turn from all changes of the turn, hands it to every
// shard, and answers only when every shard has it. Deleting a queue asks the queue's shard first:
// only that one knows whether it is empty or in use. What operators set (users, policies, limits,
// parameters) is kept here too, and goes out the same way (control_operators.cpp).
#pragma once

#include <array>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "broker/auth/user_directory.hpp"
#include "broker/core/operator_records.hpp"
#include "broker/core/shard_message.hpp"
#include "broker/core/vhost_state.hpp"
#include "routing/registry.hpp"

namespace harrier::broker {

class Engine;

std::string locked_text(std::string_view queue, std::string_view vhost);  // C-218
std::string hidden_text(std::string_view queue, std::string_view vhost);
// For declaring a queue again, in the order of C-217; throws AmqpError. `wanted` has flags and
// owner, no arguments.
void check_redeclaration(const routing::QueueEntry& existing, const routing::QueueEntry& wanted,
                         protocol::TableView arguments, std::string_view vhost);

enum class Effect : std::uint8_t { None, Created, Updated };

class Control {
 public:
  explicit Control(Engine& engine);
  ~Control();

  // ---- at start, before any thread (core/recovery.cpp) ----
  routing::Registry* registry_of(const std::string& vhost);  // null: there is no such vhost
  void restore(OperatorRecord record);
  // Policies are matched, queue ids below `ids_below` have been given before. What every shard
  // has to know, or the queue's shard of its policy, is handed out by the caller.
  void finish_restore(std::uint64_t ids_below, const std::function<void(ShardMessage)>& hand_out);

  void on_request(ControlRequest& request);
  void on_queue_dropped(const QueueDropped& dropped);
  void on_handed_over(const HandedOver& done);
  void on_topology_seen(const TopologySeen& seen);
  void on_durable();
  void end_turn();
  void on_import(const ImportDefinitions& request);

  // ---- what operators set; takes effect at once, and is seen by all with the next topology ----
  Effect effect_of(const OperatorRecord& record) const;  // what set() would do
  Effect set(const OperatorRecord& record);
  bool clear_policy(const std::string& vhost, std::string_view name, bool by_operator);
  const UserTable& users() const { return users_; }
  const VhostState* find_vhost(const std::string& name) const;
  // As if a client had declared them; what there is already stays. Throws AmqpError.
  void declare(const std::string& vhost, routing::Exchange exchange);
  void declare(const std::string& vhost, routing::QueueEntry queue);
  void bind(const std::string& vhost, routing::Binding binding);
  std::array<std::uint8_t, PasswordHash::kSaltBytes> new_salt() const;

 private:
  using Result = decltype(Reply::result);
  using Vhost = VhostState;
  struct ParameterName {
    std::string vhost;
    std::string component;
    std::string name;
    friend auto operator<=>(const ParameterName&, const ParameterName&) = default;
  };
  // Topologies on their way out. None is seen before what it defines is durable: else a message
  // could be confirmed in a durable queue that a crash forgets.
  struct Cut {
    std::uint64_t batch = 0;
    std::vector<ShardMessage> news;
  };
  struct Answer {
    std::uint64_t epoch = 0;  // every shard has seen it
    std::uint64_t batch = 0;  // and this write batch is durable
    ReplyTo to;
    Result result;
    std::function<void()> then;  // instead of the reply, if there is one
  };
  // One or several queues on their way out, for one request.
  struct Deletion {
    Vhost* vhost = nullptr;
    ReplyTo to;
    std::size_t queues = 0;  // yet to be dropped by their shards
    std::uint32_t messages = 0;
    bool counts = false;  // the client wants to know how many messages went
  };
  // What an exchange has kept is on its way to where a new binding leads.
  struct Handover {
    std::uint32_t number = 0;
    Vhost* vhost = nullptr;
    routing::Binding binding;
    std::vector<ReplyTo> waiting;
  };

  Result handle(Vhost& vhost, DeclareExchange& change);
  Result handle(Vhost& vhost, DeleteExchange& change);
  Result handle(Vhost& vhost, DeclareQueue& change);
  Result adopt(Vhost& vhost, const routing::QueueEntry& existing, const DeclareQueue& change);
  Result handle(Vhost& vhost, Bind& change);
  Result handle(Vhost& vhost, QueuesGone& change);
  void start_deletion(Vhost& vhost, const ReplyTo& to, const std::vector<QueueId>& queues,
                      DropQueue how, bool counts);
  void delete_queue(Vhost& vhost, const ReplyTo& to, const DeleteQueue& change);
  // What a change took with it, out of the store as well.
  void forget_removed(Vhost& vhost, const routing::Removed& removed,
                      std::string_view transient_queue);
  void remove_queue(Vhost& vhost, const routing::QueueEntry& queue);
  // control_delays.cpp: the queues where exchanges delay messages.
  static bool is_delaying(const Vhost& vhost, const routing::Exchange& exchange);
  void begin_delays(Vhost& vhost, const std::string& exchange);
  void update_delays(Vhost& vhost);
  QueueId own_queue(Vhost& vhost, const std::string& exchange, const std::string& name,
                    const protocol::Table& arguments);
  void drop_own_queues(Vhost& vhost, const std::string& exchange);
  // control_history.cpp: those where they keep their last messages, and who gets these.
  void begin_history(Vhost& vhost, const std::string& exchange);
  void find_histories(Vhost& vhost);
  void begin_handover(Vhost& vhost, const routing::Binding& binding);
  Handover* find_handover(const Vhost& vhost, const routing::Binding& binding);
  bool waits_for_handover(const Vhost& vhost, const Bind& change, const ReplyTo& to);
  void record_binding(const Vhost& vhost, const routing::Binding& binding);
  QueueId new_queue_id(ShardId shard);
  void answer_when_seen(const ReplyTo& to, Result result, std::function<void()> then = nullptr);

  // control_operators.cpp
  static routing::DedupRule dedup_of(const Vhost& vhost, const routing::Exchange& exchange);
  static std::optional<std::string> alternate_by_policy(const Vhost& vhost,
                                                        std::string_view exchange);
  Effect effect_from(const VhostRecord& record) const;
  Effect effect_from(const UserRecord& record) const;
  Effect effect_from(const PermissionRecord& record) const;
  Effect effect_from(const TopicPermissionRecord& record) const;
  Effect effect_from(const PolicyRecord& record) const;
  Effect effect_from(const ParameterRecord& record) const;
  void apply(VhostRecord record);
  void apply(UserRecord record);
  void apply(PermissionRecord record);
  void apply(TopicPermissionRecord record);
  void apply(PolicyRecord record);
  void apply(ParameterRecord record);
  AuthenticatorPtr make_authenticator();
  EffectivePolicyPtr match(Vhost& vhost, const routing::QueueEntry& queue);
  void match_all(Vhost& vhost, const std::function<void(ApplyPolicy)>& tell);
  void refuse_beyond_limit(const Vhost& vhost, const std::string& queue) const;  // C-244
  void hand_out();
  void release_answers();

  Engine& engine_;
  std::map<std::string, Vhost, std::less<>> vhosts_;
  UserTable users_;
  bool users_changed_ = false;
  std::shared_ptr<const UserDirectory> directory_;  // null: nobody has defined a user
  std::map<ParameterName, protocol::Table> parameters_;
  std::uint64_t own_queues_made_ = 0;        // by exchanges, for their placement
  std::uint64_t declared_by_operators_ = 0;  // queues, for their placement
  std::uint64_t next_queue_ = 1;       // an id is this times the number of shards, and the shard
  std::uint64_t queue_ids_below_ = 0;  // the store knows that these may have been given
  std::uint64_t next_deletion_ = 1;
  std::unordered_map<std::uint64_t, Deletion> deletions_;
  std::uint32_t last_handover_ = 0;
  std::vector<Handover> handovers_;  // by number
  std::uint64_t epoch_ = 0;          // of the newest topology that was cut
  std::deque<Cut> cuts_;             // not handed out yet
  std::vector<std::uint64_t> seen_;  // by each shard
  std::deque<Answer> answers_;       // in epoch order
};

}  // namespace harrier::broker
