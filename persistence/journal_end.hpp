// SPDX-License-Identifier: Apache-2.0
//
// Where the journal of a broker that may be running ends: what a backup has to wait for. Reads the
// newest segment only, from another process than the one that appends; any thread. Failure: a
// Status, if the files cannot be read or do not stand still long enough.
#pragma once

#include <string>

#include "persistence/journal_segment.hpp"
#include "persistence/status.hpp"

namespace harrier::persistence {

// Behind the last entry that was whole at some moment during the call: at or above the end of every
// entry that had been confirmed before it. 0: there is none that a checkpoint does not cover.
Status last_entry_end(const std::string& journal_directory, JournalPosition& out);

}  // namespace harrier::persistence
