// SPDX-License-Identifier: Apache-2.0
//
// ModulusHashMatcher: the destination whose place in the list is the hash of the message's routing
// keys modulo the number of bindings; binding keys do not matter (C-507). A queue that comes or
// goes moves almost every key: routing/consistent_hash.hpp is for who minds. A persistent value.
#pragma once

#include "routing/binding_list.hpp"

namespace harrier::routing {

class ModulusHashMatcher {
 public:
  void add(Destination destination, std::uint64_t name_hash) { list_.add(destination, name_hash); }
  bool remove(Destination destination, std::uint64_t name_hash) {
    return list_.remove(destination, name_hash);
  }
  std::size_t match(std::uint64_t keys_hash, std::vector<Destination>& out) const {
    return list_.pick(keys_hash, out);
  }
  bool empty() const { return list_.empty(); }

 private:
  BindingList list_;
};

}  // namespace harrier::routing
