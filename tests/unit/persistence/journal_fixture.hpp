// SPDX-License-Identifier: Apache-2.0
//
// What the journal's tests share: a directory that goes when the test ends, a journal over it with
// small segments, and ways to look at and damage its files.
#pragma once

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <stdexcept>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "persistence/journal.hpp"
#include "tests/unit/persistence/faulty_files.hpp"

namespace harrier::persistence_tests {

using namespace harrier::persistence;
using protocol::ByteView;
using FileBytes = std::vector<std::uint8_t>;

class TemporaryDirectory {
 public:
  TemporaryDirectory() {
    std::string pattern = (std::filesystem::temp_directory_path() / "harrier-XXXXXX").string();
    if (::mkdtemp(pattern.data()) == nullptr) throw std::runtime_error("no temporary directory");
    path_ = pattern;
  }
  ~TemporaryDirectory() { std::filesystem::remove_all(path_); }
  TemporaryDirectory(const TemporaryDirectory&) = delete;
  TemporaryDirectory& operator=(const TemporaryDirectory&) = delete;
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

inline FileBytes file_bytes(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) throw std::runtime_error("cannot read " + path.string());
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

inline void set_file_bytes(const std::filesystem::path& path, const FileBytes& bytes) {
  std::ofstream file(path, std::ios::binary | std::ios::trunc);
  file.write(reinterpret_cast<const char*>(bytes.data()),
             static_cast<std::streamsize>(bytes.size()));
  if (!file) throw std::runtime_error("cannot write " + path.string());
}

// Segments of eight pages: a header and seven small entries.
class JournalTest : public ::testing::Test {
 protected:
  static constexpr std::uint64_t kPage = kJournalPageBytes;
  static constexpr std::uint64_t kSegmentPages = 8;

  JournalTest() {
    options_.directory = directory_.path().string();
    options_.segment_bytes = kSegmentPages * kPage;
    options_.files = &files_;
  }

  // Replays into seen_ and positions_.
  Status open(JournalPosition from = 0) {
    journal_.reset();
    seen_.clear();
    positions_.clear();
    replay_ = {};
    const auto visit = [this](JournalPosition at, ByteView payload) {
      seen_.emplace_back(protocol::as_text(payload));
      positions_.push_back(at);
      return Status();
    };
    return Journal::open(options_, from, visit, journal_, replay_);
  }
  void reopen(JournalPosition from = 0) { ASSERT_EQ(open(from), Status()); }

  Status try_append(const std::string& payload, JournalPosition* at = nullptr) {
    const ByteView piece = protocol::as_bytes(payload);
    JournalPosition position = 0;
    Status status = journal_->append({&piece, 1}, position);
    if (at != nullptr) *at = position;
    return status;
  }
  JournalPosition append(const std::string& payload) {
    JournalPosition at = 0;
    EXPECT_EQ(try_append(payload, &at), Status());
    return at;
  }
  JournalPosition append_flushed(const std::string& payload) {
    const JournalPosition at = append(payload);
    EXPECT_EQ(journal_->flush(), Status());
    return at;
  }
  // Entries prefix0, prefix1, ..., a flush each.
  std::vector<std::string> fill(const std::string& prefix, int count) {
    std::vector<std::string> payloads;
    for (int i = 0; i < count; ++i) {
      payloads.push_back(prefix + std::to_string(i));
      append_flushed(payloads.back());
    }
    return payloads;
  }

  std::filesystem::path path(std::uint64_t number) const {
    return directory_.path() / segment_name(number);
  }
  std::vector<std::string> names() const {
    std::vector<std::string> names;
    for (const auto& entry : std::filesystem::directory_iterator(directory_.path())) {
      names.push_back(entry.path().filename().string());
    }
    std::sort(names.begin(), names.end());
    return names;
  }
  void damage(std::uint64_t number, std::uint64_t offset) const {
    FileBytes bytes = file_bytes(path(number));
    bytes.at(offset) ^= 0x10;
    set_file_bytes(path(number), bytes);
  }

  TemporaryDirectory directory_;
  FaultyFiles files_;
  JournalOptions options_;
  std::unique_ptr<Journal> journal_;
  std::vector<std::string> seen_;
  std::vector<JournalPosition> positions_;
  Replay replay_;
};

}  // namespace harrier::persistence_tests
