// SPDX-License-Identifier: Apache-2.0
#include "broker/config.hpp"

#include <algorithm>
#include <fstream>
#include <iterator>
#include <numeric>
#include <optional>
#include <sstream>

// toml++ 3.3 asserts on what its own next line refuses with an error ("[%"): bad input, not a bug
// of ours.
#define TOML_ASSERT(expr) static_assert(true)
#include <toml++/toml.h>

namespace harrier::broker {
namespace {

// Further away than this a key is no longer a likely misspelling.
constexpr std::size_t kNearestDistanceMax = 8;

std::size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), std::size_t{0});
  for (std::size_t i = 0; i < a.size(); ++i) {
    std::size_t diagonal = row[0];
    row[0] = i + 1;
    for (std::size_t j = 0; j < b.size(); ++j) {
      const std::size_t above = row[j + 1];
      row[j + 1] = std::min({above + 1, row[j] + 1, diagonal + (a[i] == b[j] ? 0U : 1U)});
      diagonal = above;
    }
  }
  return row.back();
}

const ConfigKey* find_key(std::string_view name) {
  const auto found = std::ranges::find(config_keys(), name, &ConfigKey::name);
  return found == config_keys().end() ? nullptr : &*found;
}

bool is_section(std::string_view name) {
  return std::ranges::any_of(config_keys(), [&](const ConfigKey& key) {
    return key.name.starts_with(name) && key.name.size() > name.size() &&
           key.name[name.size()] == '.';
  });
}

std::string unknown_key(std::string_view name) {
  if (is_section(name)) {
    return "\"" + std::string(name) + "\" is a section: [" + std::string(name) + "]";
  }
  std::string text = "unknown key \"" + std::string(name) + "\"";
  if (const auto near = nearest_key(name); !near.empty()) {
    text.append("; did you mean \"").append(near).append("\"?");
  } else {
    text += "; `harrier config` prints all keys";
  }
  return text;
}

// Sets one key; a mistake becomes a line that says what would be right.
void set_key(const ConfigKey& key, const ConfigValue& value, const std::string& where,
             Config& config, ConfigErrors& errors) {
  try {
    key.set(config, value);
  } catch (const BadConfigValue& bad) {
    static const Config kDefaults;
    errors.push_back(where + key.name + ": " + bad.text + " (" + key.type + ", " + key.range +
                     "; default " + key.print(kDefaults) + ")");
  }
}

// What TOML can hold and no key takes (dates, lists of lists) is nothing.
std::optional<ConfigValue> value_of(const toml::node& node) {
  if (const auto* text = node.as_string()) return text->get();
  if (const auto* number = node.as_integer()) return number->get();
  if (const auto* number = node.as_floating_point()) return number->get();
  if (const auto* on = node.as_boolean()) return on->get();
  if (const auto* array = node.as_array()) {
    std::vector<std::string> texts;
    for (const toml::node& item : *array) {
      if (!item.is_string()) return std::nullopt;
      texts.push_back(item.as_string()->get());
    }
    return texts;
  }
  if (const auto* table = node.as_table()) {
    std::map<std::string, std::string> texts;
    for (const auto& [name, item] : *table) {
      if (!item.is_string()) return std::nullopt;
      texts.emplace(name.str(), item.as_string()->get());
    }
    return texts;
  }
  return std::nullopt;
}

// One TOML value; what is none is a text without its quotes: --set log.level=debug.
std::optional<ConfigValue> parse_value(const std::string& text) {
  toml::table table;
  try {
    table = toml::parse("value = " + text);
  } catch (const toml::parse_error&) {
    table = toml::parse("value = '''" + text + "'''");
  }
  if (table.size() != 1) return std::nullopt;  // more lines than one
  return value_of(*table.get("value"));
}

struct FoundKey {
  std::string name;
  toml::source_position position;
  const toml::node* node;
};

