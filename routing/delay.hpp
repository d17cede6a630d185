// SPDX-License-Identifier: Apache-2.0
//
// What a message asks of an exchange that delays, in its headers (conformance 8.15): how long it is
// to wait, or that those of the same message-id that wait already are not to go out. Pure functions
// over validated tables; what is no such wish is none, nothing here can fail.
#pragma once

#include <cstdint>
#include <optional>

#include "protocol/field_table.hpp"

namespace harrier::routing {

inline constexpr std::string_view kDelayHeader = "x-delay";
inline constexpr std::string_view kCancelHeader = "x-delay-cancel";
inline constexpr std::string_view kReplaceHeader = "x-delay-replace";
inline constexpr std::string_view kDelayedTypeArgument = "x-delayed-type";

// Ten years, as the longest time to live. Elsewhere it is 4294967295 (C-511).
inline constexpr std::int64_t kDelayMsMax = 315'360'000'000;

// Milliseconds, above 0: of any integer, a decimal text, or a float, cut.
std::optional<std::int64_t> delay_ms(const std::optional<protocol::FieldValue>& value);
inline std::optional<std::int64_t> delay_ms(protocol::TableView headers) {
  return delay_ms(headers.find(kDelayHeader));
}
// Those that wait and have its message-id go; with the second, it takes their place.
bool cancels_delayed(protocol::TableView headers);
bool replaces_delayed(protocol::TableView headers);

// Whether the message goes to those that wait instead of being routed; `wishes`: also for the sake
// of those that are there.
inline bool is_held(protocol::TableView headers, bool wishes) {
  if (headers.empty()) return false;
  return delay_ms(headers) || (wishes && (cancels_delayed(headers) || replaces_delayed(headers)));
}

}  // namespace harrier::routing
