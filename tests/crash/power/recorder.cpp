// SPDX-License-Identifier: Apache-2.0
//
// The recorder: a shared library for LD_PRELOAD that stands between a program and the C library and
// logs, in order, what the program does to the files below HARRIER_POWER_DIRECTORY
// (log_format.hpp). Every call is made as it was asked. One mutex makes the order of the log that
// of the writes; flushes run outside of it, between their two records. What it does not see
// (streams of the C library, maps) is found by power_test, which compares the directory with the
// log. A log that cannot be written ends the process.
#include <dlfcn.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "tests/crash/power/log_format.hpp"

namespace harrier::power {
namespace {

template <class F>
F* next(const char* name) {
  void* const found = ::dlsym(RTLD_NEXT, name);
  if (found == nullptr) std::abort();
  return reinterpret_cast<F*>(found);
}

struct OpenFile {
  std::uint64_t object = 0;  // 0: a directory
  std::string path;
  bool durable = false;
};

class Recorder {
 public:
  // Never destroyed: other destructors still write.
  static Recorder& get() {
    static Recorder* const recorder = new Recorder;
    return *recorder;
  }

  std::mutex mutex;  // held by whoever calls what is below

  // The absolute path if it is one of ours, else "".
  std::string ours(int directory, const char* path) const {
    if (path == nullptr || directory_.empty()) return {};
    std::string whole = path;
    if (whole.empty() || whole.front() != '/') {
      char base[PATH_MAX];
      const std::string link =
          directory == AT_FDCWD ? "/proc/self/cwd" : "/proc/self/fd/" + std::to_string(directory);
      const ssize_t size = ::readlink(link.c_str(), base, sizeof base);
      if (size <= 0) return {};
      whole = std::string(base, static_cast<std::size_t>(size)) + "/" + whole;
    }
    while (whole.size() > 1 && whole.back() == '/') whole.pop_back();
    const bool below = whole.starts_with(directory_) &&
                       (whole.size() == directory_.size() || whole[directory_.size()] == '/');
    return below ? whole : std::string();
  }

  void opened(int fd, const std::string& path, int flags, bool existed) {
    struct stat info {};
    if (::fstat(fd, &info) != 0) return;
    OpenFile file;
    file.path = path;
    if (!S_ISDIR(info.st_mode)) {
      file.object = object_of(path, existed);
      file.durable = (flags & (O_DSYNC | O_SYNC)) != 0;
      if (existed && (flags & O_TRUNC) != 0) add({.object = file.object, .op = Op::Truncate});
    }
    files_[fd] = std::move(file);
  }
  void closed(int fd) { files_.erase(fd); }
  const OpenFile* find(int fd) const {
    const auto at = files_.find(fd);
    return at == files_.end() ? nullptr : &at->second;
  }

  void written(int fd, std::uint64_t offset, std::string_view bytes, bool durable) {
    const OpenFile* const file = find(fd);
    if (file == nullptr || bytes.empty()) return;
    RecordHeader header{
        .object = file->object, .offset = offset, .size = bytes.size(), .op = Op::Write};
    if (durable || file->durable) header.flags |= kDurable;
    const bool zeros = bytes.find_first_not_of('\0') == std::string_view::npos;
    if (zeros) header.flags |= kZeros;
    add(header, {}, zeros ? std::string_view() : bytes);
  }
  void resized(int fd, std::uint64_t size) {
    if (const OpenFile* file = find(fd)) {
      add({.object = file->object, .size = size, .op = Op::Truncate});
    }
  }
  std::uint64_t flush_begins(std::uint64_t object, const std::string& path) {
    add({.object = object, .offset = ++flushes_, .op = Op::FlushBegin}, path);
    return flushes_;
  }
  void flush_ends(std::uint64_t number) { add({.offset = number, .op = Op::FlushEnd}); }
  void map_flushed() { add({.op = Op::MapFlush}); }

  void renamed(const std::string& from, const std::string& to) {
    const std::uint64_t object = object_of(from, true);
    add({.object = object, .op = Op::Rename}, from, to);
    names_.erase(from);
    names_[to] = object;
  }
  void unlinked(const std::string& path) {
    add({.object = object_of(path, true), .op = Op::Unlink}, path);
    names_.erase(path);
  }
  void made_directory(const std::string& path) { add({.op = Op::MakeDirectory}, path); }
  void mark(std::uint64_t number) { add({.size = number, .op = Op::Mark}); }
  bool recording() const { return log_ >= 0; }

