// SPDX-License-Identifier: Apache-2.0
//
// What operators set: users, permissions, virtual hosts with their limits, policies, parameters.
#include <utility>

#include "broker/core/arguments.hpp"
#include "broker/core/control.hpp"
#include "broker/core/definitions_import.hpp"
#include "broker/core/engine.hpp"

namespace harrier::broker {

using protocol::AmqpError;
using protocol::ReplyCode;

namespace {

template <class Map, class Key, class Value>
Effect difference(const Map& map, const Key& key, const Value& value) {
  const auto at = map.find(key);
  if (at == map.end()) return Effect::Created;
  return at->second == value ? Effect::None : Effect::Updated;
}

bool same(const EffectivePolicyPtr& a, const EffectivePolicyPtr& b) {
  if (a == nullptr || b == nullptr) return a == b;
  return a->policy == b->policy && a->operator_policy == b->operator_policy &&
         a->definition == b->definition;
}

}  // namespace

const VhostState* Control::find_vhost(const std::string& name) const {
  const auto at = vhosts_.find(name);
  return at == vhosts_.end() ? nullptr : &at->second;
}

Effect Control::effect_of(const OperatorRecord& record) const {
  return std::visit([this](const auto& one) { return effect_from(one); }, record);
}

Effect Control::set(const OperatorRecord& record) {
  const Effect change = effect_of(record);
  if (change == Effect::None) return change;
  engine_.record(define(record));
  std::visit([this](const auto& one) { apply(one); }, record);
  return change;
}

// Policies are matched once all are there.
void Control::restore(OperatorRecord record) {
  if (auto* policy = std::get_if<PolicyRecord>(&record)) {
    vhosts_.find(policy->vhost)
        ->second.policies.set(std::move(policy->policy), policy->by_operator);
    return;
  }
  std::visit([this](auto& one) { apply(std::move(one)); }, record);
}

// A virtual host of the configuration is in the store once something is set for it.
Effect Control::effect_from(const VhostRecord& record) const {
  const VhostState* const vhost = find_vhost(record.name);
  if (vhost == nullptr) return Effect::Created;
  return vhost->settings == record.settings ? Effect::None : Effect::Updated;
}

Effect Control::effect_from(const UserRecord& record) const {
  return difference(users_.users, record.name, record.entry);
}

Effect Control::effect_from(const PermissionRecord& record) const {
  return difference(users_.permissions, record.where, record.entry);
}

Effect Control::effect_from(const TopicPermissionRecord& record) const {
  return difference(users_.topics, std::pair(record.where, record.exchange), record.entry);
}

Effect Control::effect_from(const PolicyRecord& record) const {
  const VhostState* const vhost = find_vhost(record.vhost);
  const Policy* const known =
      vhost == nullptr ? nullptr : vhost->policies.find(record.policy.name, record.by_operator);
  if (known == nullptr) return Effect::Created;
  return *known == record.policy ? Effect::None : Effect::Updated;
}

Effect Control::effect_from(const ParameterRecord& record) const {
  const auto at = parameters_.find({record.vhost, record.component, record.name});
  if (at == parameters_.end()) return Effect::Created;
  const bool equal = protocol::canonical_form(at->second) == protocol::canonical_form(record.value);
  return equal ? Effect::None : Effect::Updated;
}

void Control::apply(VhostRecord record) {
  VhostState& vhost = vhosts_[record.name];
  vhost.name = std::move(record.name);
  vhost.set(std::move(record.settings));
}

void Control::apply(UserRecord record) {
  users_.users.insert_or_assign(std::move(record.name), std::move(record.entry));
  users_changed_ = true;
}

void Control::apply(PermissionRecord record) {
  users_.permissions.insert_or_assign(std::move(record.where), std::move(record.entry));
  users_changed_ = true;
}

void Control::apply(TopicPermissionRecord record) {
  users_.topics.insert_or_assign({std::move(record.where), std::move(record.exchange)},
                                 std::move(record.entry));
  users_changed_ = true;
}

void Control::apply(PolicyRecord record) {
  VhostState& vhost = vhosts_.find(record.vhost)->second;
  vhost.policies.set(std::move(record.policy), record.by_operator);
  match_all(vhost, [this](ApplyPolicy policy) {
    const QueueId queue = policy.queue;
    engine_.send_to_queue(queue, std::move(policy));
  });
}

void Control::apply(ParameterRecord record) {
  parameters_.insert_or_assign({record.vhost, record.component, record.name},
                               std::move(record.value));
}

bool Control::clear_policy(const std::string& vhost_name, std::string_view name, bool by_operator) {
  VhostState& vhost = vhosts_.find(vhost_name)->second;
  if (!vhost.policies.clear(name, by_operator)) return false;
  engine_.record(forget_policy(vhost_name, name, by_operator));
  match_all(vhost, [this](ApplyPolicy policy) {
    const QueueId queue = policy.queue;
    engine_.send_to_queue(queue, std::move(policy));
  });
  return true;
}

// As soon as one user is defined, the users are those that are defined.
AuthenticatorPtr Control::make_authenticator() {
  if (users_.users.empty()) return engine_.world().authenticator;
  directory_ = std::make_shared<const UserDirectory>(users_, engine_.options().loopback_users,
                                                     directory_.get());
  return directory_;
}

// ---- policies ----

EffectivePolicyPtr Control::match(Vhost& vhost, const routing::QueueEntry& queue) {
  if (vhost.policies.empty() || queue.hidden) return nullptr;
  EffectivePolicyPtr found =
      vhost.policies.of_queue(queue.name, read_queue_settings(queue.arguments).type);
  if (found) vhost.queue_policies[queue.id] = found;
  return found;
}

std::optional<std::string> Control::alternate_by_policy(const Vhost& vhost,
                                                        std::string_view exchange) {
  if (vhost.policies.empty()) return std::nullopt;
  const EffectivePolicyPtr found = vhost.policies.of_exchange(exchange);
  const auto value = found ? found->definition.view().find("alternate-exchange") : std::nullopt;
  if (!value) return std::nullopt;
  return std::string(value->as_text().value_or(""));
}

routing::DedupRule Control::dedup_of(const Vhost& vhost, const routing::Exchange& exchange) {
  const EffectivePolicyPtr found =
      vhost.policies.empty() ? nullptr : vhost.policies.of_exchange(exchange.name);
  return exchange_dedup(routing::routing_type(exchange), exchange.arguments,
                        found ? found->definition.view() : protocol::TableView());
}

// Tells of the queues whose policy is another one now; exchanges are changed here.
void Control::match_all(Vhost& vhost, const std::function<void(ApplyPolicy)>& tell) {
  auto before = std::exchange(vhost.queue_policies, {});
  vhost.registry.for_each_queue([&](const routing::QueueEntry& queue) {
    const EffectivePolicyPtr now = match(vhost, queue);
    const auto at = before.find(queue.id);
    const EffectivePolicyPtr old = at == before.end() ? nullptr : at->second;
    if (same(old, now)) return;
    tell({queue.id, now});
  });
  struct Change {
    std::string exchange;
    std::optional<std::string> alternate;
    routing::DedupRule dedup;
  };
  std::vector<Change> changes;
  vhost.registry.for_each_exchange([&](const routing::Exchange& exchange) {
    if (exchange.name.empty()) return;
    auto own = check_exchange_arguments(exchange.name, vhost.name, exchange.arguments);
    changes.push_back({exchange.name,
                       own ? std::move(own) : alternate_by_policy(vhost, exchange.name),
                       dedup_of(vhost, exchange)});
  });
  for (auto& [exchange, alternate, dedup] : changes) {
    if (vhost.registry.set_alternate(exchange, std::move(alternate))) vhost.changed = true;
    if (vhost.registry.set_dedup(exchange, dedup)) vhost.changed = true;
  }
  update_delays(vhost);
}

// ---- limits ----

void Control::refuse_beyond_limit(const Vhost& vhost, const std::string& queue) const {
  const auto limit =
      vhost.settings.queues_max ? limit_of(*vhost.settings.queues_max) : std::nullopt;
  if (!limit || vhost.registry.queue_count() < *limit) return;
  throw AmqpError(ReplyCode::PreconditionFailed,
                  "cannot declare queue '" + queue + "': queue limit in vhost '" + vhost.name +
                      "' (" + std::to_string(*limit) + ") is reached");
}

// ---- importing ----

void Control::declare(const std::string& vhost, routing::Exchange exchange) {
  DeclareExchange change{std::move(exchange)};
  handle(vhosts_.find(vhost)->second, change);
}

// Spread over the shards; nobody says where they are used.
void Control::declare(const std::string& vhost, routing::QueueEntry queue) {
  DeclareQueue change;
  change.queue = std::move(queue);
  change.unlimited = true;
  change.preferred = static_cast<ShardId>(declared_by_operators_++ % engine_.shards());
  handle(vhosts_.find(vhost)->second, change);
}

void Control::bind(const std::string& vhost, routing::Binding binding) {
  Bind change;
  change.binding = std::move(binding);
  change.hands_over = false;  // a definition is of what was there before
  handle(vhosts_.find(vhost)->second, change);
}

PasswordHash::Salt Control::new_salt() const {
  PasswordHash::Salt salt{};
  engine_.world().random(salt);
  return salt;
}

void Control::on_import(const ImportDefinitions& request) {
  ImportReport report = import_definitions(*this, *request.definitions, request.dry_run);
  if (request.dry_run || !report.errors.empty()) {
    request.done(report);
    return;
  }
  answer_when_seen({}, Done{}, [done = request.done, report = std::move(report)] { done(report); });
}

}  // namespace harrier::broker
