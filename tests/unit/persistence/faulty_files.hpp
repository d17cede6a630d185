// SPDX-License-Identifier: Apache-2.0
//
// FaultyFiles: the system's files, counted, and failing where a test says so. Used by the thread
// that uses the journal under test; the counts are atomic because a background thread may be, too.
#pragma once

#include <sys/stat.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <optional>

#include "persistence/file.hpp"

namespace harrier::persistence_tests {

class FaultyFiles final : public persistence::Files {
 public:
  std::atomic<int> opens = 0, writes = 0, data_syncs = 0, syncs = 0, renames = 0, unlinks = 0;

  int open_error = 0;  // errno of the next ones, 0: none
  int write_error = 0;
  int sync_error = 0;
  int rename_error = 0;
  int interruptions = 0;            // so many calls fail with EINTR first
  std::size_t write_bytes_max = 0;  // more are not written at once; 0: any
  std::optional<std::size_t> room;  // bytes that can be written before write_error applies

  int open(const char* path, int flags) override {
    ++opens;
    if (interrupted() || failed(open_error)) return -1;
    return Files::open(path, flags);
  }
  ssize_t pwritev(int fd, const iovec* parts, int count, off_t at) override {
    ++writes;
    if (interrupted()) return -1;
    std::size_t bytes = 0;
    for (int i = 0; i < count; ++i) bytes += parts[i].iov_len;
    if (write_bytes_max > 0) bytes = std::min(bytes, write_bytes_max);
    if (room) {
      bytes = std::min(bytes, *room);
      *room -= bytes;
    }
    if (bytes == 0 || !room) {
      if (failed(write_error)) return -1;
    }
    std::vector<iovec> some(parts, parts + count);
    std::size_t left = bytes;
    for (iovec& part : some) {
      part.iov_len = std::min(part.iov_len, left);
      left -= part.iov_len;
    }
    return Files::pwritev(fd, some.data(), count, at);
  }
  int fdatasync(int fd) override {
    ++data_syncs;
    return interrupted() || failed(sync_error) ? -1 : Files::fdatasync(fd);
  }
  int fsync(int fd) override {
    ++syncs;
    return interrupted() || failed(sync_error) ? -1 : Files::fsync(fd);
  }
  int rename(const char* from, const char* to) override {
    ++renames;
    return failed(rename_error) ? -1 : Files::rename(from, to);
  }
  int unlink(const char* path) override {
    ++unlinks;
    return Files::unlink(path);
  }

 private:
  bool interrupted() {
    if (interruptions == 0) return false;
    --interruptions;
    errno = EINTR;
    return true;
  }
  static bool failed(int error) {
    if (error != 0) errno = error;
    return error != 0;
  }
};

}  // namespace harrier::persistence_tests
