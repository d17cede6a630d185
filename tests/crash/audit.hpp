// SPDX-License-Identifier: Apache-2.0
//
// The look at a broker that has just started, with nobody else connected: reads whole queues in
// order and hands them to the ledger, then takes the messages or gives them back. Queues that are
// left alone for a round are only counted. A broken promise is a Violation.
#pragma once

#include "tests/crash/actors.hpp"
#include "tests/crash/ledger.hpp"

namespace harrier::crash_tests {

// With `all`, no queue is left alone.
void audit(World& world, bool all);

// Until the broker has noticed that all clients are gone and taken back what they held.
void await_release(World& world);

}  // namespace harrier::crash_tests
