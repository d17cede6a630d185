// SPDX-License-Identifier: Apache-2.0
#include "broker/definitions/definitions_json.hpp"

#include <algorithm>
#include <array>
#include <map>
#include <utility>

#include "broker/definitions/json_values.hpp"

namespace harrier::broker {
namespace {

// Of a file that is no definitions file at all, nobody reads all.
constexpr std::size_t kFaultsMax = 50;

constexpr std::string_view kOperatorPolicy = "operator_policy";
constexpr std::string_view kVhostLimits = "vhost-limits";

// "a,b" as older versions write it, or ["a", "b"].
std::vector<std::string> read_words(const JsonPlace& place) {
  std::vector<std::string> words;
  if (place.value().is_string()) {
    const std::string text = place.value().get<std::string>();
    for (std::size_t from = 0; from <= text.size();) {
      const std::size_t comma = std::min(text.find(',', from), text.size());
      std::string word = text.substr(from, comma - from);
      word.erase(0, word.find_first_not_of(' '));
      if (!word.empty()) words.push_back(std::move(word));
      from = comma + 1;
    }
    return words;
  }
  for (const JsonPlace& element : place.elements()) {
    if (element.value().is_string()) {
      words.push_back(element.value().get<std::string>());
    } else {
      element.fault_expected("a text");
    }
  }
  return words;
}

std::string read_pattern(const JsonPlace& place, std::string_view key) {
  std::string text = place.text(key);
  const auto parsed = NamePattern::parse(text);
  if (const auto* fault = std::get_if<PatternFault>(&parsed)) {
    place.at(key).fault("'" + text + "' is no regular expression: " + fault->text + " at offset " +
                        std::to_string(fault->offset));
  }
  return text;
}

std::string read_topic_pattern(const JsonPlace& place, std::string_view key) {
  const std::string text = place.text(key);
  const auto parsed = NamePattern::parse(expand_topic_pattern(text, "user", "vhost"));
  if (const auto* fault = std::get_if<PatternFault>(&parsed)) {
    place.at(key).fault("'" + text + "' is no regular expression: " + fault->text);
  }
  return text;
}

class Reader {
 public:
  ReadDefinitions run(std::string_view text) {
    const Json document = parse(text);
    if (!out_.errors.empty()) return std::move(out_);
    const JsonPlace root(document, "", out_.errors);
    if (!document.is_object()) {
      root.fault_expected("an object with the sections of a definitions file");
      return std::move(out_);
    }
    for (const auto& item : document.items()) read_section(item.key(), root);
    if (out_.errors.size() > kFaultsMax) {
      const std::size_t more = out_.errors.size() - kFaultsMax;
      out_.errors.resize(kFaultsMax);
      out_.errors.push_back("and " + std::to_string(more) + " more");
    }
    return std::move(out_);
  }

 private:
  using Section = void (Reader::*)(const JsonPlace&);

  Json parse(std::string_view text) {
    try {
      return Json::parse(text);
    } catch (const Json::exception& error) {
      // "[json.exception.parse_error.101] parse error at line 3, column 5: ..."
      const std::string_view what = error.what();
      const std::size_t at = what.find("] ");
      out_.errors.emplace_back(at == what.npos ? what : what.substr(at + 2));
      return {};
    }
  }

  void read_section(const std::string& key, const JsonPlace& root) {
    static const std::map<std::string_view, Section> kSections = {
        {"vhosts", &Reader::read_vhost},
        {"users", &Reader::read_user},
        {"permissions", &Reader::read_permission},
        {"topic_permissions", &Reader::read_topic_permission},
        {"policies", &Reader::read_policy},
        {"operator_policies", &Reader::read_operator_policy},
        {"parameters", &Reader::read_parameter},
        {"global_parameters", &Reader::read_global_parameter},
        {"vhost_limits", &Reader::read_vhost_limits},
        {"user_limits", &Reader::read_user_limits},
        {"exchanges", &Reader::read_exchange},
        {"queues", &Reader::read_queue},
        {"bindings", &Reader::read_binding},
    };
    const JsonPlace place = root.at(key);
    const auto section = kSections.find(key);
    if (section == kSections.end()) {  // versions, names and explanations are texts
      if (place.value().is_array() && !place.value().empty())
        out_.warnings.push_back(place.pointer() + ": an unknown section, not looked at");
      return;
    }
    if (!root.has(key)) return;
    for (const JsonPlace& entry : place.elements()) {
      if (entry.value().is_object()) {
        (this->*section->second)(entry);
      } else {
        entry.fault_expected("an object");
      }
    }
  }

