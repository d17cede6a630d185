// SPDX-License-Identifier: Apache-2.0
//
// FanoutMatcher: every destination, whatever the key or the headers (C-195). A persistent value.
#pragma once

#include <cstddef>
#include <vector>

#include "routing/destination.hpp"

namespace harrier::routing {

class FanoutMatcher {
 public:
  void add(Destination destination) { destinations_.add(destination); }
  bool remove(Destination destination) { return destinations_.remove(destination); }
  std::size_t match(std::vector<Destination>& out) const { return destinations_.append_to(out); }
  bool empty() const { return destinations_.empty(); }

 private:
  DestinationSet destinations_;
};

}  // namespace harrier::routing
