// SPDX-License-Identifier: Apache-2.0
//
// The table of keys: each is described, read, printed and documented from its one entry here.
#include <algorithm>
#include <array>
#include <concepts>
#include <limits>
#include <type_traits>
#include <utility>

#include "broker/config.hpp"
#include "broker/config_grammar.hpp"

namespace harrier::broker {

std::string quoted(std::string_view text) {
  static constexpr std::string_view kHex = "0123456789ABCDEF";
  std::string result = "\"";
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || byte == 0x7f) {
      result.append("\\u00").append(1, kHex[byte >> 4]).append(1, kHex[byte & 15]);
      continue;
    }
    if (c == '"' || c == '\\') result += '\\';
    result += c;
  }
  return result + '"';
}

namespace {

using std::chrono::milliseconds;

constexpr std::uint64_t kGiB = 1024 * kMiB;
constexpr std::uint64_t kFrameMinBytes = 4096;            // the smallest legal frame-max
constexpr std::uint64_t kMessageLimitBytes = 512 * kMiB;  // no setting goes beyond (C-307)

template <class Items, class Print>
std::string print_list(const Items& items, const Print& print) {
  std::string result = "[";
  for (const auto& item : items) {
    if (result.size() > 1) result += ", ";
    result += quoted(print(item));
  }
  return result + "]";
}

std::string describe_value(const ConfigValue& value) {
  struct {
    std::string operator()(bool on) const { return on ? "true" : "false"; }
    std::string operator()(std::int64_t number) const { return std::to_string(number); }
    std::string operator()(double number) const { return std::to_string(number); }
    std::string operator()(const std::string& text) const { return quoted(text); }
    std::string operator()(const std::vector<std::string>&) const { return "a list"; }
    std::string operator()(const std::map<std::string, std::string>&) const { return "a table"; }
  } describe_one;
  return std::visit(describe_one, value);
}

[[noreturn]] void expected(std::string_view what, const ConfigValue& value) {
  throw BadConfigValue{std::string("expected ").append(what) + ", got " + describe_value(value)};
}

template <class Type>
const Type& get(const ConfigValue& value, std::string_view what) {
  if (const Type* held = std::get_if<Type>(&value)) return *held;
  expected(what, value);
}

template <class Value>
Value parsed(Parsed<Value> result, std::string_view text) {
  if (const auto* error = std::get_if<GrammarError>(&result)) {
    throw BadConfigValue{describe(*error, text)};
  }
  return std::get<Value>(std::move(result));
}

// One maker for each type of key. `access` is a generic lambda: the field of a Config.

template <class Access>
ConfigKey integer_key(std::string name, std::int64_t min, std::int64_t max, std::string meaning,
                      Access access) {
  const std::string range = std::to_string(min) + " to " + std::to_string(max);
  return {std::move(name),
          "integer",
          range,
          std::move(meaning),
          [=](Config& config, const ConfigValue& value) {
            const auto number = get<std::int64_t>(value, "an integer");
            if (number < min || number > max) expected(range, value);
            auto& field = access(config);
            field = static_cast<std::remove_reference_t<decltype(field)>>(number);
          },
          [=](const Config& config) { return std::to_string(access(config)); }};
}

template <class Access>
ConfigKey size_key(std::string name, std::uint64_t min, std::uint64_t max, std::string meaning,
                   Access access) {
  const std::string range = print_size(min) + " to " + print_size(max);
  return {std::move(name),
          "size",
          range,
          std::move(meaning),
          [=](Config& config, const ConfigValue& value) {
            std::uint64_t bytes = 0;
            if (const auto* number = std::get_if<std::int64_t>(&value); number && *number >= 0) {
              bytes = static_cast<std::uint64_t>(*number);
            } else {
              const auto& text = get<std::string>(value, "a size such as \"64KiB\"");
              bytes = parsed(parse_size(text), text);
            }
            if (bytes < min || bytes > max) expected(range, value);
            auto& field = access(config);
            field = static_cast<std::remove_reference_t<decltype(field)>>(bytes);
          },
          [=](const Config& config) { return quoted(print_size(access(config))); }};
}

template <class Access>
ConfigKey duration_key(std::string name, milliseconds min, milliseconds max, std::string meaning,
                       Access access) {
  const std::string range = print_duration(min) + " to " + print_duration(max);
  return {std::move(name),
          "duration",
          range,
          std::move(meaning),
          [=](Config& config, const ConfigValue& value) {
            const auto& text = get<std::string>(value, "a duration such as \"10s\"");
            const milliseconds duration = parsed(parse_duration(text), text);
            if (duration < min || duration > max) expected(range, value);
            access(config) = duration;
          },
          [=](const Config& config) { return quoted(print_duration(access(config))); }};
}

template <class Access>
ConfigKey text_key(std::string name, std::string range, std::string meaning, Access access,
                   bool may_be_empty = false) {
  return {std::move(name),
          "text",
          std::move(range),
          std::move(meaning),
          [=](Config& config, const ConfigValue& value) {
            const auto& text = get<std::string>(value, "a text");
            if (text.empty() && !may_be_empty) expected("a text that is not empty", value);
            access(config) = text;
          },
          [=](const Config& config) { return quoted(access(config)); }};
}

template <class Access>
ConfigKey texts_key(std::string name, std::string range, bool may_be_empty, std::string meaning,
                    Access access) {
  return {std::move(name),
          "list of texts",
          std::move(range),
          std::move(meaning),
          [=](Config& config, const ConfigValue& value) {
            const auto& texts = get<std::vector<std::string>>(value, "a list of texts");
            if (texts.empty() && !may_be_empty) throw BadConfigValue{"the list is empty"};
            access(config) = texts;
          },
          [=](const Config& config) { return print_list(access(config), std::identity{}); }};
}

template <class Enum>
using Names = std::vector<std::pair<std::string_view, Enum>>;

template <class Enum, class Access>
ConfigKey choice_key(std::string name, Names<Enum> names, std::string meaning, Access access) {
  std::string range;
  for (const auto& [word, enumerator] : names) {
    range.append(range.empty() ? "" : ", ").append(word);
  }
  return {std::move(name),
          "one of",
          range,
          std::move(meaning),
          [=](Config& config, const ConfigValue& value) {
            const auto& text = get<std::string>(value, "one of " + range);
            const auto found =
                std::ranges::find(names, text, &std::pair<std::string_view, Enum>::first);
            if (found == names.end()) expected("one of " + range, value);
            access(config) = found->second;
          },
          [=](const Config& config) {
            return quoted(
                std::ranges::find(names, access(config), &std::pair<std::string_view, Enum>::second)
                    ->first);
          }};
}

// Keys of a type of their own

ConfigKey listen_key() {
  return {"listen",
          "list of texts",
          "address:port, [ipv6]:port",
          "Where clients connect; port 0 lets the system choose one.",
          [](Config& config, const ConfigValue& value) {
            std::vector<Endpoint> endpoints;
            for (const auto& text : get<std::vector<std::string>>(value, "a list of addresses")) {
              endpoints.push_back(parsed(parse_endpoint(text), text));
            }
            if (endpoints.empty()) throw BadConfigValue{"the list is empty"};
            config.listen = std::move(endpoints);
          },
          [](const Config& config) {
            return print_list(config.listen, [](const Endpoint& e) { return to_string(e); });
          }};
}

ConfigKey compat_key() {
  return {"compat.rabbitmq",
          "switch",
          "true, false",
          "Reports product RabbitMQ and version " + std::string(kCompatVersion) +
              " to clients, for tools that insist on them. Same as setting both keys below.",
          [](Config& config, const ConfigValue& value) {
            if (get<bool>(value, "true or false")) config.report_as_rabbitmq();
          },
          [](const Config& config) {
            const bool as_rabbitmq = config.identity.product == kCompatProduct &&
                                     config.identity.version == kCompatVersion;
            return std::string(as_rabbitmq ? "true" : "false");
          }};
}

ConfigKey server_properties_key() {
  return {
      "server_properties",
      "table of texts",
      "name = \"text\"",
      "Added to the properties that clients are told in connection.start, or put in place of them.",
      [](Config& config, const ConfigValue& value) {
        config.identity.server_properties =
            get<std::map<std::string, std::string>>(value, "a table of texts");
      },
      [](const Config& config) {
        std::string result = "{";
        for (const auto& [name, text] : config.identity.server_properties) {
          result += (result.size() > 1 ? ", " : " ") + quoted(name) + " = " + quoted(text);
        }
        return result + (result.size() > 1 ? " }" : "}");
      }};
}

void set_memory_limit(MemoryLimit& limit, const ConfigValue& value, std::string_view range,
                      double share_min, std::uint64_t bytes_min) {
  if (const auto* share = std::get_if<double>(&value)) {
    if (!(*share >= share_min && *share <= 1.0)) expected(range, value);
    limit.value = *share;
    return;
  }
  const auto& text = get<std::string>(value, range);
  const std::uint64_t bytes = parsed(parse_size(text), text);
  if (bytes < bytes_min) expected(range, value);
  limit.value = bytes;
}

std::string print_memory_limit(const MemoryLimit& limit) {
  if (const auto* bytes = std::get_if<std::uint64_t>(&limit.value))
    return quoted(print_size(*bytes));
  std::string text = std::to_string(std::get<double>(limit.value));
  text.erase(std::max(text.find_last_not_of('0'), text.find('.') + 1) + 1);
  return text;
}

ConfigKey memory_limit_key() {
  static constexpr std::string_view kRange = "above 0.0 to 1.0, or a size of 64MiB and more";
  return {
      "memory.limit",
      "fraction or size",
      std::string(kRange),
      "Messages in memory (a share of the machine's, or a size) above which publishers are blocked "
      "and told so with connection.blocked.",
      [](Config& config, const ConfigValue& value) {
        set_memory_limit(config.memory.limit, value, kRange, std::numeric_limits<double>::min(),
                         64 * kMiB);
      },
      [](const Config& config) { return print_memory_limit(config.memory.limit); }};
}

ConfigKey page_out_key() {
  static constexpr std::string_view kRange = "0.0 to 1.0, or a size";
  return {"memory.page_out_above",
          "fraction or size",
          std::string(kRange),
          "Messages in memory (a share of memory.limit, or a size) above which queues leave "
          "transient messages to the store, behind their window; 0.0: never.",
          [](Config& config, const ConfigValue& value) {
            set_memory_limit(config.memory.page_out_above, value, kRange, 0.0, 0);
          },
          [](const Config& config) { return print_memory_limit(config.memory.page_out_above); }};
}

// The table, in the order of the documentation

std::vector<ConfigKey> general_keys() {
  return {
      listen_key(),
      text_key(
          "data", "a directory",
          "Where the broker keeps what must survive; made if it is missing, locked while in use.",
          [](auto& c) -> auto& { return c.data; }),
      integer_key(
          "shards", 0, 64, "Threads that own connections and queues; 0: one for every two cores.",
          [](auto& c) -> auto& { return c.shards; }),
      integer_key(
          "spin_us", 0, 1'000,
          "Microseconds, at most, that a shard looks for more work before it sleeps, as long as "
          "that "
          "pays; 0: never. Not in force on a machine with one core.",
          [](auto& c) -> auto& { return c.spin_us; }),
      texts_key(
          "vhosts", "names", false, "The virtual hosts.",
          [](auto& c) -> auto& { return c.vhosts; }),
      text_key(
          "definitions", "a file, or nothing",
          "Virtual hosts, users, permissions, policies, limits, exchanges, queues and bindings as "
          "RabbitMQ and LavinMQ export them (JSON), imported at every start and on SIGHUP. Nothing "
          "is deleted; see definitions.md.",
          [](auto& c) -> auto& { return c.definitions; }, true),
      choice_key<LogLevel>(
          "log.level",
          {{"trace", LogLevel::Trace},
           {"debug", LogLevel::Debug},
           {"info", LogLevel::Info},
           {"warn", LogLevel::Warn},
           {"error", LogLevel::Error},
           {"off", LogLevel::Off}},
          "What is written to the log: this level and those after it.",
          [](auto& c) -> auto& { return c.log.level; }),
      compat_key(),
      text_key(
          "compat.product", "a name", "The product that clients are told.",
          [](auto& c) -> auto& { return c.identity.product; }),
      text_key(
          "compat.version", "dotted numbers",
          "The version that clients are told; the broker's own unless set.",
          [](auto& c) -> auto& { return c.identity.version; }),
      server_properties_key(),
      texts_key(
          "auth.loopback_users", "user names", true,
          "Users that may connect from this machine only.",
          [](auto& c) -> auto& { return c.auth.loopback_users; }),
      text_key(
          "auth.anonymous_user", "a user name, none",
          "The user that a client becomes by SASL ANONYMOUS; none: the mechanism is not offered.",
          [](auto& c) -> auto& { return c.auth.anonymous_user; }),
  };
}

std::vector<ConfigKey> limit_keys() {
  return {
      integer_key(
          "limits.connections_max", 1, 1'000'000,
          "Connections at a time; one more is closed at once.",
          [](auto& c) -> auto& { return c.limits.connections_max; }),
      integer_key(
          "limits.channels_max", 1, 65'535, "Channels of one connection (tune's channel-max).",
          [](auto& c) -> auto& { return c.limits.channels_max; }),
      size_key(
          "limits.frame_max", kFrameMinBytes, 128 * kMiB,
          "Largest frame, offered to clients by tune (frame-max).",
          [](auto& c) -> auto& { return c.limits.frame_max_bytes; }),
      size_key(
          "limits.handshake_frame_max", kFrameMinBytes, 1 * kMiB,
          "Largest frame before tune: what a client may tell about itself.",
          [](auto& c) -> auto& { return c.limits.handshake_frame_max_bytes; }),
      size_key(
          "limits.message_max", 1, kMessageLimitBytes,
          "Largest message body; a larger one is refused with 406.",
          [](auto& c) -> auto& { return c.limits.message_max_bytes; }),
  };
}

