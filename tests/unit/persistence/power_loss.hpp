// SPDX-License-Identifier: Apache-2.0
//
// PowerLossFiles: the system's files, and what a power loss would leave of them. Of what was not
// flushed each page is there or not, as the seed says; of the names that were not, all or none. One
// thread. The real files are what a kill -9 leaves; lose_power() turns them into what is left.
#pragma once

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <map>
#include <random>
#include <stdexcept>
#include <string>
#include <vector>

#include "persistence/file.hpp"

namespace harrier::persistence_tests {

class PowerLossFiles final : public persistence::Files {
 public:
  PowerLossFiles(std::filesystem::path directory, std::uint64_t seed)
      : directory_(std::move(directory)), random_(seed) {}
  ~PowerLossFiles() override { close_held(); }

  int open(const char* path, int flags) override {
    const int fd = Files::open(path, flags);
    // Its inode stays, so that the number is not given to another file.
    if (fd >= 0 && !std::filesystem::is_directory(path)) hold(fd);
    return fd;
  }
  int fdatasync(int fd) override {
    durable_[inode_of(fd)] = content_of(fd);
    return 0;
  }
  int fsync(int fd) override {
    struct stat info {};
    check(::fstat(fd, &info) == 0);
    if (S_ISDIR(info.st_mode)) {
      durable_names_ = names();
    } else {
      durable_[info.st_ino] = content_of(fd);
    }
    return 0;
  }

  void lose_power() {
    const auto names_left = random_() % 2 == 0 ? names() : durable_names_;
    std::map<std::string, Bytes> left;
    for (const auto& [name, inode] : names_left) left[name] = mixed(inode);
    for (const auto& [name, inode] : names()) std::filesystem::remove(directory_ / name);
    close_held();
    durable_.clear();
    durable_names_.clear();
    for (const auto& [name, bytes] : left) {
      const int fd = ::open((directory_ / name).c_str(), O_RDWR | O_CREAT | O_EXCL, 0640);
      check(fd >= 0);
      check(::pwrite(fd, bytes.data(), bytes.size(), 0) == static_cast<ssize_t>(bytes.size()));
      durable_[inode_of(fd)] = bytes;
      durable_names_[name] = inode_of(fd);
      hold(fd);
      ::close(fd);
    }
  }

 private:
  using Bytes = std::vector<std::uint8_t>;
  static constexpr std::size_t kPage = 4096;

  static void check(bool good) {
    if (!good) throw std::runtime_error("the file system under the test failed");
  }
  static ino_t inode_of(int fd) {
    struct stat info {};
    check(::fstat(fd, &info) == 0);
    return info.st_ino;
  }
  static Bytes content_of(int fd) {
    struct stat info {};
    check(::fstat(fd, &info) == 0);
    Bytes bytes(static_cast<std::size_t>(info.st_size));
    check(::pread(fd, bytes.data(), bytes.size(), 0) == info.st_size);
    return bytes;
  }
  void hold(int fd) {
    const int copy = ::dup(fd);
    check(copy >= 0);
    if (!held_.emplace(inode_of(fd), copy).second) ::close(copy);
  }
  void close_held() {
    for (const auto& [inode, fd] : held_) ::close(fd);
    held_.clear();
  }
  std::map<std::string, ino_t> names() const {
    std::map<std::string, ino_t> found;
    for (const auto& entry : std::filesystem::directory_iterator(directory_)) {
      struct stat info {};
      check(::stat(entry.path().c_str(), &info) == 0);
      found[entry.path().filename().string()] = info.st_ino;
    }
    return found;
  }
  Bytes mixed(ino_t inode) {
    const Bytes now = content_of(held_.at(inode));
    const Bytes& flushed = durable_[inode];
    Bytes result = random_() % 2 == 0 ? now : flushed;  // the size is one of the two
    for (std::size_t page = 0; page < result.size(); page += kPage) {
      const Bytes& source = random_() % 2 == 0 ? now : flushed;
      for (std::size_t i = page; i < std::min(page + kPage, result.size()); ++i) {
        result[i] = i < source.size() ? source[i] : 0;
      }
    }
    return result;
  }

  const std::filesystem::path directory_;
  std::mt19937_64 random_;
  std::map<ino_t, Bytes> durable_;
  std::map<std::string, ino_t> durable_names_;
  std::map<ino_t, int> held_;
};

}  // namespace harrier::persistence_tests
