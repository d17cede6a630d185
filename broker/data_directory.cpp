// SPDX-License-Identifier: Apache-2.0
#include "broker/data_directory.hpp"

#include <filesystem>

#include "broker/cli/cli.hpp"

namespace harrier::broker {

DataDirectory::DataDirectory(std::string path) : path_(std::move(path)) {
  std::error_code error;
  std::filesystem::create_directories(path_, error);
  if (error) {
    throw StartError(ExitCode::DataDirectory, "cannot make the data directory '" + path_ + "': " +
                                                  error.message() + "; choose another with --data");
  }
  using persistence::DirectoryLock;
  DirectoryLock::Outcome outcome{};
  const persistence::Status status = lock_.take(path_, DirectoryLock::Create::Yes, outcome);
  if (!status.ok()) {
    throw StartError(ExitCode::DataDirectory, "the data directory '" + path_ +
                                                  "' is not writable: " + status.error() +
                                                  "; choose another with --data");
  }
  if (outcome == DirectoryLock::Outcome::InUse) {
    throw StartError(
        ExitCode::DataDirectory,
        "the data directory '" + path_ +
            "' is in use by another broker or command; stop it, or choose another with --data");
  }
}

}  // namespace harrier::broker