std::vector<ConfigKey> flow_keys() {
  using namespace std::chrono_literals;
  return {
      duration_key(
          "connection.heartbeat", 0ms, 65'535s,
          "Proposed to clients by tune, in whole seconds; 0: no heartbeats.",
          [](auto& c) -> auto& { return c.connection.heartbeat; }),
      duration_key(
          "connection.handshake_timeout", 100ms, 1h,
          "From accepting a connection to connection.open; then it is closed.",
          [](auto& c) -> auto& { return c.connection.handshake_timeout; }),
      duration_key(
          "connection.close_timeout", 0ms, 1h,
          "How long a client has to answer connection.close; then the socket is closed.",
          [](auto& c) -> auto& { return c.connection.close_timeout; }),
      size_key(
          "connection.write_buffer_high", 4 * kKiB, 1 * kGiB,
          "Unsent bytes of one connection above which its input is not read.",
          [](auto& c) -> auto& { return c.connection.write_buffer_high_bytes; }),
      integer_key(
          "consumer.unsent_messages_max", 1, 1'000'000,
          "Deliveries on their way to the socket of one consumer, whatever its prefetch allows.",
          [](auto& c) -> auto& { return c.consumer.unsent_max_messages; }),
      size_key(
          "consumer.unsent_bytes_max", 1 * kKiB, 1 * kGiB,
          "The same in bytes; one larger message at a time still passes.",
          [](auto& c) -> auto& { return c.consumer.unsent_max_bytes; }),
      choice_key<QosUpdates>(
          "channel.qos_updates_consumers",
          {{"auto", QosUpdates::Auto},
           {"never", QosUpdates::Never},
           {"always", QosUpdates::Always}},
          "Whether basic.qos also changes the channel's existing consumers; auto: for the clients "
          "that rely on it (py-amqp, and so kombu and Celery).",
          [](auto& c) -> auto& { return c.channel.qos_updates_consumers; }),
      memory_limit_key(),
      page_out_key(),
      size_key(
          "memory.queue_window", 1, 1 * kGiB,
          "Messages that a queue keeps in memory though the store has them too: what its "
          "consumers get next. All others cost no memory.",
          [](auto& c) -> auto& { return c.memory.queue_window_bytes; }),
      size_key(
          "memory.queue_windows_max", 0, 64 * kGiB,
          "The same for all queues together. Above it queues without consumers keep nothing, "
          "and the others little.",
          [](auto& c) -> auto& { return c.memory.resident_bytes_max; }),
      size_key(
          "memory.shard_window", 64 * kKiB, 1 * kGiB,
          "Bytes published on one shard and on their way to another, above which publishers wait.",
          [](auto& c) -> auto& { return c.memory.shard_window_bytes; }),
  };
}

