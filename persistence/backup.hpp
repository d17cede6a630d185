// SPDX-License-Identifier: Apache-2.0
//
// backup(): a consistent copy of a data directory, of a running broker or a stopped one, as of some
// moment after the call: everything that was confirmed before it is in the copy. The copy is a data
// directory with an image and no journal, from which a broker starts. Beside a running broker it
// waits for the checkpoint that has all of it, and then pins pages of the image while it copies.
// The caller's thread. Failure: a Status, and no target. An interruption leaves TARGET.partial,
// which the next call removes.
#pragma once

#include <cstdint>
#include <string>

#include "persistence/journal_segment.hpp"
#include "persistence/status.hpp"

namespace harrier::persistence {

struct BackupOptions {
  std::string directory;
  std::string target;        // is not there, or an empty directory
  bool verify = false;       // read the whole copy and compare
  unsigned patience_s = 60;  // how long to wait for the running broker's checkpoint
};

struct BackupResult {
  bool running = false;           // a broker was
  JournalPosition confirmed = 0;  // where its journal ended when the call began
  JournalPosition journal = 0;    // up to here the copy has what it says
  std::uint64_t bytes = 0;        // of the copy
};

Status backup(const BackupOptions& options, BackupResult& result);

}  // namespace harrier::persistence
