// SPDX-License-Identifier: Apache-2.0
//
// Audit: what the store would give back after a crash, against what the broker holds at rest and
// what the clients know: the definitions of exactly the durable things that exist, and for every
// durable queue its persistent messages in order. Throws Violation.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "tests/simulation/ledger.hpp"
#include "tests/simulation/world.hpp"

namespace harrier::simulation {

using StoredByQueue = std::map<std::string, std::vector<Stored>>;  // by name; all durable queues

// Nothing may be on its way.
StoredByQueue audit(World& world, const Ledger& ledger);
// Right after a crash: what the store has given back, without the queues that nothing names.
StoredByQueue recovered(World& world);

}  // namespace harrier::simulation