 private:
  Recorder() {
    const char* const directory = std::getenv(kDirectoryVariable);
    const char* const log = std::getenv(kLogVariable);
    if (directory == nullptr || log == nullptr) return;
    directory_ = directory;
    log_ = static_cast<int>(
        ::syscall(SYS_openat, AT_FDCWD, log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644));
    if (log_ < 0) fail();
  }

  [[noreturn]] static void fail() {
    constexpr std::string_view kText = "power recorder: cannot write the log\n";
    ::syscall(SYS_write, STDERR_FILENO, kText.data(), kText.size());
    ::_exit(125);
  }

  std::uint64_t object_of(const std::string& path, bool existed) {
    const auto at = names_.find(path);
    if (at != names_.end()) return at->second;
    const std::uint64_t object = ++objects_;
    names_[path] = object;
    add({.object = object, .op = existed ? Op::Existing : Op::Create}, path);
    return object;
  }

  void add(RecordHeader header, std::string_view path = {}, std::string_view data = {}) {
    header.path_size = static_cast<std::uint32_t>(path.size());
    header.data_size = data.size();
    put({reinterpret_cast<const char*>(&header), sizeof header});
    put(path);
    put(data);
  }
  void put(std::string_view bytes) {
    while (!bytes.empty()) {
      const long size = ::syscall(SYS_write, log_, bytes.data(), bytes.size());
      if (size < 0 && errno == EINTR) continue;
      if (size <= 0) fail();
      bytes.remove_prefix(static_cast<std::size_t>(size));
    }
  }

  std::string directory_;
  int log_ = -1;
  std::map<int, OpenFile> files_;
  std::map<std::string, std::uint64_t> names_;
  std::uint64_t objects_ = 0;
  std::uint64_t flushes_ = 0;
};

using Lock = std::lock_guard<std::mutex>;

bool exists(const std::string& path) {
  struct stat info {};
  return ::stat(path.c_str(), &info) == 0;
}

template <class Call>
int record_open(int directory, const char* path, int flags, Call call) {
  Recorder& recorder = Recorder::get();
  const Lock lock(recorder.mutex);
  const std::string ours = recorder.ours(directory, path);
  const bool existed = !ours.empty() && exists(ours);
  const int fd = call();
  if (fd >= 0 && !ours.empty()) recorder.opened(fd, ours, flags, existed);
  return fd;
}

std::string joined(const iovec* parts, int count, std::size_t size) {
  std::string bytes;
  for (int i = 0; i < count && bytes.size() < size; ++i) {
    bytes.append(static_cast<const char*>(parts[i].iov_base),
                 std::min(parts[i].iov_len, size - bytes.size()));
  }
  return bytes;
}

template <class Call>
ssize_t record_write(int fd, const iovec* parts, int count, off_t offset, bool durable, Call call) {
  Recorder& recorder = Recorder::get();
  if (!recorder.recording()) return call();
  const Lock lock(recorder.mutex);
  const ssize_t size = call();
  if (size <= 0 || recorder.find(fd) == nullptr) return size;
  const int error = errno;
  const off_t at = offset >= 0 ? offset : ::lseek(fd, 0, SEEK_CUR) - size;
  const std::string bytes = joined(parts, count, static_cast<std::size_t>(size));
  recorder.written(fd, static_cast<std::uint64_t>(at), bytes, durable);
  errno = error;
  return size;
}

template <class Call>
int record_flush(int fd, bool everything, Call call) {
  Recorder& recorder = Recorder::get();
  std::uint64_t number = 0;
  {
    const Lock lock(recorder.mutex);
    const OpenFile* const file = recorder.find(fd);
    if (file != nullptr) {
      number = recorder.flush_begins(everything ? kEverything : file->object, file->path);
    } else if (everything && recorder.recording()) {
      number = recorder.flush_begins(kEverything, {});
    }
  }
  const int result = call();
  if (number != 0 && result == 0) {
    const Lock lock(recorder.mutex);
    recorder.flush_ends(number);
  }
  return result;
}

template <class Call>
int record_size(int fd, std::uint64_t size, bool only_grows, Call call) {
  Recorder& recorder = Recorder::get();
  const Lock lock(recorder.mutex);
  struct stat before {};
  const bool known = recorder.find(fd) != nullptr && ::fstat(fd, &before) == 0;
  const int result = call();
  const bool grows = size > static_cast<std::uint64_t>(before.st_size);
  if (result == 0 && known && (grows || !only_grows)) recorder.resized(fd, size);
  return result;
}

template <class Call>
int record_unlink(int directory, const char* path, Call call) {
  Recorder& recorder = Recorder::get();
  const Lock lock(recorder.mutex);
  const std::string ours = recorder.ours(directory, path);
  const int result = call();
  if (result == 0 && !ours.empty()) recorder.unlinked(ours);
  return result;
}

template <class Call>
int record_rename(int from_directory, const char* from, int to_directory, const char* to,
                  Call call) {
  Recorder& recorder = Recorder::get();
  const Lock lock(recorder.mutex);
  const std::string old_name = recorder.ours(from_directory, from);
  const std::string new_name = recorder.ours(to_directory, to);
  const int result = call();
  if (result == 0 && !old_name.empty() && !new_name.empty()) recorder.renamed(old_name, new_name);
  return result;
}

mode_t mode_argument(int flags, va_list arguments) {
  return (flags & (O_CREAT | O_TMPFILE)) != 0 ? static_cast<mode_t>(va_arg(arguments, unsigned))
                                              : mode_t{0};
}

}  // namespace
}  // namespace harrier::power