// Every leaf of the file with its full name; tables are walked unless they are a key's own value.
void collect(const toml::table& table, const std::string& prefix, std::vector<FoundKey>& found) {
  for (const auto& [key, node] : table) {
    const std::string name = prefix + std::string(key.str());
    const auto* inner = node.as_table();
    if (inner != nullptr && find_key(name) == nullptr && is_section(name)) {
      collect(*inner, name + ".", found);
    } else {
      found.push_back({name, key.source().begin, &node});
    }
  }
}

void read_table(const toml::table& table, const std::string& file_name, Config& config,
                ConfigErrors& errors) {
  std::vector<FoundKey> found;
  collect(table, "", found);
  // Set in the order of the table of keys: a switch that sets other keys comes before them there,
  // and so they win over it wherever they stand in the file.
  const auto rank = [](const FoundKey& item) {
    const ConfigKey* key = find_key(item.name);
    return key == nullptr ? std::ptrdiff_t{0} : key - config_keys().data();
  };
  std::ranges::stable_sort(found, {}, rank);
  std::vector<std::pair<toml::source_position, std::string>> mistakes;
  for (const FoundKey& item : found) {
    std::ostringstream where;
    where << file_name << ':' << item.position.line << ": ";
    ConfigErrors of_key;
    const ConfigKey* key = find_key(item.name);
    if (key == nullptr) {
      of_key.push_back(where.str() + unknown_key(item.name));
    } else if (const auto value = value_of(*item.node)) {
      set_key(*key, *value, where.str(), config, of_key);
    } else {
      of_key.push_back(where.str() + key->name + ": expected a " + key->type + " (" + key->range +
                       ")");
    }
    for (auto& line : of_key) mistakes.emplace_back(item.position, std::move(line));
  }
  std::ranges::stable_sort(mistakes, {}, [](const auto& m) { return m.first.line; });
  for (auto& [position, line] : mistakes) errors.push_back(std::move(line));
}

ConfigErrors check_together(const Config& config) {
  ConfigErrors errors;
  if (config.connection.heartbeat.count() % 1000 != 0) {
    errors.emplace_back(
        "connection.heartbeat: whole seconds only, the protocol has no smaller unit");
  }
  return errors;
}

}  // namespace

std::string to_string(const Endpoint& endpoint) {
  const bool ipv6 = endpoint.host.find(':') != std::string::npos;
  return (ipv6 ? "[" + endpoint.host + "]" : endpoint.host) + ":" + std::to_string(endpoint.port);
}

std::uint64_t MemoryLimit::bytes_of(std::uint64_t memory_bytes) const {
  if (const auto* bytes = std::get_if<std::uint64_t>(&value)) return *bytes;
  return static_cast<std::uint64_t>(static_cast<double>(memory_bytes) * std::get<double>(value));
}

void Config::report_as_rabbitmq() {
  identity.product = kCompatProduct;
  identity.version = kCompatVersion;
}

std::string_view nearest_key(std::string_view name) {
  std::string_view nearest;
  std::size_t nearest_distance = std::min(kNearestDistanceMax, name.size() / 2 + 1) + 1;
  const auto leaf_of = [](std::string_view key) { return key.substr(key.rfind('.') + 1); };
  for (const ConfigKey& key : config_keys()) {
    // The right name in a wrong section (or in none) is nearer than its letters say.
    const bool same_leaf = leaf_of(key.name) == leaf_of(name);
    const std::size_t distance = same_leaf ? 1 : edit_distance(name, key.name);
    if (distance < nearest_distance) {
      nearest = key.name;
      nearest_distance = distance;
    }
  }
  return nearest;
}

ConfigErrors read_config_text(std::string_view toml, std::string_view file_name, Config& config) {
  ConfigErrors errors;
  const std::string name(file_name);
  try {
    read_table(toml::parse(toml, name), name, config, errors);
  } catch (const toml::parse_error& error) {
    std::ostringstream line;
    line << name << ':' << error.source().begin.line << ": not TOML at column "
         << error.source().begin.column << ": " << error.description();
    return {line.str()};
  }
  for (auto& error : check_together(config)) errors.push_back(name + ": " + error);
  return errors;
}

