// SPDX-License-Identifier: Apache-2.0
//
// A shared library for LD_PRELOAD that makes a disk fail on command. While the file that
// HARRIER_FAULT_SWITCH names exists, its first word says what fails with which error: "write 28"
// (every write to a file below HARRIER_FAULT_DIRECTORY; for ENOSPC statvfs finds no room either) or
// "flush 5" (fdatasync and fsync). Used by the disk_*_test.py; the broker under test is unchanged.
#include <dlfcn.h>
#include <fcntl.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <climits>
#include <cstdlib>
#include <cstring>
#include <string>
#include <string_view>

namespace {

template <class F>
F* next(const char* name) {
  void* const found = ::dlsym(RTLD_NEXT, name);
  if (found == nullptr) std::abort();
  return reinterpret_cast<F*>(found);
}

// The error that `call` is to fail with now; 0: none.
int fault(std::string_view call) {
  static const char* const path = std::getenv("HARRIER_FAULT_SWITCH");
  if (path == nullptr) return 0;
  const int error_before = errno;
  const int fd = static_cast<int>(::syscall(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC));
  errno = error_before;
  if (fd < 0) return 0;
  std::array<char, 64> text{};
  const long size = ::syscall(SYS_read, fd, text.data(), text.size() - 1);
  ::syscall(SYS_close, fd);
  const std::string_view order(text.data(), size > 0 ? static_cast<std::size_t>(size) : 0);
  if (!order.starts_with(call) || order.size() <= call.size() + 1) return 0;
  return static_cast<int>(std::strtol(order.data() + call.size() + 1, nullptr, 10));
}

bool is_data(int fd) {
  static const char* const directory = std::getenv("HARRIER_FAULT_DIRECTORY");
  if (directory == nullptr) return false;
  std::array<char, PATH_MAX> path{};
  const std::string link = "/proc/self/fd/" + std::to_string(fd);
  const ssize_t size = ::readlink(link.c_str(), path.data(), path.size() - 1);
  return size > 0 && std::string_view(path.data(), static_cast<std::size_t>(size))
                         .starts_with(std::string(directory) + "/");
}

template <class Call>
auto unless_fault(std::string_view what, int fd, Call call) -> decltype(call()) {
  if (const int error = fault(what); error != 0 && is_data(fd)) {
    errno = error;
    return -1;
  }
  return call();
}

template <class Info>
void without_room(Info& info) {
  if (fault("write") != ENOSPC) return;
  info.f_bavail = 0;
  info.f_bfree = 0;
}

}  // namespace

// The names of the C library; those with 64 are the same calls here.
#define HARRIER_FAIL_PWRITE(name)                                                    \
  ssize_t name(int fd, const void* bytes, size_t size, off_t at) {                   \
    static auto* const real = next<ssize_t(int, const void*, size_t, off_t)>(#name); \
    return unless_fault("write", fd, [&] { return real(fd, bytes, size, at); });     \
  }
#define HARRIER_FAIL_PWRITEV(name)                                                 \
  ssize_t name(int fd, const iovec* parts, int count, off_t at) {                  \
    static auto* const real = next<ssize_t(int, const iovec*, int, off_t)>(#name); \
    return unless_fault("write", fd, [&] { return real(fd, parts, count, at); });  \
  }
#define HARRIER_FAIL_FLUSH(name)                                \
  int name(int fd) {                                            \
    static auto* const real = next<int(int)>(#name);            \
    return unless_fault("flush", fd, [&] { return real(fd); }); \
  }

#define HARRIER_WITHOUT_ROOM(name, info_type, file_type)               \
  int name(file_type file, info_type* info) noexcept {                 \
    static auto* const real = next<int(file_type, info_type*)>(#name); \
    const int result = real(file, info);                               \
    if (result == 0) without_room(*info);                              \
    return result;                                                     \
  }

extern "C" {

HARRIER_FAIL_PWRITE(pwrite)
HARRIER_FAIL_PWRITE(pwrite64)
HARRIER_FAIL_PWRITEV(pwritev)
HARRIER_FAIL_PWRITEV(pwritev64)
HARRIER_FAIL_FLUSH(fdatasync)
HARRIER_FAIL_FLUSH(fsync)

ssize_t write(int fd, const void* bytes, size_t size) {
  static auto* const real = next<ssize_t(int, const void*, size_t)>("write");
  return unless_fault("write", fd, [&] { return real(fd, bytes, size); });
}

ssize_t writev(int fd, const iovec* parts, int count) {
  static auto* const real = next<ssize_t(int, const iovec*, int)>("writev");
  return unless_fault("write", fd, [&] { return real(fd, parts, count); });
}

int posix_fallocate(int fd, off_t at, off_t size) {
  static auto* const real = next<int(int, off_t, off_t)>("posix_fallocate");
  if (const int error = fault("write"); error != 0 && is_data(fd)) return error;
  return real(fd, at, size);
}

HARRIER_WITHOUT_ROOM(statvfs, struct statvfs, const char*)
HARRIER_WITHOUT_ROOM(statvfs64, struct statvfs64, const char*)
HARRIER_WITHOUT_ROOM(fstatvfs, struct statvfs, int)
HARRIER_WITHOUT_ROOM(fstatvfs64, struct statvfs64, int)

}  // extern "C"
