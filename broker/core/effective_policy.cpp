// SPDX-License-Identifier: Apache-2.0
#include "broker/core/effective_policy.hpp"

#include <utility>

namespace harrier::broker {
namespace {

using protocol::FieldValue;
using protocol::Table;

// Of two values for one key: true if `stronger` stays.
bool keeps(Merge merge, const FieldValue& stronger, const FieldValue& weaker) {
  const auto a = stronger.as_integer();
  const auto b = weaker.as_integer();
  if (merge == Merge::First || !a || !b) return true;
  const std::int64_t smallest = merge == Merge::MinimumAboveZero ? 1 : 0;
  // No limit at all is the largest.
  if (*a < smallest || *b < smallest) return *b < smallest && (*a >= smallest || *a >= *b);
  return *a <= *b;
}

std::string argument_name(std::string_view key) { return "x-" + std::string(key); }

}  // namespace

EffectivePolicyPtr merge_policies(const Policy* policy, const Policy* operator_policy) {
  if (policy == nullptr && operator_policy == nullptr) return nullptr;
  auto merged = std::make_shared<EffectivePolicy>();
  if (operator_policy != nullptr) {
    merged->operator_policy = operator_policy->name;
    merged->definition = operator_policy->definition;
  }
  if (policy == nullptr) return merged;
  merged->policy = policy->name;
  policy->definition.view().for_each([&](std::string_view key, const FieldValue& value) {
    const PolicyKey* const known = find_policy_key(key);
    const auto stronger = merged->definition.view().find(key);
    if (stronger && keeps(known == nullptr ? Merge::First : known->merge, *stronger, value)) {
      return true;
    }
    if (stronger) merged->definition.remove(key);
    merged->definition.add_value(key, value);
    return true;
  });
  return merged;
}

Table effective_arguments(protocol::TableView arguments, const EffectivePolicy* policy) {
  Table effective(arguments);
  if (policy == nullptr) return effective;
  policy->definition.view().for_each([&](std::string_view key, const FieldValue& value) {
    const PolicyKey* const known = find_policy_key(key);
    // A stored one may be of a version that read it otherwise.
    if (known == nullptr || !known->for_queues || !known->accepts(value)) return true;
    const std::string name = argument_name(key);
    const auto own = effective.view().find(name);
    if (own && keeps(known->merge, *own, value)) return true;
    if (own) effective.remove(name);
    effective.add_value(name, value);
    return true;
  });
  // By policy it may come alone, which a declaration may not (C-239).
  if (!effective.view().find("x-dead-letter-exchange")) {
    effective.remove("x-dead-letter-routing-key");
  }
  return effective;
}

}  // namespace harrier::broker
