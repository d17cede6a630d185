// SPDX-License-Identifier: Apache-2.0
//
// Inspection: what a data directory holds that no broker serves, found without changing a byte or
// making a file, so a medium that cannot be written will do. The caller's thread. Failure: a Status
// if there is nothing to look at, or somebody else uses it; what is damaged is a finding, and the
// rest is still told as far as it can be read.
#pragma once

#include <string>
#include <vector>

#include "persistence/image.hpp"
#include "persistence/journal.hpp"
#include "persistence/write_batch.hpp"

namespace harrier::persistence {

struct Inspection {
  struct Queue {
    QueueId id{};
    bool defined = false;  // has a definition, with these names
    std::string vhost;
    std::string name;
    std::uint64_t messages = 0;
    std::uint64_t bytes = 0;  // their content_size
    Seq seq_max = 0;
  };

  bool image_read = false;  // or nothing of what follows is known
  std::uint32_t image_format = 0;
  Image::Meta meta;  // as of the last checkpoint
  Image::Stats image;

  bool journal_read = false;         // or the rest is as of the last checkpoint
  std::uint32_t journal_format = 0;  // 0: there is no segment
  std::uint64_t journal_files = 0;
  std::uint64_t journal_bytes = 0;  // of the files, those for later use included
  Replay replay;                    // what the next start would take from it

  bool clean = false;               // stopped in order the last time
  std::vector<Define> definitions;  // by kind, vhost, name
  std::vector<Queue> queues;        // by vhost and name, those without a definition last

  bool verified = false;            // everything was read and compared
  std::vector<std::string> damage;  // empty: sound, as far as was looked
};

Status inspect(const std::string& directory, bool verify, Inspection& out);

}  // namespace harrier::persistence
