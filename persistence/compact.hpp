// SPDX-License-Identifier: Apache-2.0
//
// compact(): gives the space that a store does not use any more back to the file system. What the
// journal has goes into the image first, then a copy without free pages takes the image's place.
// The caller's thread, and the directory is this process's alone meanwhile: a broker cannot start.
// Failure: a Status; the directory can be opened then, as after an interruption at any moment.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "persistence/status.hpp"

namespace harrier::persistence {

struct CompactPlan {
  std::uint64_t image_bytes = 0;
  std::uint64_t journal_bytes = 0;
  std::uint64_t needed_bytes = 0;  // free space, at most
  std::uint64_t free_bytes = 0;
};

struct CompactSizes {
  std::uint64_t image_bytes = 0;
  std::uint64_t journal_bytes = 0;
};

// `planned` is called before anything is changed, and before too little space is a failure.
Status compact(const std::string& directory, const std::function<void(const CompactPlan&)>& planned,
               CompactSizes& after);

}  // namespace harrier::persistence
