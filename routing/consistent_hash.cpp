// SPDX-License-Identifier: Apache-2.0
#include "routing/consistent_hash.hpp"

#include <algorithm>
#include <cmath>
#include <optional>

#include "protocol/error.hpp"
#include "routing/headers.hpp"

namespace harrier::routing {

using protocol::AmqpError;
using protocol::FieldValue;
using protocol::PropertiesView;
using protocol::ReplyCode;
using protocol::TableView;

namespace {

constexpr std::uint32_t kWeightMax = 10'000;  // C-499
constexpr std::uint64_t kMissing = 0x6d697373696e6721;

[[noreturn]] void refuse(const std::string& text) {
  throw AmqpError(ReplyCode::PreconditionFailed, text);
}

std::optional<std::string_view> text_argument(TableView arguments, std::string_view name) {
  const std::optional<FieldValue> value = arguments.find(name);
  if (!value) return std::nullopt;
  const std::optional<std::string_view> text = value->as_text();
  if (!text) {
    refuse("invalid type '" + std::string(value->type_name()) + "' for arg '" + std::string(name) +
           "': expected longstr");
  }
  return text;
}

// As the reference prints a binary: in quotes if all of it is printable, else byte by byte.
std::string printed(std::string_view key) {
  const auto is_printable = [](char c) { return c >= ' ' && c <= '~'; };
  if (key.empty()) return "<<>>";
  if (std::all_of(key.begin(), key.end(), is_printable)) {
    return "<<\"" + std::string(key) + "\">>";
  }
  std::string text = "<<";
  for (const char c : key) {
    if (text.size() > 2) text += ',';
    text += std::to_string(static_cast<unsigned char>(c));
  }
  return text + ">>";
}

std::uint64_t hash_or_missing(std::optional<std::string_view> text) {
  return text ? hash_text(*text) : kMissing;
}

// Exponentially distributed with the weight as its rate: the least of several is each one's in
// proportion to its weight.
double waiting_time(std::uint64_t draw, std::uint32_t weight) {
  constexpr int kMantissaBits = 53;
  const double uniform =  // in (0, 1)
      std::ldexp(static_cast<double>(draw >> (64 - kMantissaBits)) + 0.5, -kMantissaBits);
  return -std::log(uniform) / weight;
}

}  // namespace

HashSource parse_hash_source(TableView arguments) {
  using Kind = HashSource::Kind;
  const auto header = text_argument(arguments, "hash-header");
  const auto property = text_argument(arguments, "hash-property");
  if (header && property) refuse("hash-header and hash-property are mutually exclusive");
  if (header) return {Kind::Header, std::string(*header)};
  if (!property) return {};
  if (*property == "correlation_id") return {Kind::CorrelationId, {}};
  if (*property == "message_id") return {Kind::MessageId, {}};
  if (*property == "timestamp") return {Kind::Timestamp, {}};
  refuse("Unsupported property: " + std::string(*property));
}

std::uint32_t parse_weight(std::string_view key) {
  const bool has_sign = key.starts_with('+') || key.starts_with('-');
  const std::string_view digits = key.substr(has_sign ? 1 : 0);
  const auto is_digit = [](char c) { return c >= '0' && c <= '9'; };
  if (digits.empty() || !std::all_of(digits.begin(), digits.end(), is_digit)) {
    refuse("The binding key must be an integer: " + printed(key));
  }
  std::uint32_t weight = 0;
  for (const char digit : digits) {
    weight = std::min(weight * 10 + static_cast<std::uint32_t>(digit - '0'), kWeightMax + 1);
  }
  if (weight == 0 || key.front() == '-') refuse("The binding key must be greater than 0");
  if (weight > kWeightMax) {
    refuse("The binding key must not exceed " + std::to_string(kWeightMax));
  }
  return weight;
}

void ConsistentHashMatcher::add(std::uint32_t weight, Destination destination,
                                std::uint64_t name_hash) {
  if (Weighted* known = weights_.edit({destination, weight})) {
    ++known->bindings;
  } else {
    weights_.insert({destination, name_hash, weight, 1});
  }
}

bool ConsistentHashMatcher::remove(std::uint32_t weight, Destination destination) {
  Weighted* known = weights_.edit({destination, weight});
  if (known == nullptr) return false;
  if (--known->bindings == 0) weights_.erase({destination, weight});
  return true;
}

std::uint64_t ConsistentHashMatcher::hash(std::uint64_t keys_hash, TableView headers,
                                          const PropertiesView& properties) const {
  switch (source_.kind) {
    case HashSource::Kind::RoutingKeys:
      return keys_hash;
    case HashSource::Kind::Header: {
      const std::optional<FieldValue> value = headers.find(source_.header);
      return value ? hash_value(*value) : kMissing;
    }
    case HashSource::Kind::CorrelationId:
      return hash_or_missing(properties.text(protocol::kCorrelationId));
    case HashSource::Kind::MessageId:
      return hash_or_missing(properties.text(protocol::kMessageId));
    case HashSource::Kind::Timestamp: {
      const std::optional<std::uint64_t> seconds = properties.timestamp();
      return seconds ? hash_id(*seconds) : kMissing;
    }
  }
  return keys_hash;
}

std::size_t ConsistentHashMatcher::match(std::uint64_t hash, std::vector<Destination>& out) const {
  const Weighted* best = nullptr;
  std::uint64_t best_draw = 0;
  weights_.for_each([&](const Weighted& entry) {
    const std::uint64_t draw = hash_id(hash ^ entry.name_hash);
    // Among equal weights, which is the common case, the largest draw has the least waiting time.
    // The two entries of a destination with two weights have the same draw: the heavier one wins.
    const bool better = best == nullptr ||
                        (entry.weight == best->weight ? draw > best_draw
                                                      : waiting_time(draw, entry.weight) <
                                                            waiting_time(best_draw, best->weight));
    if (!better) return;
    best = &entry;
    best_draw = draw;
  });
  if (best == nullptr) return 0;
  out.push_back(best->destination);
  return 1;
}

}  // namespace harrier::routing
