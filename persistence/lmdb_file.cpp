// SPDX-License-Identifier: Apache-2.0
#include "persistence/lmdb_file.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <bit>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <system_error>

namespace harrier::persistence::lmdb {
namespace {

// The first two pages of an environment, in the byte order of the machine that made it:
// a page header of 16 bytes, then magic:u32 version:u32 address:u64 map-size:u64 page-size:u32 ...
constexpr std::size_t kMagicAt = 16;
constexpr std::size_t kPageSizeAt = 40;
constexpr std::size_t kHeaderBytes = 44;
constexpr std::uint32_t kMagic = 0xBEEFC0DE;
constexpr std::uint32_t kPageBytesMin = 256;
constexpr std::uint32_t kPageBytesMax = 32'768;  // LMDB's MAX_PAGESIZE is half of 64 KiB

std::string error_text(int error) { return std::generic_category().message(error); }

class File {
 public:
  File(const std::string& path, int flags) : descriptor_(::open(path.c_str(), flags | O_CLOEXEC)) {}
  ~File() {
    if (descriptor_ >= 0) ::close(descriptor_);  // only read or flushed: nothing is lost
  }
  File(const File&) = delete;
  File& operator=(const File&) = delete;
  bool is_open() const { return descriptor_ >= 0; }
  int descriptor() const { return descriptor_; }

