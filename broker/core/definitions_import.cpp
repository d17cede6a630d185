// SPDX-License-Identifier: Apache-2.0
#include "broker/core/definitions_import.hpp"

#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <utility>

#include "broker/core/arguments.hpp"
#include "broker/core/control.hpp"
#include "broker/core/exchange_queues.hpp"
#include "protocol/error.hpp"
#include "routing/registry.hpp"

namespace harrier::broker {
namespace {

using protocol::AmqpError;

constexpr std::size_t kErrorsMax = 50;

std::string subject(std::string_view kind, std::string_view name, std::string_view vhost) {
  return std::string(kind) + " '" + std::string(name) + "' in vhost '" + std::string(vhost) + "'";
}

std::string subject(const BindingDefinition& binding) {
  return "binding from exchange '" + binding.source + "' to " +
         (binding.to_exchange ? "exchange '" : "queue '") + binding.destination + "' with key '" +
         binding.routing_key + "' in vhost '" + binding.vhost + "'";
}

bool same_table(protocol::TableView a, protocol::TableView b) {
  return protocol::canonical_form(a) == protocol::canonical_form(b);
}

routing::Binding binding_of(const BindingDefinition& binding) {
  return {binding.source, binding.destination, binding.to_exchange, binding.routing_key,
          binding.arguments};
}

class Import {
 public:
  Import(Control& control, const Definitions& wanted) : control_(control), wanted_(wanted) {}

  ImportReport run(bool dry_run) {
    plan_operator_records();
    plan_topology();
    if (!report_.errors.empty()) {
      limit_errors();
      report_.changes.clear();
      return std::move(report_);
    }
    if (!dry_run) carry_out();
    return std::move(report_);
  }

 private:
  void error(const std::string& at, const std::string& text) {
    report_.errors.push_back(at + ": " + text);
  }

  void limit_errors() {
    if (report_.errors.size() <= kErrorsMax) return;
    const std::size_t more = report_.errors.size() - kErrorsMax;
    report_.errors.resize(kErrorsMax);
    report_.errors.push_back("and " + std::to_string(more) + " more");
  }

  void count(Effect change, const std::string& what) {
    if (change == Effect::None) {
      ++report_.unchanged;
      return;
    }
    ++(change == Effect::Created ? report_.created : report_.updated);
    report_.changes.push_back((change == Effect::Created ? "created " : "updated ") + what);
  }

  void plan(OperatorRecord record) {
    const Effect change = control_.effect_of(record);
    count(change, describe(record));
    if (change != Effect::None) records_.push_back(std::move(record));
  }

  bool knows_vhost(const std::string& at, const std::string& name) {
    if (control_.find_vhost(name) != nullptr || new_vhosts_.contains(name)) return true;
    error(at, "there is no vhost '" + name + "', neither here nor in the file");
    return false;
  }

  bool knows_user(const std::string& at, const std::string& name) {
    if (control_.users().users.contains(name) || new_users_.contains(name)) return true;
    error(at, "there is no user '" + name + "', neither here nor in the file");
    return false;
  }

  // ---- users, vhosts, policies, parameters ----

  void plan_operator_records() {
    plan_vhosts();
    plan_users();
    for (const PermissionDefinition& each : wanted_.permissions) {
      if (knows_vhost(each.at, each.where.vhost) && knows_user(each.at, each.where.user))
        plan(PermissionRecord{each.where, each.entry});
    }
    for (const TopicPermissionDefinition& each : wanted_.topic_permissions) {
      if (knows_vhost(each.at, each.where.vhost) && knows_user(each.at, each.where.user))
        plan(TopicPermissionRecord{each.where, each.exchange, each.entry});
    }
    for (const ParameterDefinition& each : wanted_.parameters) {
      if (each.vhost.empty() || knows_vhost(each.at, each.vhost))
        plan(ParameterRecord{each.vhost, each.component, each.name, each.value});
    }
    for (const PolicyDefinition& each : wanted_.policies) {
      if (knows_vhost(each.at, each.vhost))
        plan(PolicyRecord{each.vhost, each.by_operator, each.policy});
    }
  }

