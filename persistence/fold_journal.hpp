// SPDX-License-Identifier: Apache-2.0
//
// fold_journal(): a data directory's journal goes into its image, by a start and an end in order
// without anything delivered. For the commands that work on a directory which no broker uses; they
// hold its lock. Of the journal one segment stays, which is empty. Blocks; a failure leaves a
// directory that the same call, or a start, goes on with.
#pragma once

#include <string>

#include "persistence/status.hpp"

namespace harrier::persistence {

Status fold_journal(const std::string& directory);

}  // namespace harrier::persistence
