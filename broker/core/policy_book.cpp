// SPDX-License-Identifier: Apache-2.0
#include "broker/core/policy_book.hpp"

#include <utility>

namespace harrier::broker {
namespace {

bool applies_to_queue(ApplyTo apply_to, QueueType type) {
  switch (apply_to) {
    case ApplyTo::All:
    case ApplyTo::Queues:
      return true;
    case ApplyTo::ClassicQueues:
      return type == QueueType::Classic;
    case ApplyTo::QuorumQueues:
      return type == QueueType::Quorum;
    case ApplyTo::Streams:
      return type == QueueType::Stream;
    case ApplyTo::Exchanges:
      break;
  }
  return false;
}

bool applies_to_exchange(ApplyTo apply_to) {
  return apply_to == ApplyTo::All || apply_to == ApplyTo::Exchanges;
}

template <class Applies>
const Policy* best(const PolicyBook::Policies& policies, std::string_view name,
                   const Applies& applies) {
  const Policy* found = nullptr;
  for (const auto& [key, policy] : policies) {
    const bool higher = found == nullptr || policy.priority > found->priority;
    if (higher && applies(policy.apply_to) && policy.pattern.matches(name)) found = &policy;
  }
  return found;
}

}  // namespace

bool PolicyBook::set(Policy policy, bool by_operator) {
  Policies& policies = by_operator ? operators_ : users_;
  const auto at = policies.find(policy.name);
  if (at != policies.end() && at->second == policy) return false;
  std::string key = policy.name;
  policies.insert_or_assign(std::move(key), std::move(policy));
  return true;
}

bool PolicyBook::clear(std::string_view name, bool by_operator) {
  Policies& policies = by_operator ? operators_ : users_;
  const auto at = policies.find(name);
  if (at == policies.end()) return false;
  policies.erase(at);
  return true;
}

const Policy* PolicyBook::find(std::string_view name, bool by_operator) const {
  const Policies& known = policies(by_operator);
  const auto at = known.find(name);
  return at == known.end() ? nullptr : &at->second;
}

EffectivePolicyPtr PolicyBook::of_queue(std::string_view name, QueueType type) const {
  const auto applies = [type](ApplyTo apply_to) { return applies_to_queue(apply_to, type); };
  return merge_policies(best(users_, name, applies), best(operators_, name, applies));
}

EffectivePolicyPtr PolicyBook::of_exchange(std::string_view name) const {
  return merge_policies(best(users_, name, applies_to_exchange),
                        best(operators_, name, applies_to_exchange));
}

}  // namespace harrier::broker