 private:
  int descriptor_;
};

std::uint32_t u32_at(const std::array<std::uint8_t, kHeaderBytes>& bytes, std::size_t at) {
  std::uint32_t value = 0;
  std::memcpy(&value, bytes.data() + at, sizeof value);
  return value;
}

Status flush(const std::string& path, int flags) {
  const File file(path, flags);
  if (!file.is_open() || ::fsync(file.descriptor()) != 0) {
    const int error = errno;
    const std::string text = path + " cannot be flushed: " + error_text(error);
    return error == ENOSPC || error == EDQUOT ? Status::full(text) : Status::failed(text);
  }
  return {};
}

// How many of the pages from `first` on LMDB holds for free.
Status free_pages_from(Environment& environment, std::uint64_t first, std::uint64_t& count) {
  constexpr std::string_view kWhat = "the free list cannot be read";
  Transaction transaction;
  if (const Code code = transaction.begin_read(environment); !code.ok()) return code.status(kWhat);
  Cursor cursor;
  if (const Code code = cursor.open(transaction, kFreeList); !code.ok()) return code.status(kWhat);
  Code code = cursor.first();
  for (; code.ok(); code = cursor.next()) {
    // count, then page numbers, as native words.
    const ByteView value = cursor.value();
    for (std::size_t at = sizeof(std::uint64_t); at + sizeof(std::uint64_t) <= value.size();
         at += sizeof(std::uint64_t)) {
      std::uint64_t page = 0;
      std::memcpy(&page, value.data() + at, sizeof page);
      if (page >= first) ++count;
    }
  }
  return code.not_found() ? Status() : code.status(kWhat);
}

// Where this process has the file's first byte in memory; LMDB does not tell. Null: not found.
// By the name that the system has for both: device numbers differ on some file systems.
std::uint8_t* mapping_of(int descriptor) {
  std::error_code error;
  const std::string path =
      std::filesystem::read_symlink("/proc/self/fd/" + std::to_string(descriptor), error).string();
  if (error) return nullptr;
  // address-end permissions offset device inode path
  std::ifstream maps("/proc/self/maps");
  std::string range;
  std::string permissions;
  std::string offset;
  std::string device;
  std::string inode;
  std::string rest;
  while (maps >> range >> permissions >> offset >> device >> inode && std::getline(maps, rest)) {
    const std::size_t name = rest.find_first_not_of(' ');
    const bool at_start = offset.find_first_not_of('0') == std::string::npos;
    if (!at_start || name == std::string::npos || rest.substr(name) != path) continue;
    const auto address = std::strtoull(range.c_str(), nullptr, 16);
    return reinterpret_cast<std::uint8_t*>(static_cast<std::uintptr_t>(address));
  }
  return nullptr;
}

// The file ends there: LMDB may hold all pages from then on for free.
Status check_missing(Environment& environment, std::uint64_t size, bool& ok) {
  const Environment::Info info = environment.info();
  const std::uint64_t first = size / info.page_bytes;
  std::uint64_t free = 0;
  const Status status = free_pages_from(environment, first, free);
  ok = status.ok() && free == info.pages - first;
  return status;
}

struct Length {
  std::uint64_t size = 0;    // of the file
  std::uint64_t wanted = 0;  // by LMDB, whose last pages may never have been written
};

Status measure(const Environment& environment, const std::string& path, Length& out) {
  struct ::stat status {};
  if (::fstat(environment.file(), &status) != 0) {
    return Status::failed(path + " cannot be examined: " + error_text(errno));
  }
  const Environment::Info info = environment.info();
  out = {static_cast<std::uint64_t>(status.st_size), info.pages * info.page_bytes};
  return {};
}

Status truncated(const std::string& path, std::uint64_t size, std::uint64_t wanted) {
  return Status::failed(path + " is truncated: it has " + std::to_string(size) + " of " +
                        std::to_string(wanted) + " bytes" + std::string(kRestoreRemedy));
}

}  // namespace

Status check_header(const std::string& path) {
  const File file(path, O_RDONLY);
  if (!file.is_open()) {
    return Status::failed(path + " cannot be opened: " + error_text(errno));
  }
  std::uint32_t page_bytes = 0;
  for (const bool second : {false, true}) {
    std::array<std::uint8_t, kHeaderBytes> header{};
    const ::off_t at = second ? static_cast<::off_t>(page_bytes) : 0;
    const ::ssize_t size = ::pread(file.descriptor(), header.data(), header.size(), at);
    if (size < 0) return Status::failed(path + " cannot be read: " + error_text(errno));
    if (static_cast<std::size_t>(size) < header.size() || u32_at(header, kMagicAt) != kMagic) {
      return Status::failed(path + " is not a store of Harrier, or its header is damaged" +
                            std::string(kRestoreRemedy));
    }
    const std::uint32_t found = u32_at(header, kPageSizeAt);
    if (!std::has_single_bit(found) || found < kPageBytesMin || found > kPageBytesMax ||
        (second && found != page_bytes)) {
      return Status::failed(path + " is damaged: a page size of " + std::to_string(found) +
                            std::string(kRestoreRemedy));
    }
    page_bytes = found;
  }
  return {};
}

Status check_length(Environment& environment, const std::string& path) {
  Length length;
  if (Status status = measure(environment, path, length); !status.ok()) return status;
  const auto& [size, wanted] = length;
  if (size >= wanted) return {};
  // Pages that were freed by the transaction that allocated them are never written, so the file may
  // end before them. Zeroes take their place, so that reading the free list is safe in any case.
  if (::ftruncate(environment.file(), static_cast<::off_t>(wanted)) != 0) {
    return Status::failed(path + " cannot be extended: " + error_text(errno));
  }
  bool ok = false;
  Status checked = check_missing(environment, size, ok);
  if (checked.ok() && ok) return {};
  std::string text = truncated(path, size, wanted).error();
  // As it was, so that the next attempt says the same.
  if (::ftruncate(environment.file(), static_cast<::off_t>(size)) != 0) {
    text += ", and cannot be set back to that: " + error_text(errno);
  }
  return Status::failed(std::move(text));
}

Status check_length_read_only(Environment& environment, const std::string& path) {
  Length length;
  if (Status status = measure(environment, path, length); !status.ok()) return status;
  const auto& [size, wanted] = length;
  if (size >= wanted) return {};
  // Here the zeroes are laid over the map only, from the first page that the file has nothing of.
  const auto memory_page = static_cast<std::uint64_t>(::sysconf(_SC_PAGE_SIZE));
  const std::uint64_t from = (size + memory_page - 1) / memory_page * memory_page;
  std::uint8_t* const map = mapping_of(environment.file());
  if (map == nullptr || environment.info().map_bytes < wanted) return truncated(path, size, wanted);
  if (from < wanted && ::mmap(map + from, wanted - from, PROT_READ,
                              MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == MAP_FAILED) {
    return Status::failed(path + " cannot be read: " + error_text(errno));
  }
  bool ok = false;
  const Status checked = check_missing(environment, size, ok);
  return checked.ok() && ok ? Status() : truncated(path, size, wanted);
}

Status flush_file(const std::string& path) {
  Status status = flush(path, O_RDONLY);
  if (!status.ok()) return status;
  const std::filesystem::path folder = std::filesystem::path(path).parent_path();
  return flush(folder.empty() ? "." : folder.string(), O_RDONLY | O_DIRECTORY);
}

}  // namespace harrier::persistence::lmdb
