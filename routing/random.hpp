// SPDX-License-Identifier: Apache-2.0
//
// RandomMatcher: one binding out of all by a random number, whatever the keys: the exchange types
// x-random (C-505) and x-local-random (C-506), which differ only in what may be bound: every queue
// is local to the one node that there is. The number comes from the router, whose sequence is
// seeded, so that a simulation repeats. A persistent value.
#pragma once

#include <string_view>

#include "routing/binding_list.hpp"

namespace harrier::routing {

// What x-local-random takes: a classic queue (null: the destination is an exchange) under an empty
// key. Throws AmqpError 406 for anything else.
void check_local_random_binding(std::string_view key, const QueueEntry* queue);

class RandomMatcher {
 public:
  void add(Destination destination, std::uint64_t name_hash) { list_.add(destination, name_hash); }
  bool remove(Destination destination, std::uint64_t name_hash) {
    return list_.remove(destination, name_hash);
  }
  std::size_t match(std::uint64_t random, std::vector<Destination>& out) const {
    return list_.pick(random, out);
  }
  bool empty() const { return list_.empty(); }

 private:
  BindingList list_;
};

}  // namespace harrier::routing
