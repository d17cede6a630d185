// SPDX-License-Identifier: Apache-2.0
//
// PolicyBook: the policies and operator policies of one virtual host, and which of them an object
// gets: of each kind the one with the highest priority that matches its name; among equals the
// first by name (C-518). Owned by the control shard. No method fails.
#pragma once

#include <map>
#include <string>
#include <string_view>

#include "broker/core/arguments.hpp"
#include "broker/core/effective_policy.hpp"

namespace harrier::broker {

class PolicyBook {
 public:
  using Policies = std::map<std::string, Policy, std::less<>>;

  // True if that changes anything.
  bool set(Policy policy, bool by_operator);
  bool clear(std::string_view name, bool by_operator);

  const Policy* find(std::string_view name, bool by_operator) const;
  const Policies& policies(bool by_operator) const { return by_operator ? operators_ : users_; }
  bool empty() const { return users_.empty() && operators_.empty(); }

  // Null if nothing matches.
  EffectivePolicyPtr of_queue(std::string_view name, QueueType type) const;
  EffectivePolicyPtr of_exchange(std::string_view name) const;

 private:
  Policies users_;
  Policies operators_;
};

}  // namespace harrier::broker
