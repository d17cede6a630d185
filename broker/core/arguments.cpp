// SPDX-License-Identifier: Apache-2.0
#include "broker/core/arguments.hpp"

#include <array>
#include <charconv>
#include <initializer_list>
#include <limits>
#include <utility>

#include "broker/core/exchange_queues.hpp"
#include "protocol/error.hpp"

namespace harrier::broker {
namespace {

using protocol::AmqpError;
using protocol::FieldValue;
using protocol::ReplyCode;
using protocol::TableView;

constexpr std::string_view kTypeKey = "x-queue-type";
constexpr std::string_view kAlternateKey = "alternate-exchange";
constexpr std::string_view kMaxPriorityKey = "x-max-priority";
constexpr std::string_view kSingleActiveKey = "x-single-active-consumer";
constexpr std::string_view kDedupKey = "x-message-deduplication";
constexpr std::string_view kDedupSizeKey = "x-cache-size";
constexpr std::string_view kDedupTtlKey = "x-cache-ttl";
constexpr std::int64_t kNoMaximum = std::numeric_limits<std::int64_t>::max();

constexpr unsigned bit(QueueType type) { return 1u << static_cast<unsigned>(type); }
constexpr unsigned kClassic = bit(QueueType::Classic);
constexpr unsigned kQuorum = bit(QueueType::Quorum);
constexpr unsigned kStream = bit(QueueType::Stream);
constexpr unsigned kAny = kClassic | kQuorum | kStream;

[[noreturn]] void refuse(std::string explanation) {
  throw AmqpError(ReplyCode::PreconditionFailed, std::move(explanation));
}

// "queue 'q' in vhost '/'"
std::string described(std::string_view kind, std::string_view name, std::string_view vhost) {
  std::string text(kind);
  text.append(" '").append(name).append("' in vhost '").append(vhost).append("'");
  return text;
}

struct Place {
  std::string_view queue;  // or the exchange
  std::string_view vhost;
  std::string_view kind = "queue";

  [[noreturn]] void refuse_argument(std::string_view key, std::string_view rest) const {
    refuse("invalid arg '" + std::string(key) + "' for " + described(kind, queue, vhost) +
           std::string(rest));
  }
  [[noreturn]] void refuse_unsupported(std::string_view key, QueueType type) const {
    refuse_argument(key, " of queue type " + std::string(module_name(type)));
  }
};

template <class Enum>
using Choices = std::initializer_list<std::pair<std::string_view, Enum>>;

// Digits and one unit letter, as x-max-age and x-stream-offset write intervals; years and months
// are 365 and 30 days.
std::optional<std::int64_t> parse_interval_s(std::string_view text) {
  constexpr std::int64_t kDay = 24 * 60 * 60;
  constexpr std::array<std::pair<char, std::int64_t>, 6> kUnits{
      {{'Y', 365 * kDay}, {'M', 30 * kDay}, {'D', kDay}, {'h', 60 * 60}, {'m', 60}, {'s', 1}}};
  if (text.size() < 2 || text.front() < '0' || text.front() > '9') return std::nullopt;
  const char* const unit_at = text.data() + text.size() - 1;
  std::int64_t count = 0;
  const auto [end, error] = std::from_chars(text.data(), unit_at, count);
  if (error != std::errc{} || end != unit_at) return std::nullopt;
  for (const auto& [letter, seconds] : kUnits) {
    if (letter == *unit_at && count <= kNoMaximum / seconds) return count * seconds;
  }
  return std::nullopt;
}

// One argument that is present, with the ways of reading it; each refuses what does not fit
// (C-230).
struct Argument {
  const Place& place;
  std::string_view key;
  FieldValue value;

  [[noreturn]] void refuse_detail(std::string_view detail) const {
    place.refuse_argument(key, ": " + std::string(detail));
  }
  [[noreturn]] void refuse_type() const {
    refuse_detail("{unacceptable_type," + std::string(value.type_name()) + "}");
  }
  [[noreturn]] void refuse_number(std::string_view cause, std::int64_t number) const {
    refuse_detail("{" + std::string(cause) + "," + std::to_string(number) + "}");
  }

