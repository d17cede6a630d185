// SPDX-License-Identifier: Apache-2.0
#include "persistence/directory_lock.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "persistence/file.hpp"

namespace harrier::persistence {
namespace {

constexpr mode_t kLockFileMode = 0644;

std::string lock_path(const std::string& directory) { return directory + "/harrier.lock"; }

}  // namespace

DirectoryLock::~DirectoryLock() {
  if (file_ >= 0) ::close(file_);  // which is what ends the lock
}

DirectoryLock& DirectoryLock::operator=(DirectoryLock&& other) noexcept {
  std::swap(file_, other.file_);
  return *this;
}

Status DirectoryLock::take(const std::string& directory, Create create, Outcome& outcome) {
  const std::string path = lock_path(directory);
  int file = ::open(path.c_str(), O_RDWR | O_CLOEXEC | (create == Create::Yes ? O_CREAT : 0),
                    kLockFileMode);
  // Somebody else's file, or a medium that cannot be written: reading is enough to lock it.
  if (file < 0 && create == Create::No && errno != ENOENT) {
    file = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  }
  if (file < 0 && create == Create::No && errno == ENOENT) {
    outcome = Outcome::Absent;
    return {};
  }
  return lock(file, path, LOCK_EX, outcome);
}

Status DirectoryLock::take_for_copy(const std::string& directory, bool alone, Outcome& outcome) {
  const int file = ::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  return lock(file, directory, alone ? LOCK_EX : LOCK_SH, outcome);
}

Status DirectoryLock::lock(int file, const std::string& path, int kind, Outcome& outcome) {
  if (file < 0) return io_failure("open", path, errno);
  if (::flock(file, kind | LOCK_NB) == 0) {
    if (file_ >= 0) ::close(file_);
    file_ = file;
    outcome = Outcome::Taken;
    return {};
  }
  const int error = errno;
  ::close(file);
  if (error != EWOULDBLOCK) return io_failure("lock", path, error);
  outcome = Outcome::InUse;
  return {};
}

bool DirectoryLock::file_exists(const std::string& directory) {
  return ::access(lock_path(directory).c_str(), F_OK) == 0;
}

}  // namespace harrier::persistence
