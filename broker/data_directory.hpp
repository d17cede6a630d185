// SPDX-License-Identifier: Apache-2.0
//
// DataDirectory: the folder of one broker, made if missing and locked while this object lives.
// Failure to make, write or lock it is a StartError that says which, and what to do.
#pragma once

#include <string>

#include "persistence/directory_lock.hpp"

namespace harrier::broker {

class DataDirectory {
 public:
  explicit DataDirectory(std::string path);

  const std::string& path() const { return path_; }

 private:
  std::string path_;
  persistence::DirectoryLock lock_;
};

}  // namespace harrier::broker
