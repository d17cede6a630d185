// SPDX-License-Identifier: Apache-2.0
#include "broker/core/control.hpp"

#include <algorithm>
#include <utility>

#include "broker/core/arguments.hpp"
#include "broker/core/definition_records.hpp"
#include "broker/core/engine.hpp"
#include "broker/core/recovery.hpp"

namespace harrier::broker {

using protocol::AmqpError;
using protocol::ReplyCode;

namespace {

std::string subject(std::string_view kind, std::string_view name, std::string_view vhost) {
  return std::string(kind) + " '" + std::string(name) + "' in vhost '" + std::string(vhost) + "'";
}

Refused not_found(std::string_view kind, std::string_view name, std::string_view vhost) {
  return {ReplyCode::NotFound, "no " + subject(kind, name, vhost)};
}

// Ids that one record reserves: so many queues are declared before the next one.
constexpr std::uint64_t kReservedQueues = 1'000;

// By the key `redeclare` of its policy.
bool adopts(const VhostState& vhost, const routing::QueueEntry& queue) {
  const auto policy = vhost.queue_policies.find(queue.id);
  if (policy == vhost.queue_policies.end()) return false;
  const auto key = policy->second->definition.view().find("redeclare");
  return key && key->as_text() == "adopt";
}

// Another owner is refused elsewhere.
bool is_equivalent(const routing::QueueEntry& existing, const routing::QueueEntry& wanted,
                   std::string_view vhost) {
  try {
    check_redeclaration(existing, wanted, wanted.arguments, vhost);
  } catch (const AmqpError& error) {
    return error.code() != ReplyCode::PreconditionFailed;
  }
  return true;
}

bool is_foreign(const routing::QueueEntry& queue, ConnectionId connection) {
  return queue.owner != 0 && queue.owner != static_cast<std::uint64_t>(connection);
}

}  // namespace

std::string locked_text(std::string_view queue, std::string_view vhost) {
  return "cannot obtain exclusive access to locked " + subject("queue", queue, vhost) +
         ". It could be originally declared on another connection or the exclusive property value "
         "does not match that "
         "of the original declaration.";
}

std::string hidden_text(std::string_view queue, std::string_view vhost) {
  return subject("queue", queue, vhost) + " is where its exchange keeps messages, and its alone";
}

void check_redeclaration(const routing::QueueEntry& existing, const routing::QueueEntry& wanted,
                         protocol::TableView arguments, std::string_view vhost) {
  if (existing.owner != wanted.owner)
    throw AmqpError(ReplyCode::ResourceLocked, locked_text(existing.name, vhost));
  check_queue_equivalence(existing, vhost, wanted.durable, wanted.auto_delete, arguments);
}

Control::Control(Engine& engine) : engine_(engine), seen_(engine.shards(), 0) {
  for (const std::string& name : engine.options().vhosts) {
    vhosts_[name].name = name;
    vhosts_[name].set({});
  }
}

Control::~Control() = default;

routing::Registry* Control::registry_of(const std::string& vhost) {
  const auto at = vhosts_.find(vhost);
  return at == vhosts_.end() ? nullptr : &at->second.registry;
}

void Control::finish_restore(std::uint64_t ids_below,
                             const std::function<void(ShardMessage)>& hand_out) {
  const std::uint64_t shards = engine_.shards();  // perhaps another number than last time
  queue_ids_below_ = ids_below;
  next_queue_ = std::max<std::uint64_t>((ids_below + shards - 1) / shards, 1);
  for (auto& [name, vhost] : vhosts_) {
    match_all(vhost, [&](ApplyPolicy policy) { hand_out(std::move(policy)); });
    find_histories(vhost);
    hand_out(NewTopology{0, name, vhost.registry.snapshot(), vhost.profile});
    vhost.changed = false;
  }
  if (std::exchange(users_changed_, false)) hand_out(NewUsers{0, make_authenticator()});
}

// Never one that was given before, also by a broker that is gone: the store may still hold what a
// queue of that id had. The reservation is in the batch of the declaration that needs it.
QueueId Control::new_queue_id(ShardId shard) {
  const std::uint64_t shards = engine_.shards();
  const std::uint64_t id = next_queue_++ * shards + shard;
  if (id >= queue_ids_below_) {
    queue_ids_below_ = (id / shards + kReservedQueues) * shards;
    engine_.record(define_queue_ids(queue_ids_below_));
  }
  return QueueId{id};
}

void Control::on_request(ControlRequest& request) {
  Vhost& vhost = vhosts_.find(request.vhost)->second;
  try {
    std::visit(
        [&](auto& change) {
          using Change = std::decay_t<decltype(change)>;
          if constexpr (std::is_same_v<Change, DeleteQueue>) {
            delete_queue(vhost, request.reply, change);
          } else if constexpr (std::is_same_v<Change, DeleteExclusive>) {
            const auto owned =
                vhost.registry.queues_of(static_cast<std::uint64_t>(change.connection));
            start_deletion(vhost, request.reply, owned, {}, false);
          } else {
            Result result = handle(vhost, change);
            if constexpr (std::is_same_v<Change, Bind>) {
              const bool done = std::holds_alternative<Done>(result);
              if (done && waits_for_handover(vhost, change, request.reply)) return;
            }
            answer_when_seen(request.reply, std::move(result));
          }
        },
        request.change);
  } catch (const AmqpError& error) {
    answer_when_seen(request.reply, Refused{error.code(), error.explanation()});
  }
}

Control::Result Control::handle(Vhost& vhost, DeclareExchange& change) {
  const routing::Exchange& wanted = change.exchange;
  if (const routing::Exchange* existing = vhost.registry.find_exchange(wanted.name)) {
    check_exchange_equivalence(*existing, vhost.name, routing::name(wanted.type), wanted.durable,
                               wanted.auto_delete, wanted.internal, wanted.arguments);
  } else {
    if (wanted.durable) engine_.record(define(vhost.name, wanted));
    if (!wanted.alternate) change.exchange.alternate = alternate_by_policy(vhost, wanted.name);
    change.exchange.dedup = dedup_of(vhost, wanted);
    const std::string name = wanted.name;
    vhost.registry.add_exchange(std::move(change.exchange));
    vhost.changed = true;
    if (is_delaying(vhost, *vhost.registry.find_exchange(name))) begin_delays(vhost, name);
    begin_history(vhost, name);
  }
  return Done{};
}

Control::Result Control::handle(Vhost& vhost, DeleteExchange& change) {
  if (vhost.registry.find_exchange(change.name) == nullptr) return Done{};  // C-169
  if (change.if_unused && vhost.registry.has_bindings_from(change.name)) {
    return Refused{ReplyCode::PreconditionFailed,
                   subject("exchange", change.name, vhost.name) + " in use"};
  }
  const routing::Exchange& exchange = *vhost.registry.find_exchange(change.name);
  if (exchange.durable) engine_.record(forget(vhost.name, exchange));
  forget_removed(vhost, vhost.registry.remove_exchange(change.name), {});
  drop_own_queues(vhost, change.name);
  vhost.changed = true;
  return Done{};
}

Control::Result Control::handle(Vhost& vhost, DeclareQueue& change) {
  routing::QueueEntry& wanted = change.queue;
  if (wanted.name.empty()) wanted.name = engine_.random_name("amq.gen-");
  if (const routing::QueueEntry* existing = vhost.registry.find_queue(wanted.name)) {
    if (adopts(vhost, *existing) && !is_equivalent(*existing, wanted, vhost.name))
      return adopt(vhost, *existing, change);
    check_redeclaration(*existing, wanted, wanted.arguments, vhost.name);
    return QueueDeclared{existing->id, existing->name, false};
  }
  if (change.unfit) return *change.unfit;  // it was there a moment ago
  if (!change.unlimited) refuse_beyond_limit(vhost, wanted.name);
  wanted.id = new_queue_id(change.preferred);
  wanted.arguments = stored_queue_arguments(wanted.arguments);
  if (wanted.durable) engine_.record(define(vhost.name, wanted));
  const routing::QueueEntryPtr queue = vhost.registry.add_queue(std::move(wanted));
  vhost.changed = true;
  engine_.send_first(shard_of(queue->id, engine_.shards()),
                     CreateQueue{vhost.name, queue, match(vhost, *queue)});
  return QueueDeclared{queue->id, queue->name, true};
}

// The queue lives on with what the declaration says.
Control::Result Control::adopt(Vhost& vhost, const routing::QueueEntry& existing,
                               const DeclareQueue& change) {
  check_adoption(existing, vhost.name, change.queue.durable, change.queue.auto_delete,
                 change.queue.arguments);
  if (change.unfit) return *change.unfit;
  const routing::QueueEntryPtr now =
      vhost.registry.set_arguments(existing.name, stored_queue_arguments(change.queue.arguments));
  vhost.changed = true;
  if (now->durable) engine_.record(define(vhost.name, *now));
  engine_.send(shard_of(now->id, engine_.shards()),
               ApplyPolicy{now->id, vhost.queue_policies.at(now->id), now});
  return QueueDeclared{now->id, now->name, false};
}

Control::Result Control::handle(Vhost& vhost, Bind& change) {
  const routing::Binding& binding = change.binding;
  const bool has_source = vhost.registry.find_exchange(binding.source) != nullptr;
  const routing::QueueEntry* queue =
      binding.to_exchange ? nullptr : vhost.registry.find_queue(binding.destination);
  const bool has_destination = binding.to_exchange
                                   ? vhost.registry.find_exchange(binding.destination) != nullptr
                                   : queue != nullptr;
  if (!has_source || !has_destination) {
    if (change.unbind) return Done{};  // C-178
    if (!has_source) return not_found("exchange", binding.source, vhost.name);
    return not_found(binding.to_exchange ? "exchange" : "queue", binding.destination, vhost.name);
  }
  if (queue != nullptr && is_foreign(*queue, change.connection)) {
    return Refused{ReplyCode::ResourceLocked, locked_text(queue->name, vhost.name)};
  }
  if (queue != nullptr && queue->hidden)
    return Refused{ReplyCode::AccessRefused, hidden_text(queue->name, vhost.name)};
  if (change.unbind) {
    const routing::Removed removed = vhost.registry.unbind(binding);
    vhost.changed = vhost.changed || !removed.bindings.empty();
    forget_removed(vhost, removed,
                   queue != nullptr && !queue->durable ? queue->name : std::string_view());
  } else if (vhost.registry.bind(binding)) {
    vhost.changed = true;
    const bool has_history =
        vhost.registry.find_exchange(binding.source)->history_queue != QueueId{};
    if (change.hands_over && has_history) {
      begin_handover(vhost, binding);
    } else {
      record_binding(vhost, binding);
    }
  }
  return Done{};
}

// Durable if both ends are (C-184).
void Control::record_binding(const Vhost& vhost, const routing::Binding& binding) {
  const bool durable_end = binding.to_exchange
                               ? vhost.registry.find_exchange(binding.destination)->durable
                               : vhost.registry.find_queue(binding.destination)->durable;
  if (durable_end && vhost.registry.find_exchange(binding.source)->durable)
    engine_.record(define(vhost.name, binding));
}

Control::Result Control::handle(Vhost& vhost, QueuesGone& change) {
  for (const QueueId id : change.queues) {
    const routing::QueueEntry* queue = vhost.registry.find_queue(id);
    if (queue == nullptr) continue;
    remove_queue(vhost, *queue);
  }
  return Done{};
}

void Control::remove_queue(Vhost& vhost, const routing::QueueEntry& queue) {
  const std::string name = queue.name;
  const bool durable = queue.durable;
  vhost.queue_policies.erase(queue.id);
  if (durable) engine_.record(forget(vhost.name, queue));
  forget_removed(vhost, vhost.registry.remove_queue(name), durable ? std::string_view() : name);
  vhost.changed = true;
}

// Bindings of a transient queue were never stored; of the others the store may be told once too
// often.
void Control::forget_removed(Vhost& vhost, const routing::Removed& removed,
                             std::string_view transient_queue) {
  for (const routing::Exchange& exchange : removed.exchanges) {
    if (exchange.durable) engine_.record(forget(vhost.name, exchange));
    drop_own_queues(vhost, exchange.name);
  }
  for (const routing::Binding& binding : removed.bindings) {
    const bool transient =
        !binding.to_exchange && !transient_queue.empty() && binding.destination == transient_queue;
    if (!transient) engine_.record(forget(vhost.name, binding));
  }
}

// ---- deleting queues ----

void Control::delete_queue(Vhost& vhost, const ReplyTo& to, const DeleteQueue& change) {
  const routing::QueueEntry* queue = vhost.registry.find_queue(change.name);
  if (queue == nullptr) {
    answer_when_seen(to, Counted{});  // C-251
    return;
  }
  if (is_foreign(*queue, change.connection)) {
    answer_when_seen(to, Refused{ReplyCode::ResourceLocked, locked_text(queue->name, vhost.name)});
    return;
  }
  if (queue->hidden) {
    answer_when_seen(to, Refused{ReplyCode::AccessRefused, hidden_text(queue->name, vhost.name)});
    return;
  }
  DropQueue how;
  how.if_unused = change.if_unused;
  how.if_empty = change.if_empty;
  start_deletion(vhost, to, {queue->id}, how, true);
}

void Control::start_deletion(Vhost& vhost, const ReplyTo& to, const std::vector<QueueId>& queues,
                             DropQueue how, bool counts) {
  if (queues.empty()) {
    answer_when_seen(to, Done{});
    return;
  }
  how.deletion = next_deletion_++;
  deletions_.emplace(how.deletion, Deletion{&vhost, to, queues.size(), 0, counts});
  for (const QueueId id : queues) {
    how.queue = id;
    engine_.send(shard_of(id, engine_.shards()), how);
  }
}

void Control::on_queue_dropped(const QueueDropped& dropped) {
  const auto at = deletions_.find(dropped.deletion);
  Deletion& deletion = at->second;
  Vhost& vhost = *deletion.vhost;
  if (!dropped.refused) {
    // The queue may have gone by itself meanwhile; then its own report has removed it.
    if (const routing::QueueEntry* queue = vhost.registry.find_queue(dropped.queue)) {
      remove_queue(vhost, *queue);
    }
    deletion.messages += dropped.messages;
  }
  if (--deletion.queues > 0) return;
  Result result = Done{};
  if (deletion.counts) result = Counted{deletion.messages, 0};
  if (dropped.refused) result = *dropped.refused;
  answer_when_seen(deletion.to, std::move(result));
  deletions_.erase(at);
}

// ---- handing out topologies ----

void Control::answer_when_seen(const ReplyTo& to, Result result, std::function<void()> then) {
  // Even an answer that changed nothing waits for the changes before it, which the client may learn
  // of by it.
  const bool changed = users_changed_ || std::ranges::any_of(vhosts_, [](const auto& entry) {
                         return entry.second.changed;
                       });
  answers_.push_back({epoch_ + (changed ? 1 : 0),
                      engine_.records_so_far() > 0 ? engine_.current_batch() : 0, to,
                      std::move(result), std::move(then)});
}

void Control::end_turn() {
  std::vector<ShardMessage> news;
  for (auto& [name, vhost] : vhosts_) {
    if (!std::exchange(vhost.changed, false)) continue;
    NewTopology topology{epoch_ + 1, name, vhost.registry.snapshot(), vhost.profile};
    if (!vhost.handovers.empty()) {
      topology.handovers =
          std::make_shared<const std::vector<HandOver>>(std::exchange(vhost.handovers, {}));
    }
    news.emplace_back(std::move(topology));
  }
  if (std::exchange(users_changed_, false))
    news.emplace_back(NewUsers{epoch_ + 1, make_authenticator()});
  if (!news.empty()) {
    ++epoch_;
    const std::uint64_t batch = engine_.records_so_far() > 0 ? engine_.current_batch() : 0;
    cuts_.push_back({batch, std::move(news)});
  }
  hand_out();
  release_answers();
}

void Control::on_durable() {
  hand_out();
  release_answers();
}

void Control::hand_out() {
  while (!cuts_.empty() && cuts_.front().batch <= engine_.durable_through()) {
    for (unsigned shard = 0; shard < engine_.shards(); ++shard) {
      for (const ShardMessage& each : cuts_.front().news) {
        engine_.send(static_cast<ShardId>(shard), each);
      }
    }
    cuts_.pop_front();
  }
}

void Control::on_topology_seen(const TopologySeen& seen) {
  seen_[seen.shard] = std::max(seen_[seen.shard], seen.epoch);
  release_answers();
}

void Control::release_answers() {
  const std::uint64_t everywhere = *std::ranges::min_element(seen_);
  while (!answers_.empty() && answers_.front().epoch <= everywhere &&
         answers_.front().batch <= engine_.durable_through()) {
    Answer answer = std::move(answers_.front());
    answers_.pop_front();
    if (answer.then) answer.then();
    engine_.reply(answer.to, std::move(answer.result));
  }
}

}  // namespace harrier::broker