  // What the file says of a virtual host in several places becomes one change.
  void plan_vhosts() {
    std::map<std::string, VhostSettings> settings;
    const auto of = [&](const std::string& name) -> VhostSettings& {
      const VhostState* const known = control_.find_vhost(name);
      return settings.try_emplace(name, known ? known->settings : VhostSettings()).first->second;
    };
    for (const VhostDefinition& each : wanted_.vhosts) {
      VhostSettings& to = of(each.name);
      if (each.description) to.description = *each.description;
      if (each.tags) to.tags = *each.tags;
      if (each.default_queue_type) to.default_queue_type = *each.default_queue_type;
      if (each.tracing) to.tracing = *each.tracing;
      new_vhosts_.insert(each.name);
    }
    for (const VhostLimitsDefinition& each : wanted_.vhost_limits) {
      if (!knows_vhost(each.at, each.vhost)) continue;
      VhostSettings& to = of(each.vhost);
      to.connections_max = each.connections_max;
      to.queues_max = each.queues_max;
    }
    for (auto& [name, each] : settings) plan(VhostRecord{name, std::move(each)});
  }

  void plan_users() {
    std::map<std::string, UserEntry> entries;
    const auto of = [&](const std::string& name) -> UserEntry& {
      const auto known = control_.users().users.find(name);
      const bool is_known = known != control_.users().users.end();
      return entries.try_emplace(name, is_known ? known->second : UserEntry()).first->second;
    };
    for (const UserDefinition& each : wanted_.users) {
      UserEntry& to = of(each.name);
      to.password = hash_of(each, to.password);
      to.tags = each.tags;
      new_users_.insert(each.name);
    }
    for (const UserLimitsDefinition& each : wanted_.user_limits) {
      if (!knows_user(each.at, each.user)) continue;
      UserEntry& to = of(each.user);
      to.connections_max = each.connections_max;
      to.channels_max = each.channels_max;
    }
    if (control_.users().users.empty() && !entries.empty()) {
      report_.warnings.emplace_back(
          "users are defined now, so the built-in one is no more: only those that are defined can "
          "log in");
    }
    for (auto& [name, each] : entries) plan(UserRecord{name, std::move(each)});
  }

  // A password in clear is hashed with a new salt, unless the hash that is there is of it.
  PasswordHash hash_of(const UserDefinition& user, const PasswordHash& known) {
    if (!user.password) return user.hash;
    if (known.verifies(*user.password)) return known;
    return PasswordHash::make(HashAlgorithm::Sha256, *user.password, control_.new_salt());
  }

  // ---- exchanges, queues, bindings ----

  // What there is and what is to be, in a registry of its own: so that all that refuses a
  // definition is asked before anything is changed.
  routing::Registry& trial(const std::string& vhost) {
    const auto [at, fresh] = trials_.try_emplace(vhost);
    const VhostState* const known = control_.find_vhost(vhost);
    if (!fresh || known == nullptr) return at->second;
    routing::Registry& made = at->second;
    known->registry.for_each_exchange([&](const routing::Exchange& exchange) {
      if (made.find_exchange(exchange.name) == nullptr) made.add_exchange(exchange);
    });
    known->registry.for_each_queue(
        [&](const routing::QueueEntry& queue) { made.add_queue(queue); });
    known->registry.for_each_binding([&](const routing::Binding& binding) { made.bind(binding); });
    return made;
  }

  void plan_topology() {
    const auto guarded = [this](const std::string& at, const auto& plan_one) {
      try {
        plan_one();
      } catch (const AmqpError& refused) {
        error(at, std::string(refused.explanation()));
      }
    };
    for (const ExchangeDefinition& each : wanted_.exchanges) {
      if (knows_vhost(each.at, each.vhost)) guarded(each.at, [&] { plan_exchange(each); });
    }
    for (const QueueDefinition& each : wanted_.queues) {
      if (knows_vhost(each.at, each.vhost)) guarded(each.at, [&] { plan_queue(each); });
    }
    for (const BindingDefinition& each : wanted_.bindings) {
      if (knows_vhost(each.at, each.vhost)) guarded(each.at, [&] { plan_binding(each); });
    }
  }

  void stays_otherwise(const std::string& what) {
    ++report_.unchanged;
    report_.warnings.push_back(what + " is there with other properties or arguments, and stays so");
  }

