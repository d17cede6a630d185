// SPDX-License-Identifier: Apache-2.0
//
// VhostState: the definitions of one virtual host as the control shard keeps them. Owned by
// Control, whose changes keep the parts in step.
#pragma once

#include <memory>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "broker/core/operator_records.hpp"
#include "broker/core/policy_book.hpp"
#include "broker/core/shard_message.hpp"
#include "broker/core/vhost_profile.hpp"
#include "routing/registry.hpp"

namespace harrier::broker {

struct VhostState {
  std::string name;
  routing::Registry registry;
  bool changed = true;              // since the last topology was cut
  std::vector<HandOver> handovers;  // by bindings that are new since then

  VhostSettings settings;
  VhostProfilePtr profile = std::make_shared<const VhostProfile>();  // what shards have of them
  TallyPtr connections = std::make_shared<Tally>(0);

  PolicyBook policies;
  std::unordered_map<routing::QueueId, EffectivePolicyPtr>
      queue_policies;  // of those that have one

  void set(VhostSettings wanted) {
    settings = std::move(wanted);
    changed = true;
    VhostProfile made;
    made.connections = {
        settings.connections_max ? limit_of(*settings.connections_max) : std::nullopt, connections};
    made.tracing = settings.tracing;
    made.default_queue_type = settings.default_queue_type;
    profile = std::make_shared<const VhostProfile>(std::move(made));
  }
};

}  // namespace harrier::broker
