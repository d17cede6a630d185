// SPDX-License-Identifier: Apache-2.0
#include "routing/recent_history.hpp"

#include <string>

#include "protocol/error.hpp"

namespace harrier::routing {

std::int64_t parse_history_length(protocol::TableView arguments) {
  const auto value = arguments.find(kHistoryLengthArgument);
  if (!value) return kHistoryLengthDefault;
  const auto length = value->as_integer();
  if (length && *length > 0) return *length;
  const auto text = value->as_text();
  throw protocol::AmqpError(
      protocol::ReplyCode::PreconditionFailed,
      "Invalid argument " + (text ? std::string(*text) : protocol::to_text(*value)) + ", '" +
          std::string(kHistoryLengthArgument) + "' must be a positive integer");
}

bool is_for_history(protocol::TableView headers) {
  if (headers.empty()) return true;
  const auto value = headers.find(kNoHistoryHeader);
  return !value || !value->as_bool().value_or(false);
}

}  // namespace harrier::routing
