// SPDX-License-Identifier: Apache-2.0
//
// What an exchange with a history (x-recent-history) is asked for by its arguments, and by the
// headers of a message: how many messages it keeps, and which it does not (C-508). Pure functions
// over validated tables; only the arguments of a declaration can be refused.
#pragma once

#include <cstdint>

#include "protocol/field_table.hpp"

namespace harrier::routing {

inline constexpr std::string_view kHistoryLengthArgument = "x-recent-history-length";
inline constexpr std::string_view kNoHistoryHeader = "x-recent-history-no-store";
inline constexpr std::int64_t kHistoryLengthDefault = 20;

// Throws AmqpError 406 for what is no integer above 0.
std::int64_t parse_history_length(protocol::TableView arguments);
bool is_for_history(protocol::TableView headers);

}  // namespace harrier::routing
