// SPDX-License-Identifier: Apache-2.0
#include "routing/random.hpp"

#include "protocol/error.hpp"

namespace harrier::routing {

using protocol::AmqpError;
using protocol::ReplyCode;

void check_local_random_binding(std::string_view key, const QueueEntry* queue) {
  if (!key.empty()) {
    throw AmqpError(ReplyCode::PreconditionFailed,
                    "Non empty binding '" + std::string(key) + "' key not permitted");
  }
  if (queue == nullptr) {
    throw AmqpError(ReplyCode::PreconditionFailed,
                    "Destination not found: only queues can be bound to this exchange type");
  }
  const auto value = queue->arguments.view().find("x-queue-type");
  const std::string_view type = value ? value->as_text().value_or("classic") : "classic";
  if (type != "classic") {
    throw AmqpError(ReplyCode::PreconditionFailed, "Queue type rabbit_" + std::string(type) +
                                                       "_queue not valid for this exchange type");
  }
}

}  // namespace harrier::routing
