// SPDX-License-Identifier: Apache-2.0
//
// Files: the system calls that change the disk, behind one table so that tests can count them and
// let them fail. File: an open file, mapped read-only; one owner. Any thread. Failures come back as
// a Status that names the file and the cause; a full device or quota as Status::full. A device that
// cannot read a page ends the process when the mapping is touched: check_readable() asks first.
#pragma once

#include <sys/types.h>
#include <sys/uio.h>

#include <cstdint>
#include <string>
#include <vector>

#include "persistence/status.hpp"
#include "protocol/bytes.hpp"

namespace harrier::persistence {

// As the system calls of the same names: -1 and errno.
class Files {
 public:
  Files() = default;
  virtual ~Files() = default;
  Files(const Files&) = delete;
  Files& operator=(const Files&) = delete;

  virtual int open(const char* path, int flags);  // O_CLOEXEC and the mode are added
  virtual ssize_t pwritev(int fd, const iovec* parts, int count, off_t at);
  virtual int fdatasync(int fd);
  virtual int fsync(int fd);
  virtual int rename(const char* from, const char* to);
  virtual int unlink(const char* path);

  static Files& real();
};

class File {
 public:
  File() = default;
  ~File();
  File(File&& other) noexcept { swap(other); }
  File& operator=(File&& other) noexcept {
    swap(other);
    return *this;
  }

  // For reading and writing. At least map_bytes are mapped: beyond its end once it has grown there.
  static Status open(Files& files, const std::string& path, bool create, std::uint64_t map_bytes,
                     File& out);
  // For reading, at its present size; on a medium that cannot be written, too.
  static Status open_to_read(Files& files, const std::string& path, File& out);

  int fd() const { return fd_; }
  std::uint64_t size_at_open() const { return size_at_open_; }
  protocol::ByteView mapped() const { return {mapped_, mapped_bytes_}; }

 private:
  void swap(File& other) noexcept;
  static Status open_and_map(Files& files, const std::string& path, int flags,
                             std::uint64_t map_bytes, File& out);

  int fd_ = -1;
  std::uint64_t size_at_open_ = 0;
  const std::uint8_t* mapped_ = nullptr;
  std::size_t mapped_bytes_ = 0;
};

// "cannot <action> <path>: <cause>"
Status io_failure(const char* action, const std::string& path, int error);

// All of the parts, however many calls that takes; `parts` is used up.
Status write_all(Files& files, int fd, const std::string& path, std::vector<iovec>& parts,
                 std::uint64_t at);
Status sync_data(Files& files, int fd, const std::string& path);
Status sync_directory(Files& files, const std::string& path);
// Every byte from `at` to `end` can be read, and is in memory afterwards as far as that goes.
Status check_readable(int fd, const std::string& path, std::uint64_t at, std::uint64_t end);

}  // namespace harrier::persistence
