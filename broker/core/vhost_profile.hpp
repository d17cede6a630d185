// SPDX-License-Identifier: Apache-2.0
//
// VhostProfile: what operators have set for a virtual host and every shard acts on. A value, cut by
// the control shard with the topology and shared; the tally in it is the same in all versions.
#pragma once

#include <memory>
#include <string>

#include "broker/auth/quota.hpp"

namespace harrier::broker {

struct VhostProfile {
  Quota connections;
  bool tracing = false;            // copies of all messages go to amq.rabbitmq.trace (8.16)
  std::string default_queue_type;  // of declarations that do not say; empty: classic (C-529)
};

using VhostProfilePtr = std::shared_ptr<const VhostProfile>;

}  // namespace harrier::broker