constexpr std::array<std::pair<std::string_view, StoreLevel>, 3> kStoreLevels = {
    {{"disk", StoreLevel::Disk}, {"os", StoreLevel::Os}, {"memory", StoreLevel::Memory}}};

std::vector<ConfigKey> store_keys() {
  using namespace std::chrono_literals;
  return {
      choice_key<StoreLevel>(
          "store.level", {kStoreLevels.begin(), kStoreLevels.end()},
          "When a persistent message counts as stored, and so is confirmed. disk: it survives "
          "power "
          "loss; os: it survives the end of the process, but perhaps not that of the machine; "
          "memory: nothing is kept.",
          [](auto& c) -> auto& { return c.store.level; }),
      size_key(
          "store.segment", 1 * kMiB, 4 * kGiB,
          "Size of one file of the journal; the files are written in advance and used again.",
          [](auto& c) -> auto& { return c.store.segment_bytes; }),
      size_key(
          "store.disk_free_min", 0, 1'024 * kGiB,
          "Free space of the data directory's file system below which publishers are blocked and "
          "told so with connection.blocked; 0: never.",
          [](auto& c) -> auto& { return c.store.disk_free_min_bytes; }),
      duration_key(
          "store.checkpoint_interval", 10ms, 1h,
          "How often the journal's changes go into the database, at the latest; what was settled "
          "in between never does.",
          [](auto& c) -> auto& { return c.store.checkpoint_interval; }),
  };
}

}  // namespace

std::string_view name(StoreLevel level) {
  return std::ranges::find(kStoreLevels, level, &std::pair<std::string_view, StoreLevel>::second)
      ->first;
}

std::span<const ConfigKey> config_keys() {
  static const std::vector<ConfigKey> kKeys = [] {
    std::vector<ConfigKey> all;
    for (auto part : {general_keys(), limit_keys(), flow_keys(), store_keys()}) {
      std::ranges::move(part, std::back_inserter(all));
    }
    return all;
  }();
  return kKeys;
}

}  // namespace harrier::broker
