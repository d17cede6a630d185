// SPDX-License-Identifier: Apache-2.0
#include "broker/definitions/policy.hpp"

#include <algorithm>
#include <array>
#include <limits>
#include <utility>

namespace harrier::broker {
namespace {

using protocol::FieldValue;

constexpr std::int64_t kMillisecondsMax = 315'360'000'000;  // ten years, as for the arguments
constexpr std::int64_t kSegmentBytesMax = 3'000'000'000;
constexpr std::int64_t kDedupIdsMax = 10'000'000;

template <std::int64_t Min, std::int64_t Max = std::numeric_limits<std::int64_t>::max()>
bool is_between(const FieldValue& value) {
  const auto number = value.as_integer();
  return number && *number >= Min && *number <= Max;
}

bool is_integer(const FieldValue& value) { return value.is_integer(); }
bool is_text(const FieldValue& value) { return value.as_text().has_value(); }
bool is_name(const FieldValue& value) { return is_text(value) && value.as_text()->size() <= 255; }
bool is_full_name(const FieldValue& value) { return is_name(value) && !value.as_text()->empty(); }
bool is_switch(const FieldValue& value) { return value.as_bool().has_value(); }
bool is_anything(const FieldValue&) { return true; }

bool is_one_of(const FieldValue& value, std::initializer_list<std::string_view> words) {
  return is_text(value) && std::ranges::count(words, *value.as_text()) > 0;
}

bool is_overflow(const FieldValue& value) {
  return is_one_of(value, {"drop-head", "reject-publish", "reject-publish-dlx", "block-publisher"});
}
bool is_strategy(const FieldValue& value) {
  return is_one_of(value, {"at-most-once", "at-least-once"});
}
bool is_locator(const FieldValue& value) {
  return is_one_of(value, {"client-local", "balanced", "random", "least-leaders", "min-masters"});
}
bool is_retry_type(const FieldValue& value) {
  return is_one_of(value, {"disabled", "all", "failed", "returned"});
}
bool is_retry_strategy(const FieldValue& value) {
  return is_one_of(value, {"fixed", "linear", "exponential"});
}
bool is_redeclare(const FieldValue& value) { return is_one_of(value, {"strict", "adopt"}); }
bool is_queue_mode(const FieldValue& value) { return is_one_of(value, {"default", "lazy"}); }

// Digits and one of the units of x-max-age.
bool is_interval(const FieldValue& value) {
  const std::string_view text = value.as_text().value_or("");
  constexpr std::string_view kUnits = "YMDhms";
  const auto digit = [](char c) { return c >= '0' && c <= '9'; };
  return text.size() >= 2 && text.size() <= 12 && kUnits.find(text.back()) != kUnits.npos &&
         std::all_of(text.begin(), text.end() - 1, digit);
}

constexpr std::string_view kCount = "an integer of 0 and more";
constexpr std::string_view kPositive = "an integer of 1 and more";
constexpr std::string_view kMilliseconds = "milliseconds, an integer of 0 to 315360000000";
constexpr std::string_view kText = "a text of at most 255 bytes";
constexpr std::string_view kSwitch = "true or false";

constexpr PolicyKey queue_key(std::string_view name, std::string_view expected,
                              bool (*accepts)(const FieldValue&), Merge merge = Merge::First,
                              bool for_operators = false) {
  return {name, true, false, for_operators, merge, true, expected, accepts};
}
// Of numbers, which operators may bound.
constexpr PolicyKey limit_key(std::string_view name, std::string_view expected,
                              bool (*accepts)(const FieldValue&)) {
  return queue_key(name, expected, accepts, Merge::Minimum, true);
}
constexpr PolicyKey idle_key(std::string_view name, bool (*accepts)(const FieldValue&),
                             std::string_view expected = "") {
  return {name, true, true, true, Merge::First, false, expected, accepts};
}

constexpr std::array kKeys = {
    limit_key("message-ttl", kMilliseconds, is_between<0, kMillisecondsMax>),
    limit_key("expires", "milliseconds, an integer of 1 to 315360000000",
              is_between<1, kMillisecondsMax>),
    limit_key("max-length", kCount, is_between<0>),
    limit_key("max-length-bytes", kCount, is_between<0>),
    limit_key("delivery-limit", "an integer; negative: no limit", is_integer),
    queue_key("consumer-timeout", kMilliseconds, is_between<0, kMillisecondsMax>,
              Merge::MinimumAboveZero, true),
    limit_key("max-unacked", kPositive, is_between<1>),
    limit_key("delivery-rate", kPositive, is_between<1>),
    limit_key("group-max-unacked", kPositive, is_between<1>),
    limit_key("group-delivery-rate", kPositive, is_between<1>),
    queue_key("fair-share", kSwitch, is_switch),
    queue_key("overflow", "drop-head, reject-publish, reject-publish-dlx or block-publisher",
              is_overflow, Merge::First, true),
    queue_key("dead-letter-exchange", kText, is_name),
    queue_key("dead-letter-routing-key", kText, is_name),
    queue_key("dead-letter-strategy", "at-most-once or at-least-once", is_strategy),
    queue_key("max-age", "digits and one of Y, M, D, h, m, s", is_interval),
    queue_key("stream-max-segment-size-bytes", "an integer of 0 to 3000000000",
              is_between<0, kSegmentBytesMax>),
    queue_key("message-group-header", "a text of 1 to 255 bytes", is_full_name),
    queue_key("delayed-retry-type", "disabled, all, failed or returned", is_retry_type),
    queue_key("delayed-retry-min", kCount, is_between<0>),
    queue_key("delayed-retry-max", kCount, is_between<0>),
    queue_key("delayed-retry-strategy", "fixed, linear or exponential", is_retry_strategy),
    queue_key("delayed-retry-jitter", "percent, an integer of 0 to 100", is_between<0, 100>),
    queue_key("priority-ageing-ms", kMilliseconds, is_between<0, kMillisecondsMax>),
    queue_key("redeclare", "strict or adopt", is_redeclare),
    PolicyKey{"message-deduplication", true, true, false, Merge::First, true, kSwitch, is_switch},
    PolicyKey{"cache-size", true, true, false, Merge::First, true, "an integer of 1 to 10000000",
              is_between<1, kDedupIdsMax>},
    PolicyKey{"cache-ttl", true, true, false, Merge::First, true,
              "milliseconds, an integer of 1 to 315360000000", is_between<1, kMillisecondsMax>},
    PolicyKey{"alternate-exchange", false, true, false, Merge::First, true, kText, is_name},
    PolicyKey{"delayed", false, true, false, Merge::First, true, kSwitch, is_switch},
    // Checked where the argument is, without effect on one node.
    idle_key("queue-leader-locator", is_locator,
             "client-local, balanced, random, least-leaders or min-masters"),
    idle_key("queue-master-locator", is_locator,
             "client-local, balanced, random, least-leaders or min-masters"),
    idle_key("queue-mode", is_queue_mode, "default or lazy"),
    idle_key("queue-version", is_between<1, 2>, "1 or 2"),
    idle_key("max-in-memory-length", is_between<0>, kCount),
    idle_key("max-in-memory-bytes", is_between<0>, kCount),
    idle_key("initial-cluster-size", is_between<1>, "an integer of 1 and more"),
    idle_key("quorum-initial-group-size", is_between<1>, "an integer of 1 and more"),
    idle_key("target-group-size", is_between<1>, "an integer of 1 and more"),
    idle_key("stream-filter-size-bytes", is_between<16, 255>, "an integer of 16 to 255"),
    // Of features that do not exist here.
    idle_key("ha-mode", is_anything),
    idle_key("ha-params", is_anything),
    idle_key("ha-sync-mode", is_anything),
    idle_key("ha-sync-batch-size", is_anything),
    idle_key("ha-promote-on-failure", is_anything),
    idle_key("ha-promote-on-shutdown", is_anything),
    idle_key("federation-upstream", is_anything),
    idle_key("federation-upstream-set", is_anything),
    idle_key("federation-upstream-pattern", is_anything),
    idle_key("shards-per-node", is_anything),
    idle_key("routing-key", is_anything),
};

constexpr std::array<std::pair<ApplyTo, std::string_view>, 6> kApplyTo{{
    {ApplyTo::All, "all"},
    {ApplyTo::Queues, "queues"},
    {ApplyTo::Exchanges, "exchanges"},
    {ApplyTo::ClassicQueues, "classic_queues"},
    {ApplyTo::QuorumQueues, "quorum_queues"},
    {ApplyTo::Streams, "streams"},
}};

}  // namespace

std::string_view name(ApplyTo apply_to) {
  for (const auto& [known, text] : kApplyTo) {
    if (known == apply_to) return text;
  }
  return "";
}

std::optional<ApplyTo> parse_apply_to(std::string_view text) {
  for (const auto& [known, word] : kApplyTo) {
    if (word == text) return known;
  }
  return std::nullopt;
}

bool operator==(const Policy& a, const Policy& b) {
  return a.name == b.name && a.pattern == b.pattern && a.apply_to == b.apply_to &&
         a.priority == b.priority &&
         protocol::canonical_form(a.definition) == protocol::canonical_form(b.definition);
}

const PolicyKey* find_policy_key(std::string_view name) {
  const auto at = std::ranges::find(kKeys, name, &PolicyKey::name);
  return at == kKeys.end() ? nullptr : &*at;
}

std::vector<PolicyFault> check_policy_definition(protocol::TableView definition, bool by_operator) {
  std::vector<PolicyFault> faults;
  definition.for_each([&](std::string_view key, const FieldValue& value) {
    const PolicyKey* const known = find_policy_key(key);
    if (known == nullptr) {
      faults.push_back({std::string(key), "is not a key that policies have"});
    } else if (by_operator && !known->for_operators) {
      faults.push_back({std::string(key), "is not a key that operator policies have"});
    } else if (!known->accepts(value)) {
      faults.push_back({std::string(key), "expected " + std::string(known->expected) + ", got " +
                                              protocol::to_text(value)});
    }
    return true;
  });
  return faults;
}

}  // namespace harrier::broker