ConfigErrors read_config_file(const std::string& path, Config& config) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  // An empty file makes `<<` fail without being an error; a directory fails on the first read.
  if (!file || (file.peek(), file.bad())) return {path + ": cannot be read"};
  std::copy(std::istreambuf_iterator<char>(file), {}, std::ostreambuf_iterator<char>(text));
  return read_config_text(text.str(), path, config);
}

ConfigErrors apply_setting(std::string_view setting, Config& config) {
  const std::string where = "--set " + std::string(setting) + ": ";
  const std::size_t equals = setting.find('=');
  if (equals == std::string_view::npos) return {where + "expected KEY=VALUE"};
  const std::string_view name = setting.substr(0, equals);
  const std::string text(setting.substr(equals + 1));
  const ConfigKey* key = find_key(name);
  if (key == nullptr) return {where + unknown_key(name)};
  ConfigErrors errors;
  std::optional<ConfigValue> value;
  try {
    value = parse_value(text);
  } catch (const toml::parse_error& error) {
    return {where + std::string(error.description())};
  }
  if (!value) return {where + "expected a " + key->type + " (" + key->range + ")"};
  if (key->type == "list of texts" && std::holds_alternative<std::string>(*value)) {
    value = std::vector<std::string>{std::get<std::string>(*value)};
  }
  set_key(*key, *value, where, config, errors);
  for (auto& error : check_together(config)) errors.push_back(where + error);
  return errors;
}

std::string print_toml(const Config& config) {
  std::string result;
  std::string section;
  for (const ConfigKey& key : config_keys()) {
    const std::size_t dot = key.name.find('.');
    const std::string of = dot == std::string::npos ? "" : key.name.substr(0, dot);
    // A table of its own would swallow the keys after it, so it is written in one line at the end.
    if (key.type == "table of texts") continue;
    if (of != section) result += "\n[" + of + "]\n";
    section = of;
    result += (dot == std::string::npos ? key.name : key.name.substr(dot + 1)) + " = " +
              key.print(config) + "\n";
  }
  result += "\n[server_properties]\n";
  for (const auto& [name, text] : config.identity.server_properties) {
    std::ostringstream line;
    line << toml::table{{name, text}};
    result += line.str() + "\n";
  }
  return result;
}

std::string print_markdown() {
  static const Config kDefaults;
  std::string result =
      "# Configuration\n\n"
      "<!-- Generated by `harrier config --markdown`; a test compares it with the code. -->\n\n"
      "`harrier serve --config FILE` reads TOML; `--set KEY=VALUE` and the options of the command "
      "line\n"
      "override the file. `harrier config` prints every key with its default, in the form of such "
      "a\n"
      "file. An unknown key or a bad value ends the start with exit code 2 and names file, line "
      "and the\n"
      "nearest known key.\n\n"
      "A *size* is a number of bytes or a text with a unit: `\"64KiB\"` (B, KB, KiB, MB, MiB, GB, "
      "GiB).\n"
      "A *duration* is a text with units: `\"10s\"`, `\"1m30s\"` (ms, s, m, h, d).\n\n"
      "| key | type | default | allowed | meaning |\n|---|---|---|---|---|\n";
  for (const ConfigKey& key : config_keys()) {
    result += "| `" + key.name + "` | " + key.type + " | `" + key.print(kDefaults) + "` | " +
              key.range + " | " + key.meaning + " |\n";
  }
  result +=
      "\n## Example\n\n```toml\nlisten = [\"0.0.0.0:5672\", \"[::]:5672\"]\n"
      "data = \"/var/lib/harrier\"\n\n[limits]\nmessage_max = \"64MiB\"\n\n[connection]\n"
      "heartbeat = \"30s\"\n\n[server_properties]\ncluster_name = \"orders\"\n```\n";
  return result;
}

}  // namespace harrier::broker