  // The same thing twice would be changed back and forth by every import.
  void once(const JsonPlace& place, std::string kind, std::initializer_list<std::string> names) {
    if ((names.end() - 1)->empty()) return;  // a fault already
    for (const std::string& name : names) kind.append(1, '\0').append(name);
    const auto [first, fresh] = seen_.emplace(std::move(kind), place.pointer());
    if (!fresh) place.fault("is in the file twice, also as " + first->second);
  }

  void read_vhost(const JsonPlace& place) {
    VhostDefinition vhost;
    vhost.at = place.pointer();
    vhost.name = place.name("name");
    once(place, "vhost", {vhost.name});
    const JsonPlace metadata = place.at("metadata");
    for (const JsonPlace& from : {metadata, place}) {
      if (from.has("description")) vhost.description = from.text("description");
      if (from.has("tags")) vhost.tags = read_words(from.at("tags"));
      if (!from.has("default_queue_type")) continue;
      const std::string type = from.text("default_queue_type");
      if (type == "undefined") continue;
      if (type != "classic" && type != "quorum" && type != "stream")
        from.at("default_queue_type").fault_expected("classic, quorum or stream");
      vhost.default_queue_type = type;
    }
    if (place.has("tracing")) vhost.tracing = place.boolean("tracing", false);
    if (place.has("limits") && place.at("limits").value().is_object()) {
      add_vhost_limits(place.at("limits"), vhost.name);
    }
    out_.definitions.vhosts.push_back(std::move(vhost));
  }

  void add_vhost_limits(const JsonPlace& limits, const std::string& vhost) {
    if (!limits.value().is_object()) {
      limits.fault_expected("an object");
      return;
    }
    once(limits, "vhost-limits", {vhost});
    out_.definitions.vhost_limits.push_back(
        {limits.pointer(), vhost, limits.integer("max-connections"), limits.integer("max-queues")});
  }

  void read_vhost_limits(const JsonPlace& place) {
    add_vhost_limits(place.at("value"), place.name("vhost"));
  }

  void read_user(const JsonPlace& place) {
    UserDefinition user;
    user.at = place.pointer();
    user.name = place.name("name");
    once(place, "user", {user.name});
    if (place.has("tags")) user.tags = read_words(place.at("tags"));
    if (place.has("password")) {
      user.password = place.text("password");
    } else {
      user.hash = read_hash(place);
    }
    if (place.has("limits") && !(place.at("limits").value().is_array())) {
      add_user_limits(place.at("limits"), user.name);
    }
    out_.definitions.users.push_back(std::move(user));
  }

  // Without one the user cannot log in with a password (C-037).
  static PasswordHash read_hash(const JsonPlace& place) {
    const std::string given = place.text("hashing_algorithm", name(HashAlgorithm::Sha256));
    const auto algorithm = parse_hash_algorithm(given);
    if (!algorithm) {
      place.at("hashing_algorithm")
          .fault("'" + given +
                 "' is not known here, only rabbit_password_hashing_sha256 and "
                 "rabbit_password_hashing_sha512; set the password again where this was exported, "
                 "or give it as `password`");
      return {};
    }
    const auto hash = PasswordHash::parse(*algorithm, place.text("password_hash", ""));
    if (!hash)
      place.at("password_hash").fault("is no base64 of a salt of 4 bytes and a hash of " + given);
    return hash.value_or(PasswordHash());
  }

  void add_user_limits(const JsonPlace& limits, const std::string& user) {
    if (!limits.value().is_object()) {
      limits.fault_expected("an object");
      return;
    }
    once(limits, "user-limits", {user});
    out_.definitions.user_limits.push_back({limits.pointer(), user,
                                            limits.integer("max-connections"),
                                            limits.integer("max-channels")});
  }

  void read_user_limits(const JsonPlace& place) {
    add_user_limits(place.at("value"), place.name("user"));
  }

  void read_permission(const JsonPlace& place) {
    PermissionDefinition permission;
    permission.at = place.pointer();
    permission.where = {place.name("vhost"), place.name("user")};
    once(place, "permission", {permission.where.vhost, permission.where.user});
    permission.entry = {read_pattern(place, "configure"), read_pattern(place, "write"),
                        read_pattern(place, "read")};
    out_.definitions.permissions.push_back(std::move(permission));
  }

  void read_topic_permission(const JsonPlace& place) {
    TopicPermissionDefinition permission;
    permission.at = place.pointer();
    permission.where = {place.name("vhost"), place.name("user")};
    permission.exchange = place.name("exchange");
    once(place, "topic-permission",
         {permission.where.vhost, permission.where.user, permission.exchange});
    permission.entry = {read_topic_pattern(place, "write"), read_topic_pattern(place, "read")};
    out_.definitions.topic_permissions.push_back(std::move(permission));
  }

  void read_policy(const JsonPlace& place) { add_policy(place, place, false); }
  void read_operator_policy(const JsonPlace& place) { add_policy(place, place, true); }

