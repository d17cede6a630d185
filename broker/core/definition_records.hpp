// SPDX-License-Identifier: Apache-2.0
//
// Durable exchanges, queues and bindings, from routing's values to the records that a store keeps.
// Pure functions; the formats are persistence/definitions.hpp.
#pragma once

#include <string>
#include <string_view>

#include "persistence/definitions.hpp"
#include "routing/topology.hpp"

namespace harrier::broker {

persistence::Record define(const std::string& vhost, const routing::Exchange& exchange);
persistence::Record define(const std::string& vhost, const routing::QueueEntry& queue);
persistence::Record define(const std::string& vhost, const routing::Binding& binding);
persistence::Record forget(const std::string& vhost, const routing::Exchange& exchange);
persistence::Record forget(const std::string& vhost, const routing::QueueEntry& queue);
persistence::Record forget(const std::string& vhost, const routing::Binding& binding);

// Durable queue `id` holds, or has held, messages with a time to live of their own.
inline constexpr std::string_view kExpiringPrefix = "expiring:";
persistence::Record define_expiring(routing::QueueId id);
persistence::Record forget_expiring(routing::QueueId id);

}  // namespace harrier::broker
