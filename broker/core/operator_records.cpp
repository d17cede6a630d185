// SPDX-License-Identifier: Apache-2.0
#include "broker/core/operator_records.hpp"

#include <utility>

#include "persistence/definitions.hpp"

namespace harrier::broker {
namespace {

using persistence::Define;
using persistence::Kind;
using protocol::FieldValue;
using protocol::Table;
using protocol::TableView;

constexpr std::string_view kByUser = "policy:";
constexpr std::string_view kByOperator = "operator:";

std::string joined(const std::string& first, const std::string& second) {
  return first + '\0' + second;
}

std::string policy_name(std::string_view name, bool by_operator) {
  return std::string(by_operator ? kByOperator : kByUser).append(name);
}

void add_words(Table& fields, std::string_view key, const std::vector<std::string>& words) {
  Table elements;
  for (const std::string& word : words) elements.add("", std::string_view(word));
  std::vector<FieldValue> values;
  elements.view().for_each([&](std::string_view, const FieldValue& value) {
    values.push_back(value);
    return true;
  });
  fields.add_array(key, values);
}

void add_number(Table& fields, std::string_view key, const std::optional<std::int64_t>& number) {
  if (number) fields.add_int64(key, *number);
}

void add_text(Table& fields, std::string_view key, const std::string& text) {
  fields.add(key, std::string_view(text));
}

// Named fields of one record. Whatever is missing or of the wrong type makes it bad.
class Fields {
 public:
  explicit Fields(TableView table) : table_(table) {}

  bool good() const { return good_; }
  void fail() { good_ = false; }

  std::string text(std::string_view key) {
    const auto value = table_.find(key);
    const auto found = value ? value->as_text() : std::nullopt;
    if (!found) fail();
    return std::string(found.value_or(""));
  }
  bool boolean(std::string_view key) {
    const auto value = table_.find(key);
    const auto found = value ? value->as_bool() : std::nullopt;
    if (!found) fail();
    return found.value_or(false);
  }
  std::optional<std::int64_t> number(std::string_view key) {
    const auto value = table_.find(key);
    if (value && !value->is_integer()) fail();
    return value ? value->as_integer() : std::nullopt;
  }
  std::vector<std::string> words(std::string_view key) {
    std::vector<std::string> found;
    const auto value = table_.find(key);
    const auto array = value ? value->as_array() : std::nullopt;
    if (!array) {
      fail();
      return found;
    }
    array->for_each([&](const FieldValue& element) {
      const auto word = element.as_text();
      if (!word) fail();
      found.emplace_back(word.value_or(""));
      return true;
    });
    return found;
  }
  Table table(std::string_view key) {
    const auto value = table_.find(key);
    const auto found = value ? value->as_table() : std::nullopt;
    if (!found) fail();
    return Table(found.value_or(TableView()));
  }
  bool has(std::string_view key) const { return table_.find(key).has_value(); }