  std::int64_t any_integer() const {
    const auto number = value.as_integer();
    if (!number) refuse_detail("\"expected integer, got " + std::string(value.type_name()) + "\"");
    return *number;
  }
  std::int64_t integer(std::int64_t min, std::int64_t max,
                       std::string_view above = "max_value_exceeded") const {
    const std::int64_t number = any_integer();
    if (number < 0) refuse_number("value_negative", number);
    if (number < min) refuse_number(number == 0 ? "value_zero" : "value_too_small", number);
    if (number > max) refuse_number(above, number);
    return number;
  }
  std::int64_t count(std::int64_t min = 0) const { return integer(min, kNoMaximum); }
  std::int64_t milliseconds(std::int64_t min) const {
    return integer(min, kMillisecondsMax, "value_too_large");
  }

  std::string_view text() const {
    const auto found = value.as_text();
    if (!found) refuse_type();
    return *found;
  }
  // Neither empty nor longer than a short text.
  std::string name() const {
    const std::string_view given = text();
    if (given.empty() || given.size() > 255) refuse_detail("invalid_length");
    return std::string(given);
  }
  bool boolean() const {
    const auto found = value.as_bool();
    if (!found) refuse_type();
    return *found;
  }
  template <class Enum>
  std::optional<Enum> choice(Choices<Enum> choices) const {
    const std::string_view given = text();
    for (const auto& [word, meaning] : choices) {
      if (word == given) return meaning;
    }
    return std::nullopt;
  }
  template <class Enum>
  Enum choice(Choices<Enum> choices, std::string_view detail) const {
    const auto found = choice(choices);
    if (!found) refuse_detail(detail);
    return *found;
  }
};

void read_dead_letter_exchange(const Argument& argument, QueueSettings& out) {
  const auto name = argument.value.as_text();
  if (!name) {
    refuse("invalid type '" + std::string(argument.value.type_name()) + "' for arg '" +
           std::string(argument.key) + "' in " +
           described("queue", argument.place.queue, argument.place.vhost));  // C-239
  }
  out.dead_letter_exchange = *name;
}

void read_dead_letter_routing_key(const Argument& argument, QueueSettings& out) {
  out.dead_letter_routing_key = argument.text();
  if (!out.dead_letter_exchange) argument.refuse_detail("routing_key_but_no_dlx_defined");
}

void read_overflow(const Argument& argument, QueueSettings& out) {
  out.overflow = argument.choice<Overflow>({{"drop-head", Overflow::DropHead},
                                            {"reject-publish", Overflow::RejectPublish},
                                            {"reject-publish-dlx", Overflow::RejectPublishDlx},
                                            {"block-publisher", Overflow::BlockPublisher}},
                                           "invalid_overflow");
  // Quorum queues accept the word and do not know the behaviour.
  if (out.type == QueueType::Quorum && out.overflow == Overflow::RejectPublishDlx)
    out.overflow = Overflow::DropHead;
}

void read_queue_mode(const Argument& argument, QueueSettings& out) {
  const auto lazy = argument.choice<bool>({{"default", false}, {"lazy", true}});
  if (!lazy)
    argument.refuse_detail("\"unsupported queue mode '" + std::string(argument.text()) + "'\"");
  out.lazy = *lazy;
}

void read_queue_version(const Argument& argument, QueueSettings& out) {
  const std::int64_t version = argument.count();
  if (version < kQueueVersionMin || version > kQueueVersionMax) {
    argument.refuse_detail("\"unsupported queue version '" + std::to_string(version) + "'\"");
  }
  out.queue_version = static_cast<int>(version);
}

void read_queue_type(const Argument& argument, QueueSettings& out) {
  const auto type = argument.choice<QueueType>({{"classic", QueueType::Classic},
                                                {"quorum", QueueType::Quorum},
                                                {"stream", QueueType::Stream}});
  if (!type)
    argument.refuse_detail("\"unsupported queue type '" + std::string(argument.text()) + "'\"");
  out.type = *type;
}

void read_locator(const Argument& argument, QueueSettings& out) {
  const auto locator =
      argument.choice<LeaderLocator>({{"client-local", LeaderLocator::ClientLocal},
                                      {"balanced", LeaderLocator::Balanced},
                                      {"random", LeaderLocator::Random},
                                      {"least-leaders", LeaderLocator::LeastLeaders},
                                      {"min-masters", LeaderLocator::MinMasters}},
                                     "invalid_queue_locator_arg");
  if (!out.leader_locator) out.leader_locator = locator;
}

void read_max_age(const Argument& argument, QueueSettings& out) {
  out.max_age_s = parse_interval_s(argument.text());
  if (!out.max_age_s) argument.refuse_detail("invalid_max_age");
}

std::uint32_t dedup_size(const Argument& argument) {
  return static_cast<std::uint32_t>(argument.integer(1, kDedupIdsMax));
}

struct Rule {
  std::string_view key;
  unsigned types;  // of queue that know the argument
  void (*read)(const Argument&, QueueSettings&);
};

using Arg = const Argument&;
using Out = QueueSettings&;

// In the order in which they are checked and compared: of several faults the first one here is
// reported.
constexpr Rule kRules[] = {
    {kTypeKey, kAny, read_queue_type},  // first: the others depend on it
    {"x-expires", kClassic | kQuorum, [](Arg a, Out s) { s.expires_ms = a.milliseconds(1); }},
    {"x-message-ttl", kClassic | kQuorum,
     [](Arg a, Out s) { s.message_ttl_ms = a.milliseconds(0); }},
    {"x-dead-letter-exchange", kClassic | kQuorum, read_dead_letter_exchange},
    {"x-dead-letter-routing-key", kClassic | kQuorum, read_dead_letter_routing_key},
    {"x-dead-letter-strategy", kQuorum,
     [](Arg a, Out s) {
       s.dead_letter_strategy =
           a.choice<DeadLetterStrategy>({{"at-most-once", DeadLetterStrategy::AtMostOnce},
                                         {"at-least-once", DeadLetterStrategy::AtLeastOnce}},
                                        "invalid_dlx_strategy");
     }},
    {"x-max-length", kClassic | kQuorum, [](Arg a, Out s) { s.max_length = a.count(); }},
    {"x-max-length-bytes", kAny, [](Arg a, Out s) { s.max_length_bytes = a.count(); }},
    {"x-max-in-memory-length", kQuorum, [](Arg a, Out s) { s.max_in_memory_length = a.count(); }},
    {"x-max-in-memory-bytes", kQuorum, [](Arg a, Out s) { s.max_in_memory_bytes = a.count(); }},
    {kMaxPriorityKey, kClassic,
     [](Arg a, Out s) { s.max_priority = static_cast<int>(a.integer(0, kQueuePriorityMax)); }},
    {"x-priority-ageing-ms", kClassic | kQuorum,
     [](Arg a, Out s) { s.priority_ageing_ms = a.milliseconds(0); }},
    {"x-overflow", kClassic | kQuorum, read_overflow},
    {"x-queue-mode", kClassic, read_queue_mode},
    {"x-queue-version", kClassic, read_queue_version},
    {kSingleActiveKey, kClassic | kQuorum,
     [](Arg a, Out s) { s.single_active_consumer = a.boolean(); }},
    // Counted on classic queues too, unlike elsewhere; a stream never redelivers.
    {"x-delivery-limit", kClassic | kQuorum,
     [](Arg a, Out s) { s.delivery_limit = a.any_integer(); }},
    {"x-quorum-initial-group-size", kQuorum, [](Arg a, Out s) { s.replicas_initial = a.count(1); }},
    // On classic queues too, unlike elsewhere; what is read from a stream is never out.
    {"x-consumer-timeout", kClassic | kQuorum,
     [](Arg a, Out s) { s.consumer_timeout_ms = a.milliseconds(0); }},
    {"x-message-group-header", kClassic | kQuorum,
     [](Arg a, Out s) { s.message_group_header = a.name(); }},
    {"x-group-max-unacked", kClassic | kQuorum,
     [](Arg a, Out s) { s.group_max_unacked = a.count(1); }},
    {"x-group-delivery-rate", kClassic | kQuorum,
     [](Arg a, Out s) { s.group_delivery_rate = a.count(1); }},
    {"x-fair-share", kClassic | kQuorum, [](Arg a, Out s) { s.fair_share = a.boolean(); }},
    {"x-max-unacked", kClassic | kQuorum, [](Arg a, Out s) { s.max_unacked = a.count(1); }},
    {"x-delivery-rate", kClassic | kQuorum, [](Arg a, Out s) { s.delivery_rate = a.count(1); }},
    {"x-consumer-disconnected-timeout", kQuorum,
     [](Arg a, Out s) { s.consumer_disconnected_timeout_ms = a.count(); }},
    {"x-delayed-retry-type", kClassic | kQuorum,
     [](Arg a, Out s) {
       s.delayed_retry = a.choice<DelayedRetry>({{"disabled", DelayedRetry::Disabled},
                                                 {"all", DelayedRetry::All},
                                                 {"failed", DelayedRetry::Failed},
                                                 {"returned", DelayedRetry::Returned}},
                                                "invalid_delayed_retry_type");
     }},
    {"x-delayed-retry-min", kClassic | kQuorum,
     [](Arg a, Out s) { s.delayed_retry_min_ms = a.count(); }},
    {"x-delayed-retry-max", kClassic | kQuorum,
     [](Arg a, Out s) { s.delayed_retry_max_ms = a.count(); }},
    {"x-delayed-retry-strategy", kClassic | kQuorum,
     [](Arg a, Out s) {
       s.retry_strategy = a.choice<RetryStrategy>({{"fixed", RetryStrategy::Fixed},
                                                   {"linear", RetryStrategy::Linear},
                                                   {"exponential", RetryStrategy::Exponential}},
                                                  "invalid_delayed_retry_strategy");
     }},
    {"x-delayed-retry-jitter", kClassic | kQuorum,
     [](Arg a, Out s) { s.retry_jitter_percent = static_cast<int>(a.integer(0, 100)); }},
    {kDedupKey, kClassic | kQuorum,
     [](Arg a, Out s) { s.dedup.ids_max = a.boolean() ? kDedupIdsDefault : 0; }},
    // After the one before: a size alone deduplicates nothing.
    {kDedupSizeKey, kClassic | kQuorum,
     [](Arg a, Out s) {
       const std::uint32_t size = dedup_size(a);
       if (s.dedup.any()) s.dedup.ids_max = size;
     }},
    {kDedupTtlKey, kClassic | kQuorum, [](Arg a, Out s) { s.dedup.ttl_ms = a.milliseconds(1); }},
    {"x-max-age", kStream, read_max_age},
    {"x-stream-max-segment-size-bytes", kStream,
     [](Arg a, Out s) { s.stream_segment_bytes_max = a.integer(0, kStreamSegmentBytesMax); }},
    {"x-stream-filter-size-bytes", kStream,
     [](Arg a, Out s) {
       s.stream_filter_bytes =
           static_cast<int>(a.integer(kStreamFilterBytesMin, kStreamFilterBytesMax));
     }},
    {"x-initial-cluster-size", kStream, [](Arg a, Out s) { s.replicas_initial = a.count(1); }},
    {"x-queue-leader-locator", kAny, read_locator},
    {"x-queue-master-locator", kClassic, read_locator},
};

QueueSettings read_settings(const Place& place, TableView arguments) {
  QueueSettings settings;
  if (arguments.empty()) return settings;
  for (const Rule& rule : kRules) {
    if ((rule.types & bit(settings.type)) == 0) continue;
    if (const auto value = arguments.find(rule.key))
      rule.read(Argument{place, rule.key, *value}, settings);
  }
  return settings;
}

// Values as error texts show them: strings as they are, void as `undefined`.
std::string shown(const FieldValue& value) {
  if (value.tag == 'S' || value.tag == 'x') return std::string(protocol::as_text(value.payload));
  if (value.tag == 'V') return "undefined";
  if (const auto seconds = value.as_timestamp()) return std::to_string(*seconds);
  return protocol::to_text(value);
}

std::string shown_with_type(const std::optional<FieldValue>& value) {
  if (!value) return "none";
  return "the value '" + shown(*value) + "' of type '" + std::string(value->type_name()) + "'";
}

[[noreturn]] void refuse_inequivalent(std::string_view what, const std::string& whose,
                                      std::string_view received, std::string_view current) {
  refuse("inequivalent arg '" + std::string(what) + "' for " + whose + ": received " +
         std::string(received) + " but current is " + std::string(current));
}

void compare_flag(std::string_view what, const std::string& whose, bool received, bool current) {
  if (received == current) return;
  refuse_inequivalent(what, whose, received ? "'true'" : "'false'", current ? "'true'" : "'false'");
}

void compare_argument(std::string_view key, const std::string& whose,
                      const std::optional<FieldValue>& received,
                      const std::optional<FieldValue>& current) {
  if (!received && !current) return;
  if (received && current) {
    if (protocol::equal_values(*received, *current)) return;
    refuse_inequivalent(key, whose, "'" + shown(*received) + "'", "'" + shown(*current) + "'");
  }
  refuse_inequivalent(key, whose, shown_with_type(received), shown_with_type(current));
}

// A missing x-queue-type asks for a classic queue (C-235).
bool is_classic(const std::optional<FieldValue>& type) {
  return !type || type->as_text() == name(QueueType::Classic);
}

void compare_type(const std::string& whose, TableView received, TableView current) {
  const auto received_type = received.find(kTypeKey);
  const auto current_type = current.find(kTypeKey);
  if (!is_classic(received_type) || !is_classic(current_type))
    compare_argument(kTypeKey, whose, received_type, current_type);
}

StreamOffset read_stream_offset(const Argument& argument) {
  if (const auto offset = argument.value.as_integer()) return StreamPosition{*offset};
  if (const auto seconds = argument.value.as_timestamp()) return StreamTimestamp{*seconds};
  const auto named = argument.choice<StreamStart>(
      {{"first", StreamStart::First}, {"last", StreamStart::Last}, {"next", StreamStart::Next}});
  if (named) return *named;
  const auto interval = parse_interval_s(argument.text());
  if (!interval) {
    argument.refuse_detail("{invalid_stream_offset_arg,{longstr,<<\"" +
                           std::string(argument.text()) + "\">>}}");
  }
  return StreamInterval{*interval};
}

std::vector<std::string> read_stream_filters(const Argument& argument) {
  std::vector<std::string> filters;
  const auto array = argument.value.as_array();
  if (!array) {
    filters.emplace_back(argument.text());
    return filters;
  }
  array->for_each([&](const FieldValue& element) {
    filters.emplace_back(Argument{argument.place, argument.key, element}.text());
    return true;
  });
  return filters;
}

}  // namespace

std::string_view name(QueueType type) {
  switch (type) {
    case QueueType::Classic:
      return "classic";
    case QueueType::Quorum:
      return "quorum";
    case QueueType::Stream:
      return "stream";
  }
  return "";
}

std::string_view module_name(QueueType type) {
  switch (type) {
    case QueueType::Classic:
      return "rabbit_classic_queue";
    case QueueType::Quorum:
      return "rabbit_quorum_queue";
    case QueueType::Stream:
      return "rabbit_stream_queue";
  }
  return "";
}

QueueSettings check_queue_arguments(std::string_view queue, std::string_view vhost, bool durable,
                                    bool exclusive, bool auto_delete, TableView arguments) {
  const Place place{queue, vhost};
  QueueSettings settings = read_settings(place, arguments);
  if (!arguments.empty()) {
    for (const Rule& rule : kRules) {
      const bool known = (rule.types & bit(settings.type)) != 0;
      if (!known && arguments.find(rule.key)) place.refuse_unsupported(rule.key, settings.type);
    }
  }
  if (settings.type == QueueType::Classic) return settings;
  const auto refuse_property = [&](std::string_view property) {
    refuse("invalid property '" + std::string(property) + "' for " +
           described("queue", queue, vhost));  // C-243
  };
  if (auto_delete) refuse_property("auto-delete");
  if (exclusive) refuse_property("exclusive-owner");
  if (!durable) refuse_property("non-durable");
  return settings;
}

bool is_stream(const routing::QueueEntry& queue) {
  const auto type = queue.arguments.view().find(kTypeKey);
  return type && type->as_text() == name(QueueType::Stream);
}

bool stores_all(const routing::QueueEntry& queue) {
  return (queue.hidden && is_delayed_queue(queue.name)) || is_stream(queue);
}

QueueSettings read_queue_settings(TableView arguments) {
  return read_settings(Place{"", ""}, arguments);
}

void check_queue_equivalence(const routing::QueueEntry& existing, std::string_view vhost,
                             bool durable, bool auto_delete, TableView arguments) {
  const std::string whose = described("queue", existing.name, vhost);
  compare_flag("durable", whose, durable, existing.durable);
  compare_flag("auto_delete", whose, auto_delete, existing.auto_delete);

  const TableView current = existing.arguments.view();
  if (current.empty() && arguments.empty()) return;
  compare_type(whose, arguments, current);
  const unsigned type_bit = bit(read_queue_settings(current).type);
  for (const Rule& rule : kRules) {
    if ((rule.types & type_bit) == 0 || rule.key == kTypeKey) continue;
    compare_argument(rule.key, whose, arguments.find(rule.key), current.find(rule.key));
  }
}

void check_adoption(const routing::QueueEntry& existing, std::string_view vhost, bool durable,
                    bool auto_delete, TableView arguments) {
  const std::string whose = described("queue", existing.name, vhost);
  const TableView current = existing.arguments.view();
  try {
    compare_flag("durable", whose, durable, existing.durable);
    compare_flag("auto_delete", whose, auto_delete, existing.auto_delete);
    compare_type(whose, arguments, current);
    for (const std::string_view key : {kMaxPriorityKey, kSingleActiveKey})
      compare_argument(key, whose, arguments.find(key), current.find(key));
  } catch (const AmqpError& error) {
    refuse(error.explanation() + ", and a queue cannot change that");
  }
}

protocol::Table with_default_type(std::string_view default_type, bool named, bool durable,
                                  bool exclusive, bool auto_delete, TableView arguments) {
  protocol::Table out(arguments);
  if (default_type.empty() || arguments.find(kTypeKey)) return out;
  const bool any_type = named && durable && !exclusive && !auto_delete;
  if (any_type && default_type != name(QueueType::Classic)) out.add(kTypeKey, default_type);
  return out;
}

protocol::Table stored_queue_arguments(TableView arguments) {
  protocol::Table stored(arguments);
  if (!arguments.find(kTypeKey)) stored.add(kTypeKey, name(QueueType::Classic));
  return stored;
}

std::optional<std::string> check_exchange_arguments(std::string_view exchange,
                                                    std::string_view vhost, TableView arguments) {
  const Place place{exchange, vhost, "exchange"};
  if (const auto value = arguments.find(kDedupKey)) Argument{place, kDedupKey, *value}.boolean();
  if (const auto value = arguments.find(kDedupSizeKey))
    dedup_size(Argument{place, kDedupSizeKey, *value});
  if (const auto value = arguments.find(kDedupTtlKey))
    Argument{place, kDedupTtlKey, *value}.milliseconds(1);
  const auto alternate = arguments.find(kAlternateKey);
  if (!alternate) return std::nullopt;
  const auto name = alternate->as_text();
  if (!name) {
    refuse("invalid type '" + std::string(alternate->type_name()) + "' for arg '" +
           std::string(kAlternateKey) + "' in " + described("exchange", exchange, vhost));
  }
  return std::string(*name);
}

routing::DedupRule exchange_dedup(routing::ExchangeType type, TableView arguments,
                                  TableView by_policy) {
  const auto find = [&](std::string_view key) {
    const auto own = arguments.find(key);
    return own ? own : by_policy.find(key.substr(2));  // without x-
  };
  routing::DedupRule rule;
  const auto wanted = find(kDedupKey);
  if (type != routing::ExchangeType::MessageDeduplication &&
      (!wanted || !wanted->as_bool().value_or(false))) {
    return rule;
  }
  const auto size = find(kDedupSizeKey);
  const auto ttl_ms = find(kDedupTtlKey);
  rule.ids_max = static_cast<std::uint32_t>(size ? size->as_integer().value_or(kDedupIdsDefault)
                                                 : kDedupIdsDefault);
  rule.ttl_ms = ttl_ms ? ttl_ms->as_integer().value_or(0) : 0;
  return rule;
}

void check_exchange_equivalence(const routing::Exchange& existing, std::string_view vhost,
                                std::string_view type, bool durable, bool auto_delete,
                                bool internal, TableView arguments) {
  const std::string whose = described("exchange", existing.name, vhost);
  const std::string current_type(routing::name(existing.type));
  if (type != current_type) {
    refuse_inequivalent("type", whose, "'" + std::string(type) + "'", "'" + current_type + "'");
  }
  compare_flag("durable", whose, durable, existing.durable);
  compare_flag("auto_delete", whose, auto_delete, existing.auto_delete);
  compare_flag("internal", whose, internal, existing.internal);
  for (const std::string_view key : {kAlternateKey, kDedupKey, kDedupSizeKey, kDedupTtlKey})
    compare_argument(key, whose, arguments.find(key), existing.arguments.view().find(key));
}

ConsumerSettings check_consumer_arguments(std::string_view queue, std::string_view vhost,
                                          QueueType type, TableView arguments) {
  ConsumerSettings settings;
  if (arguments.empty()) return settings;
  const Place place{queue, vhost};
  const bool stream = type == QueueType::Stream;
  const auto with = [&](std::string_view key, bool supported, auto read) {
    const auto value = arguments.find(key);
    if (!value) return;
    if (!supported) place.refuse_unsupported(key, type);
    read(Argument{place, key, *value});
  };
  with("x-priority", !stream, [&](Arg a) { settings.priority = a.any_integer(); });
  with("x-consumer-timeout", !stream, [&](Arg a) { settings.timeout_ms = a.milliseconds(0); });
  with("x-cancel-on-ha-failover", !stream,
       [](Arg a) { a.boolean(); });  // C-290: checked, then ignored
  with("x-stream-offset", stream, [&](Arg a) { settings.stream_offset = read_stream_offset(a); });
  if (!stream)
    return settings;  // on other queues the filter arguments are unknown ones: accepted, not read
  with("x-stream-filter", true, [&](Arg a) { settings.stream_filters = read_stream_filters(a); });
  with("x-stream-match-unfiltered", true,
       [&](Arg a) { settings.stream_match_unfiltered = a.boolean(); });
  with("x-stream-automatic-offset-tracking", true,
       [&](Arg a) { settings.stream_tracks_offset = a.boolean(); });
  return settings;
}

}  // namespace harrier::broker
