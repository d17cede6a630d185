// SPDX-License-Identifier: Apache-2.0
//
// The number of calls of the global operator new in this executable so far: its source replaces it.
#pragma once

#include <cstdint>

namespace harrier::routing_tests {

std::uint64_t allocation_count();

}  // namespace harrier::routing_tests
