// SPDX-License-Identifier: Apache-2.0
#include "broker/core/stream_reader.hpp"

#include <algorithm>

namespace harrier::broker {

bool StreamSubscription::wants(const protocol::Message& message) const {
  if (filters.empty()) return true;
  const auto entry = message.properties().headers().find("x-stream-filter-value");
  const auto value = entry ? entry->as_text() : std::nullopt;
  if (!value) return match_unfiltered;
  return std::ranges::find(filters, *value) != filters.end();
}

}  // namespace harrier::broker
