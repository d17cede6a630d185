// SPDX-License-Identifier: Apache-2.0
#include "routing/delay.hpp"

#include <charconv>
#include <cmath>

namespace harrier::routing {
namespace {

using protocol::FieldValue;

// Digits, perhaps with a fraction, which is cut.
std::optional<std::int64_t> parse_decimal(std::string_view text) {
  std::int64_t number = 0;
  const char* const end = text.data() + text.size();
  const auto parsed = std::from_chars(text.data(), end, number);
  if (parsed.ec != std::errc{}) return std::nullopt;
  if (parsed.ptr == end) return number;
  if (*parsed.ptr != '.') return std::nullopt;
  for (const char* at = parsed.ptr + 1; at != end; ++at) {
    if (*at < '0' || *at > '9') return std::nullopt;
  }
  return number;
}

std::optional<std::int64_t> read_number(const FieldValue& value) {
  if (const auto integer = value.as_integer()) return integer;
  if (const auto text = value.as_text()) return parse_decimal(*text);
  const auto real = value.as_double();
  if (!real || !(std::abs(*real) <= static_cast<double>(kDelayMsMax))) return std::nullopt;
  return static_cast<std::int64_t>(*real);
}

bool is_set(protocol::TableView headers, std::string_view key) {
  const auto value = headers.find(key);
  return value && value->as_bool().value_or(false);
}

}  // namespace

std::optional<std::int64_t> delay_ms(const std::optional<FieldValue>& value) {
  const auto number = value ? read_number(*value) : std::nullopt;
  if (!number || *number <= 0 || *number > kDelayMsMax) return std::nullopt;
  return number;
}

bool cancels_delayed(protocol::TableView headers) { return is_set(headers, kCancelHeader); }

bool replaces_delayed(protocol::TableView headers) { return is_set(headers, kReplaceHeader); }

}  // namespace harrier::routing
