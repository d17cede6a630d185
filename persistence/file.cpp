// SPDX-License-Identifier: Apache-2.0
#include "persistence/file.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstdio>
#include <system_error>
#include <utility>

namespace harrier::persistence {
namespace {

constexpr mode_t kFileMode = 0640;  // messages are nobody else's business
constexpr std::size_t kReadPieceBytes = std::size_t{256} * 1024;

template <class Call>
auto without_interruption(Call call) {
  auto result = call();
  while (result == -1 && errno == EINTR) result = call();
  return result;
}

}  // namespace

int Files::open(const char* path, int flags) { return ::open(path, flags | O_CLOEXEC, kFileMode); }
ssize_t Files::pwritev(int fd, const iovec* parts, int count, off_t at) {
  return ::pwritev(fd, parts, count, at);
}
int Files::fdatasync(int fd) { return ::fdatasync(fd); }
int Files::fsync(int fd) { return ::fsync(fd); }
int Files::rename(const char* from, const char* to) { return ::rename(from, to); }
int Files::unlink(const char* path) { return ::unlink(path); }

Files& Files::real() {
  static Files files;
  return files;
}

File::~File() {
  if (mapped_ != nullptr) ::munmap(const_cast<std::uint8_t*>(mapped_), mapped_bytes_);
  // Its data was synced where that mattered, so a failing close has nothing to tell.
  if (fd_ >= 0) ::close(fd_);
}

void File::swap(File& other) noexcept {
  std::swap(fd_, other.fd_);
  std::swap(size_at_open_, other.size_at_open_);
  std::swap(mapped_, other.mapped_);
  std::swap(mapped_bytes_, other.mapped_bytes_);
}

Status File::open(Files& files, const std::string& path, bool create, std::uint64_t map_bytes,
                  File& out) {
  return open_and_map(files, path, O_RDWR | (create ? O_CREAT | O_EXCL : 0), map_bytes, out);
}

Status File::open_to_read(Files& files, const std::string& path, File& out) {
  return open_and_map(files, path, O_RDONLY, 0, out);
}

Status File::open_and_map(Files& files, const std::string& path, int flags, std::uint64_t map_bytes,
                          File& out) {
  File file;
  file.fd_ = without_interruption([&] { return files.open(path.c_str(), flags); });
  if (file.fd_ < 0) return io_failure((flags & O_CREAT) != 0 ? "create" : "open", path, errno);
  struct stat info {};
  if (::fstat(file.fd_, &info) != 0) return io_failure("open", path, errno);
  file.size_at_open_ = static_cast<std::uint64_t>(info.st_size);
  const std::uint64_t bytes = std::max(map_bytes, file.size_at_open_);
  if (bytes > 0) {
    void* mapped = ::mmap(nullptr, bytes, PROT_READ, MAP_SHARED, file.fd_, 0);
    if (mapped == MAP_FAILED) return io_failure("map", path, errno);
    file.mapped_ = static_cast<const std::uint8_t*>(mapped);
    file.mapped_bytes_ = bytes;
  }
  out = std::move(file);
  return {};
}

Status io_failure(const char* action, const std::string& path, int error) {
  std::string text =
      std::string("cannot ") + action + ' ' + path + ": " + std::generic_category().message(error);
  if (error == ENOSPC || error == EDQUOT) return Status::full(std::move(text));
  return Status::failed(std::move(text));
}

Status write_all(Files& files, int fd, const std::string& path, std::vector<iovec>& parts,
                 std::uint64_t at) {
  std::size_t next = 0;
  while (next < parts.size()) {
    if (parts[next].iov_len == 0) {
      ++next;
      continue;
    }
    const int count = static_cast<int>(std::min<std::size_t>(parts.size() - next, IOV_MAX));
    const ssize_t result = without_interruption(
        [&] { return files.pwritev(fd, &parts[next], count, static_cast<off_t>(at)); });
    if (result < 0) return io_failure("write", path, errno);
    if (result == 0) return io_failure("write", path, EIO);  // no progress and no reason given
    auto written = static_cast<std::size_t>(result);
    at += written;
    for (; written > 0; ++next) {
      iovec& part = parts[next];
      const std::size_t taken = std::min(written, part.iov_len);
      part.iov_base = static_cast<std::uint8_t*>(part.iov_base) + taken;
      part.iov_len -= taken;
      written -= taken;
      if (part.iov_len > 0) break;
    }
  }
  return {};
}

Status sync_data(Files& files, int fd, const std::string& path) {
  const int result = without_interruption([&] { return files.fdatasync(fd); });
  return result == 0 ? Status() : io_failure("flush", path, errno);
}

Status sync_directory(Files& files, const std::string& path) {
  const int fd =
      without_interruption([&] { return files.open(path.c_str(), O_RDONLY | O_DIRECTORY); });
  if (fd < 0) return io_failure("open", path, errno);
  const int result = without_interruption([&] { return files.fsync(fd); });
  const int error = errno;
  ::close(fd);
  return result == 0 ? Status() : io_failure("flush", path, error);
}

Status check_readable(int fd, const std::string& path, std::uint64_t at, std::uint64_t end) {
  std::vector<std::uint8_t> buffer(kReadPieceBytes);
  while (at < end) {
    const std::size_t wanted = std::min<std::uint64_t>(buffer.size(), end - at);
    const ssize_t result = without_interruption(
        [&] { return ::pread(fd, buffer.data(), wanted, static_cast<off_t>(at)); });
    if (result < 0) return io_failure("read", path, errno);
    if (result == 0) return io_failure("read", path, EIO);  // shorter than it was a moment ago
    at += static_cast<std::uint64_t>(result);
  }
  return {};
}

}  // namespace harrier::persistence