 private:
  TableView table_;
  bool good_ = true;
};

Define define(Kind kind, std::string vhost, std::string name, const Table& fields) {
  return persistence::define(kind, std::move(vhost), std::move(name),
                             persistence::SettingsDefinition{fields});
}

Define define_one(const VhostRecord& record) {
  const VhostSettings& settings = record.settings;
  Table fields;
  add_text(fields, "description", settings.description);
  add_words(fields, "tags", settings.tags);
  add_text(fields, "default-queue-type", settings.default_queue_type);
  fields.add_bool("tracing", settings.tracing);
  add_number(fields, "max-connections", settings.connections_max);
  add_number(fields, "max-queues", settings.queues_max);
  return define(Kind::Vhost, "", record.name, fields);
}

Define define_one(const UserRecord& record) {
  const UserEntry& entry = record.entry;
  Table fields;
  add_text(fields, "hash", entry.password.base64());
  fields.add("algorithm", name(entry.password.algorithm()));
  add_words(fields, "tags", entry.tags);
  add_number(fields, "max-connections", entry.connections_max);
  add_number(fields, "max-channels", entry.channels_max);
  return define(Kind::User, "", record.name, fields);
}

Define define_one(const PermissionRecord& record) {
  Table fields;
  add_text(fields, "configure", record.entry.configure);
  add_text(fields, "write", record.entry.write);
  add_text(fields, "read", record.entry.read);
  return define(Kind::Permission, record.where.vhost, record.where.user, fields);
}

Define define_one(const TopicPermissionRecord& record) {
  Table fields;
  add_text(fields, "user", record.where.user);
  add_text(fields, "exchange", record.exchange);
  add_text(fields, "topic-write", record.entry.write);
  add_text(fields, "topic-read", record.entry.read);
  return define(Kind::Permission, record.where.vhost, joined(record.where.user, record.exchange),
                fields);
}

Define define_one(const PolicyRecord& record) {
  const Policy& policy = record.policy;
  Table fields;
  add_text(fields, "name", policy.name);
  add_text(fields, "pattern", policy.pattern.text());
  fields.add("apply-to", name(policy.apply_to));
  fields.add_int64("priority", policy.priority);
  fields.add_table("definition", policy.definition);
  return define(Kind::Policy, record.vhost, policy_name(policy.name, record.by_operator), fields);
}

Define define_one(const ParameterRecord& record) {
  Table fields;
  add_text(fields, "component", record.component);
  add_text(fields, "name", record.name);
  fields.add_table("value", record.value);
  return define(Kind::Parameter, record.vhost, joined(record.component, record.name), fields);
}

OperatorRecord read_vhost(const Define& definition, Fields& fields) {
  VhostRecord record{definition.name, {}};
  record.settings.description = fields.text("description");
  record.settings.tags = fields.words("tags");
  record.settings.default_queue_type = fields.text("default-queue-type");
  record.settings.tracing = fields.boolean("tracing");
  record.settings.connections_max = fields.number("max-connections");
  record.settings.queues_max = fields.number("max-queues");
  return record;
}

OperatorRecord read_user(const Define& definition, Fields& fields) {
  UserRecord record{definition.name, {}};
  const auto algorithm = parse_hash_algorithm(fields.text("algorithm"));
  const auto hash = algorithm ? PasswordHash::parse(*algorithm, fields.text("hash")) : std::nullopt;
  if (!hash) fields.fail();
  record.entry.password = hash.value_or(PasswordHash());
  record.entry.tags = fields.words("tags");
  record.entry.connections_max = fields.number("max-connections");
  record.entry.channels_max = fields.number("max-channels");
  return record;
}

OperatorRecord read_permission(const Define& definition, Fields& fields) {
  if (fields.has("exchange")) {
    TopicPermissionRecord record;
    record.where = {definition.vhost, fields.text("user")};
    record.exchange = fields.text("exchange");
    record.entry = {fields.text("topic-write"), fields.text("topic-read")};
    return record;
  }
  PermissionRecord record;
  record.where = {definition.vhost, definition.name};
  record.entry = {fields.text("configure"), fields.text("write"), fields.text("read")};
  return record;
}

OperatorRecord read_policy(const Define& definition, Fields& fields) {
  PolicyRecord record;
  record.vhost = definition.vhost;
  record.by_operator = definition.name.starts_with(kByOperator);
  record.policy.name = fields.text("name");
  auto pattern = NamePattern::parse(fields.text("pattern"));
  const auto apply_to = parse_apply_to(fields.text("apply-to"));
  const auto priority = fields.number("priority");
  auto* const parsed = std::get_if<NamePattern>(&pattern);
  if (parsed == nullptr || !apply_to || !priority) fields.fail();
  if (parsed != nullptr) record.policy.pattern = *parsed;
  record.policy.apply_to = apply_to.value_or(ApplyTo::All);
  record.policy.priority = priority.value_or(0);
  record.policy.definition = fields.table("definition");
  return record;
}

OperatorRecord read_parameter(const Define& definition, Fields& fields) {
  return ParameterRecord{definition.vhost, fields.text("component"), fields.text("name"),
                         fields.table("value")};
}

std::string in_vhost(const std::string& what, const std::string& vhost) {
  return what + " in vhost '" + vhost + "'";
}

struct Describe {
  std::string operator()(const VhostRecord& r) const { return "vhost '" + r.name + "'"; }
  std::string operator()(const UserRecord& r) const { return "user '" + r.name + "'"; }
  std::string operator()(const PermissionRecord& r) const {
    return in_vhost("permissions of user '" + r.where.user + "'", r.where.vhost);
  }
  std::string operator()(const TopicPermissionRecord& r) const {
    return in_vhost(
        "topic permissions of user '" + r.where.user + "' on exchange '" + r.exchange + "'",
        r.where.vhost);
  }
  std::string operator()(const PolicyRecord& r) const {
    return in_vhost((r.by_operator ? "operator policy '" : "policy '") + r.policy.name + "'",
                    r.vhost);
  }
  std::string operator()(const ParameterRecord& r) const {
    if (r.vhost.empty()) return "global parameter '" + r.name + "'";
    return in_vhost("parameter '" + r.name + "' of component '" + r.component + "'", r.vhost);
  }
};

}  // namespace

Define define(const OperatorRecord& record) {
  return std::visit([](const auto& one) { return define_one(one); }, record);
}

persistence::Forget forget_policy(const std::string& vhost, std::string_view name,
                                  bool by_operator) {
  return {Kind::Policy, vhost, policy_name(name, by_operator)};
}

std::optional<OperatorRecord> read_operator_record(const Define& definition) {
  const auto decoded = persistence::decode_settings(definition.value);
  if (!decoded) return std::nullopt;
  Fields fields(decoded->fields);
  std::optional<OperatorRecord> record;
  if (definition.kind == Kind::Vhost) record = read_vhost(definition, fields);
  if (definition.kind == Kind::User) record = read_user(definition, fields);
  if (definition.kind == Kind::Permission) record = read_permission(definition, fields);
  if (definition.kind == Kind::Policy) record = read_policy(definition, fields);
  if (definition.kind == Kind::Parameter) record = read_parameter(definition, fields);
  return fields.good() ? record : std::nullopt;
}

std::string describe(const OperatorRecord& record) { return std::visit(Describe{}, record); }

}  // namespace harrier::broker
