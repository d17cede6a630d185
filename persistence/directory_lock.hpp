// SPDX-License-Identifier: Apache-2.0
//
// DirectoryLock: who may use a data directory. A value that holds a lock of the system (flock)
// until it goes or its process ends, however that happens. The broker and whatever changes its
// files hold `harrier.lock` for themselves; a copy beside a running broker shares the directory
// itself, so that no file is exchanged under it. Any thread. Failure: a Status of the system's.
#pragma once

#include <string>

#include "persistence/status.hpp"

namespace harrier::persistence {

class DirectoryLock {
 public:
  enum class Outcome {
    Taken,
    InUse,   // by another process
    Absent,  // no lock file: nobody has served this directory since it was made
  };
  enum class Create : bool { No, Yes };

  DirectoryLock() = default;
  ~DirectoryLock();
  DirectoryLock(DirectoryLock&& other) noexcept : file_(other.file_) { other.file_ = -1; }
  DirectoryLock& operator=(DirectoryLock&& other) noexcept;

  // To be the only one: `harrier.lock`. Never waits.
  Status take(const std::string& directory, Create create, Outcome& outcome);
  // The directory itself, beside others or alone. Never waits; Taken or InUse.
  Status take_for_copy(const std::string& directory, bool alone, Outcome& outcome);
  bool held() const { return file_ >= 0; }

  static bool file_exists(const std::string& directory);

 private:
  Status lock(int file, const std::string& path, int kind, Outcome& outcome);

  int file_ = -1;
};

}  // namespace harrier::persistence
