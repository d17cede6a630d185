// SPDX-License-Identifier: Apache-2.0
//
// DiskModel: what a disk may hold if the power fails, from a log of writes and flushes. play()
// takes the log record by record; image() writes one legal state of the disk at that moment:
// everything that was flushed, and of the rest whatever the dice say. Every 4 KiB page of a file
// has the content of one of the moments since its last flush, each page on its own, which tears,
// reorders and drops writes; so has its size. Changes of a directory that it was not flushed after
// are there or not, either a prefix of them or any of them. Value-like, owned by one thread. A log
// that cannot be understood, or that shows writes through a map, is a runtime_error.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "tests/crash/power/log_format.hpp"

namespace harrier::power {

inline constexpr std::size_t kPageBytes = 4096;

struct LogRecord {
  RecordHeader header;
  std::string path;
  std::string data;
};

std::vector<LogRecord> read_log(const std::string& file);

class DiskModel {
 public:
  // Paths in the log are below `root`; `base` has the files that were there before, "" if none.
  DiskModel(std::string root, const std::string& base);

  void play(const LogRecord& record);
  // Writes an image into the empty directory `target`.
  void image(const std::string& target, std::mt19937_64& random) const;
  // What differs between the directory and a disk that lost nothing; "" if nothing does. Files
  // whose name has "lock" in it are left out: they are maps, and nobody reads them after a restart.
  std::string differences(const std::string& directory) const;

 private:
  using Page = std::array<char, kPageBytes>;
  using PagePtr = std::shared_ptr<const Page>;  // null: zeros
  template <class T>
  struct History {
    T durable{};
    std::vector<std::pair<std::uint64_t, T>> later;  // with the time of the change, ascending
    const T& now() const { return later.empty() ? durable : later.back().second; }
    const T& pick(std::mt19937_64& random, std::uint64_t percent_new) const;
    void flush(std::uint64_t before);
  };
  struct File {
    std::map<std::uint64_t, History<PagePtr>> pages;
    std::set<std::uint64_t> dirty;
    History<std::uint64_t> size;
  };
  struct NameChange {
    std::uint64_t time = 0;
    std::string removed, added;  // paths, "" if none
    std::uint64_t object = 0;    // of `added`; 0: a directory
  };
  struct Flush {
    std::uint64_t object = 0;
    std::string directory;
    std::uint64_t begin = 0;
  };
  using Names = std::map<std::string, std::uint64_t>;

  std::string relative(const std::string& path) const;
  static void load(File& file, const std::string& bytes);
  void name_existing(std::uint64_t object, const std::string& path);
  void write(const LogRecord& record);
  void resize(File& file, std::uint64_t size);
  void set_page(File& file, std::uint64_t number, PagePtr page);
  static void flush_file(File& file, std::uint64_t before);
  void flush_names(const std::string* directory, std::uint64_t before);
  void end_flush(const Flush& flush);
  static void apply(Names& names, const NameChange& change);
  Names pick_names(std::mt19937_64& random) const;
  static void write_file(const std::string& path, std::uint64_t size,
                         const std::map<std::uint64_t, PagePtr>& pages);

  std::string root_;
  std::uint64_t time_ = 0;
  std::map<std::uint64_t, File> files_;
  Names names_;                      // durable
  std::vector<NameChange> pending_;  // not yet
  std::map<std::uint64_t, Flush> flushes_;
};

}  // namespace harrier::power