  // `what` holds pattern and definition: the entry itself, or its value.
  void add_policy(const JsonPlace& place, const JsonPlace& what, bool by_operator) {
    PolicyDefinition made;
    made.at = place.pointer();
    made.vhost = place.name("vhost");
    made.by_operator = by_operator;
    made.policy.name = place.name("name");
    once(place, by_operator ? "operator-policy" : "policy", {made.vhost, made.policy.name});
    auto pattern = NamePattern::parse(read_pattern(what, "pattern"));
    if (auto* parsed = std::get_if<NamePattern>(&pattern)) made.policy.pattern = *parsed;
    const std::string apply_to = what.text("apply-to", by_operator ? "queues" : "all");
    if (const auto known = parse_apply_to(apply_to)) {
      made.policy.apply_to = *known;
    } else {
      what.at("apply-to")
          .fault_expected("all, queues, exchanges, classic_queues, quorum_queues or streams");
    }
    made.policy.priority = what.integer("priority").value_or(0);
    if (!what.has("definition")) what.at("definition").fault("is missing");
    made.policy.definition = what.table("definition");
    const JsonPlace keys = what.at("definition");
    for (const PolicyFault& fault : check_policy_definition(made.policy.definition, by_operator)) {
      keys.at(fault.key).fault(fault.text);
    }
    warn_of_idle_keys(keys, made.policy.definition);
    out_.definitions.policies.push_back(std::move(made));
  }

  void warn_of_idle_keys(const JsonPlace& keys, protocol::TableView definition) {
    definition.for_each([&](std::string_view key, const protocol::FieldValue&) {
      const PolicyKey* const known = find_policy_key(key);
      if (known != nullptr && !known->has_effect)
        out_.warnings.push_back(keys.at(key).pointer() + ": has no effect here");
      return true;
    });
  }

  void read_parameter(const JsonPlace& place) {
    const std::string component = place.name("component");
    if (component == kOperatorPolicy) {
      add_policy(place, place.at("value"), true);
      return;
    }
    if (component == kVhostLimits) {
      add_vhost_limits(place.at("value"), place.name("vhost"));
      return;
    }
    add_parameter(place, place.name("vhost"), component);
  }

  void read_global_parameter(const JsonPlace& place) { add_parameter(place, "", ""); }

  void add_parameter(const JsonPlace& place, std::string vhost, std::string component) {
    ParameterDefinition parameter;
    parameter.at = place.pointer();
    parameter.vhost = std::move(vhost);
    parameter.component = std::move(component);
    parameter.name = place.name("name");
    once(place, "parameter", {parameter.vhost, parameter.component, parameter.name});
    add_field(parameter.value, "value", place.at("value"));
    out_.definitions.parameters.push_back(std::move(parameter));
  }

  void read_exchange(const JsonPlace& place) {
    ExchangeDefinition exchange;
    exchange.at = place.pointer();
    exchange.vhost = place.name("vhost");
    exchange.name = place.name("name");
    once(place, "exchange", {exchange.vhost, exchange.name});
    exchange.type = place.text("type");
    exchange.durable = place.boolean("durable", true);
    exchange.auto_delete = place.boolean("auto_delete", false);
    exchange.internal = place.boolean("internal", false);
    exchange.arguments = place.table("arguments");
    out_.definitions.exchanges.push_back(std::move(exchange));
  }

  void read_queue(const JsonPlace& place) {
    QueueDefinition queue;
    queue.at = place.pointer();
    queue.vhost = place.name("vhost");
    queue.name = place.name("name");
    once(place, "queue", {queue.vhost, queue.name});
    queue.durable = place.boolean("durable", true);
    queue.auto_delete = place.boolean("auto_delete", false);
    queue.arguments = place.table("arguments");
    if (place.has("type") && !queue.arguments.view().find("x-queue-type"))
      queue.arguments.add("x-queue-type", std::string_view(place.text("type")));
    out_.definitions.queues.push_back(std::move(queue));
  }

  void read_binding(const JsonPlace& place) {
    BindingDefinition binding;
    binding.at = place.pointer();
    binding.vhost = place.name("vhost");
    binding.source = place.short_text("source");
    binding.destination = place.name("destination");
    const std::string type = place.text("destination_type", "queue");
    if (type != "queue" && type != "exchange")
      place.at("destination_type").fault_expected("queue or exchange");
    binding.to_exchange = type == "exchange";
    binding.routing_key = place.short_text("routing_key");
    binding.arguments = place.table("arguments");
    if (binding.source.empty()) return;  // every queue has it (C-187)
    out_.definitions.bindings.push_back(std::move(binding));
  }

  ReadDefinitions out_;
  std::map<std::string, std::string> seen_;  // identity -> place
};

}  // namespace

ReadDefinitions read_definitions(std::string_view json) { return Reader().run(json); }

}  // namespace harrier::broker
