// SPDX-License-Identifier: Apache-2.0
//
// What Journal::open() finds in a directory: which files make up the journal, their entries, and
// where it ended. On the calling thread; nobody appends meanwhile. Reads and syncs, never writes;
// for whoever only wants to look, not even that.
//
// The newest segment says where the one before it ended, and so on back to where the replay starts.
// A segment that is not on this chain is not part of the journal: it was begun and never confirmed.
// An entry that cannot be read, or a link that is missing, is what a crash may leave behind if
// nothing at or after that place was confirmed; if a later header or entry states that it was, it
// is damage, and an error.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "persistence/file.hpp"
#include "persistence/journal.hpp"

namespace harrier::persistence {

struct ReplayedSegment {
  std::uint64_t number = 0;
  std::string path;
  std::shared_ptr<File> file;
  std::optional<SegmentHeader> header;  // if it is one of this number
  std::uint64_t end = 0;                // offset of what follows the last entry, if on the chain
};

struct ReplayedJournal {
  std::vector<ReplayedSegment> chain;  // ascending
  std::vector<ReplayedSegment> unused;
  std::optional<JournalId> id;
  std::uint64_t number_max = 0;  // of all files, and of `from`
  JournalPosition end = 0;
};

Status replay_journal(const JournalOptions& options, Files& files, JournalPosition from,
                      const Journal::Visitor& visit, ReplayedJournal& out, Replay& report);
// Opens the files for reading and flushes nothing: what it gives may not survive power loss.
Status read_journal(const JournalOptions& options, JournalPosition from,
                    const Journal::Visitor& visit, ReplayedJournal& out, Replay& report);

}  // namespace harrier::persistence