  void plan_exchange(const ExchangeDefinition& wanted) {
    routing::Registry& registry = trial(wanted.vhost);
    const std::string what = subject("exchange", wanted.name, wanted.vhost);
    const auto type = routing::parse_exchange_type(wanted.type);
    if (!type) {
      error(wanted.at + "/type", "unknown exchange type '" + wanted.type + "'");
      return;
    }
    if (const routing::Exchange* known = registry.find_exchange(wanted.name)) {
      const bool same = known->type == *type && known->durable == wanted.durable &&
                        known->auto_delete == wanted.auto_delete &&
                        known->internal == wanted.internal &&
                        same_table(known->arguments, wanted.arguments);
      if (!same) return stays_otherwise(what);
      count(Effect::None, what);
      return;
    }
    if (wanted.name.starts_with("amq.")) {
      error(wanted.at + "/name", "'" + wanted.name + "' contains reserved prefix 'amq.*'");
      return;
    }
    routing::Exchange exchange;
    exchange.alternate = check_exchange_arguments(wanted.name, wanted.vhost, wanted.arguments);
    exchange.name = wanted.name;
    exchange.type = *type;
    exchange.durable = wanted.durable;
    exchange.auto_delete = wanted.auto_delete;
    exchange.internal = wanted.internal;
    exchange.arguments = wanted.arguments;
    registry.add_exchange(exchange);
    count(Effect::Created, what);
    exchanges_.emplace_back(wanted.vhost, std::move(exchange));
  }

  void plan_queue(const QueueDefinition& wanted) {
    routing::Registry& registry = trial(wanted.vhost);
    const std::string what = subject("queue", wanted.name, wanted.vhost);
    const protocol::Table arguments = stored_queue_arguments(wanted.arguments);
    if (const routing::QueueEntry* known = registry.find_queue(wanted.name)) {
      const bool same = known->durable == wanted.durable && known->owner == 0 &&
                        known->auto_delete == wanted.auto_delete &&
                        same_table(known->arguments, arguments);
      if (!same) return stays_otherwise(what);
      count(Effect::None, what);
      return;
    }
    if (is_hidden_queue(wanted.name)) {
      report_.warnings.push_back(wanted.at + ": the " + what +
                                 " is left out: its exchange makes its own");
      return;
    }
    check_queue_arguments(wanted.name, wanted.vhost, wanted.durable, false, wanted.auto_delete,
                          wanted.arguments);
    routing::QueueEntry queue;
    queue.name = wanted.name;
    queue.durable = wanted.durable;
    queue.auto_delete = wanted.auto_delete;
    queue.arguments = wanted.arguments;
    queues_.emplace_back(wanted.vhost, queue);
    queue.id = QueueId{--next_trial_id_};
    queue.arguments = arguments;
    registry.add_queue(std::move(queue));
    count(Effect::Created, what);
  }

  void plan_binding(const BindingDefinition& wanted) {
    routing::Registry& registry = trial(wanted.vhost);
    const bool has_source = registry.find_exchange(wanted.source) != nullptr;
    const bool has_destination = wanted.to_exchange
                                     ? registry.find_exchange(wanted.destination) != nullptr
                                     : registry.find_queue(wanted.destination) != nullptr;
    if (!has_source || !has_destination) {
      // Exports leave some ends out: internal exchanges, exclusive queues.
      report_.warnings.push_back(wanted.at + ": the " + subject(wanted) + " is left out: its " +
                                 (has_source ? "destination" : "source") +
                                 " is neither here nor in the file");
      return;
    }
    if (!wanted.to_exchange && is_hidden_queue(wanted.destination)) {
      report_.warnings.push_back(wanted.at + ": the " + subject(wanted) +
                                 " is left out: the queue is its exchange's alone");
      return;
    }
    const bool fresh = registry.bind(binding_of(wanted));
    count(fresh ? Effect::Created : Effect::None, subject(wanted));
    if (fresh) bindings_.emplace_back(wanted.vhost, binding_of(wanted));
  }

  // Nothing of this is refused any more.
  void carry_out() {
    for (const OperatorRecord& record : records_) control_.set(record);
    for (auto& [vhost, exchange] : exchanges_) control_.declare(vhost, std::move(exchange));
    for (auto& [vhost, queue] : queues_) control_.declare(vhost, std::move(queue));
    for (auto& [vhost, binding] : bindings_) control_.bind(vhost, std::move(binding));
  }

  Control& control_;
  const Definitions& wanted_;
  std::set<std::string> new_vhosts_;  // of the file, also if they are here
  std::set<std::string> new_users_;
  std::map<std::string, routing::Registry> trials_;
  std::uint64_t next_trial_id_ = UINT64_MAX;  // far from ids that were given
  std::vector<OperatorRecord> records_;
  std::vector<std::pair<std::string, routing::Exchange>> exchanges_;
  std::vector<std::pair<std::string, routing::QueueEntry>> queues_;
  std::vector<std::pair<std::string, routing::Binding>> bindings_;
  ImportReport report_;
};

}  // namespace

ImportReport import_definitions(Control& control, const Definitions& definitions, bool dry_run) {
  return Import(control, definitions).run(dry_run);
}

}  // namespace harrier::broker