using namespace harrier::power;

// The C library's names, so not ours to style. The 64-bit names are the same calls here.
#define HARRIER_RECORD_OPEN(name)                                                       \
  int name(const char* path, int flags, ...) {                                          \
    va_list arguments;                                                                  \
    va_start(arguments, flags);                                                         \
    const mode_t mode = mode_argument(flags, arguments);                                \
    va_end(arguments);                                                                  \
    static auto* const real = next<int(const char*, int, ...)>(#name);                  \
    return record_open(AT_FDCWD, path, flags, [&] { return real(path, flags, mode); }); \
  }
#define HARRIER_RECORD_OPENAT(name)                                         \
  int name(int directory, const char* path, int flags, ...) {               \
    va_list arguments;                                                      \
    va_start(arguments, flags);                                             \
    const mode_t mode = mode_argument(flags, arguments);                    \
    va_end(arguments);                                                      \
    static auto* const real = next<int(int, const char*, int, ...)>(#name); \
    return record_open(directory, path, flags,                              \
                       [&] { return real(directory, path, flags, mode); }); \
  }
#define HARRIER_RECORD_PWRITE(name)                                                  \
  ssize_t name(int fd, const void* bytes, size_t size, off_t offset) {               \
    static auto* const real = next<ssize_t(int, const void*, size_t, off_t)>(#name); \
    const iovec part{const_cast<void*>(bytes), size};                                \
    return record_write(fd, &part, 1, offset, false,                                 \
                        [&] { return real(fd, bytes, size, offset); });              \
  }
#define HARRIER_RECORD_PWRITEV(name)                                               \
  ssize_t name(int fd, const iovec* parts, int count, off_t offset) {              \
    static auto* const real = next<ssize_t(int, const iovec*, int, off_t)>(#name); \
    return record_write(fd, parts, count, offset, false,                           \
                        [&] { return real(fd, parts, count, offset); });           \
  }
#define HARRIER_RECORD_PWRITEV2(name)                                                    \
  ssize_t name(int fd, const iovec* parts, int count, off_t offset, int flags) {         \
    static auto* const real = next<ssize_t(int, const iovec*, int, off_t, int)>(#name);  \
    return record_write(fd, parts, count, offset, (flags & (RWF_DSYNC | RWF_SYNC)) != 0, \
                        [&] { return real(fd, parts, count, offset, flags); });          \
  }
#define HARRIER_RECORD_TRUNCATE(name)                               \
  int name(int fd, off_t size) noexcept {                           \
    static auto* const real = next<int(int, off_t)>(#name);         \
    return record_size(fd, static_cast<std::uint64_t>(size), false, \
                       [&] { return real(fd, size); });             \
  }
#define HARRIER_RECORD_POSIX_FALLOCATE(name)                                \
  int name(int fd, off_t offset, off_t size) {                              \
    static auto* const real = next<int(int, off_t, off_t)>(#name);          \
    return record_size(fd, static_cast<std::uint64_t>(offset + size), true, \
                       [&] { return real(fd, offset, size); });             \
  }
#define HARRIER_RECORD_FALLOCATE(name)                                      \
  int name(int fd, int mode, off_t offset, off_t size) {                    \
    static auto* const real = next<int(int, int, off_t, off_t)>(#name);     \
    if (mode != 0) return real(fd, mode, offset, size);                     \
    return record_size(fd, static_cast<std::uint64_t>(offset + size), true, \
                       [&] { return real(fd, mode, offset, size); });       \
  }

extern "C" {

HARRIER_RECORD_OPEN(open)
HARRIER_RECORD_OPEN(open64)
HARRIER_RECORD_OPENAT(openat)
HARRIER_RECORD_OPENAT(openat64)
HARRIER_RECORD_PWRITE(pwrite)
HARRIER_RECORD_PWRITE(pwrite64)
HARRIER_RECORD_PWRITEV(pwritev)
HARRIER_RECORD_PWRITEV(pwritev64)
HARRIER_RECORD_PWRITEV2(pwritev2)
HARRIER_RECORD_PWRITEV2(pwritev64v2)
HARRIER_RECORD_TRUNCATE(ftruncate)
HARRIER_RECORD_TRUNCATE(ftruncate64)
HARRIER_RECORD_POSIX_FALLOCATE(posix_fallocate)
HARRIER_RECORD_POSIX_FALLOCATE(posix_fallocate64)
HARRIER_RECORD_FALLOCATE(fallocate)
HARRIER_RECORD_FALLOCATE(fallocate64)

// What fortified callers are compiled to.
int __open_2(const char* path, int flags) { return open(path, flags); }
int __open64_2(const char* path, int flags) { return open64(path, flags); }

int creat(const char* path, mode_t mode) { return open(path, O_WRONLY | O_CREAT | O_TRUNC, mode); }

int close(int fd) {
  static auto* const real = next<int(int)>("close");
  Recorder& recorder = Recorder::get();
  const Lock lock(recorder.mutex);
  recorder.closed(fd);
  return real(fd);
}

ssize_t write(int fd, const void* bytes, size_t size) {
  static auto* const real = next<ssize_t(int, const void*, size_t)>("write");
  const iovec part{const_cast<void*>(bytes), size};
  return record_write(fd, &part, 1, -1, false, [&] { return real(fd, bytes, size); });
}

ssize_t writev(int fd, const iovec* parts, int count) {
  static auto* const real = next<ssize_t(int, const iovec*, int)>("writev");
  return record_write(fd, parts, count, -1, false, [&] { return real(fd, parts, count); });
}

int fdatasync(int fd) {
  static auto* const real = next<int(int)>("fdatasync");
  return record_flush(fd, false, [&] { return real(fd); });
}

int fsync(int fd) {
  static auto* const real = next<int(int)>("fsync");
  return record_flush(fd, false, [&] { return real(fd); });
}

int syncfs(int fd) noexcept {
  static auto* const real = next<int(int)>("syncfs");
  return record_flush(fd, true, [&] { return real(fd); });
}

int msync(void* address, size_t size, int flags) {
  static auto* const real = next<int(void*, size_t, int)>("msync");
  Recorder& recorder = Recorder::get();
  const Lock lock(recorder.mutex);
  if (recorder.recording()) recorder.map_flushed();
  return real(address, size, flags);
}

int rename(const char* from, const char* to) noexcept {
  static auto* const real = next<int(const char*, const char*)>("rename");
  return record_rename(AT_FDCWD, from, AT_FDCWD, to, [&] { return real(from, to); });
}

int renameat(int from_directory, const char* from, int to_directory, const char* to) noexcept {
  static auto* const real = next<int(int, const char*, int, const char*)>("renameat");
  return record_rename(from_directory, from, to_directory, to,
                       [&] { return real(from_directory, from, to_directory, to); });
}

int unlink(const char* path) noexcept {
  static auto* const real = next<int(const char*)>("unlink");
  return record_unlink(AT_FDCWD, path, [&] { return real(path); });
}

int unlinkat(int directory, const char* path, int flags) noexcept {
  static auto* const real = next<int(int, const char*, int)>("unlinkat");
  return record_unlink(directory, path, [&] { return real(directory, path, flags); });
}

int remove(const char* path) noexcept {
  static auto* const real = next<int(const char*)>("remove");
  return record_unlink(AT_FDCWD, path, [&] { return real(path); });
}

int mkdir(const char* path, mode_t mode) noexcept {
  static auto* const real = next<int(const char*, mode_t)>("mkdir");
  Recorder& recorder = Recorder::get();
  const Lock lock(recorder.mutex);
  const std::string ours = recorder.ours(AT_FDCWD, path);
  const int result = real(path, mode);
  if (result == 0 && !ours.empty()) recorder.made_directory(ours);
  return result;
}

// For the program under test, found by its name.
void harrier_power_mark(std::uint64_t number) {
  Recorder& recorder = Recorder::get();
  const Lock lock(recorder.mutex);
  if (recorder.recording()) recorder.mark(number);
}

}  // extern "C"
