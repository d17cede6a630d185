// SPDX-License-Identifier: Apache-2.0
//
// EffectivePolicy: the one policy and the one operator policy that match an object, as one set of
// keys, and what that and the object's own arguments make together (C-519). Values and pure
// functions; a policy's value is shared by the objects that it matches, and never changes.
#pragma once

#include <memory>
#include <string>

#include "broker/definitions/policy.hpp"
#include "protocol/field_table.hpp"

namespace harrier::broker {

struct EffectivePolicy {
  std::string policy;           // name; empty: none matches
  std::string operator_policy;  // the same
  protocol::Table definition;   // of both together, keys without `x-`
};
using EffectivePolicyPtr = std::shared_ptr<const EffectivePolicy>;

// Null if neither is there. Of numbers the smaller counts, of all else the operator's.
EffectivePolicyPtr merge_policies(const Policy* policy, const Policy* operator_policy);

// What a queue acts on: its arguments, and those of the policy with `x-` in front. Of numbers the
// smaller counts (a negative delivery limit is none), of all else the argument. Keys that are not
// for queues are left out, and a dead-letter routing key without an exchange. Any integer of the
// result may be of another width than it was.
protocol::Table effective_arguments(protocol::TableView arguments, const EffectivePolicy* policy);

}  // namespace harrier::broker
