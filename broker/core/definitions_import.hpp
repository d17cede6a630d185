// SPDX-License-Identifier: Apache-2.0
//
// Importing definitions: compares what a file says with what the broker has, and makes the
// difference so, or only tells it. First everything is checked against what is there and against
// the rest of the file; with a single error nothing is changed. Nothing is ever deleted, and
// importing the same again changes nothing. On the control shard.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "broker/definitions/definitions.hpp"

namespace harrier::broker {

class Control;

struct ImportReport {
  std::uint64_t created = 0;
  std::uint64_t updated = 0;
  std::uint64_t unchanged = 0;
  std::vector<std::string> changes;   // "created queue 'q' in vhost '/'", in order
  std::vector<std::string> warnings;  // what is otherwise than the file says, and stays so
  std::vector<std::string> errors;    // "/queues/3: ..."; not empty: nothing was changed
};

ImportReport import_definitions(Control& control, const Definitions& definitions, bool dry_run);

}  // namespace harrier::broker
