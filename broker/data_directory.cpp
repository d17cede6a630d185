// SPDX-License-Identifier: Apache-2.0
#include "broker/data_directory.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
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
  const std::string lock_path = path_ + "/harrier.lock";
  lock_ = ::open(lock_path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  if (lock_ < 0) {
    throw StartError(ExitCode::DataDirectory, "the data directory '" + path_ +
                                                  "' is not writable: " + std::strerror(errno) +
                                                  "; choose another with --data");
  }
  if (::flock(lock_, LOCK_EX | LOCK_NB) != 0) {
    ::close(lock_);
    throw StartError(ExitCode::DataDirectory,
                     "the data directory '" + path_ +
                         "' is in use by another broker; stop it, or choose another with --data");
  }
}

DataDirectory::~DataDirectory() { ::close(lock_); }

}  // namespace harrier::broker
