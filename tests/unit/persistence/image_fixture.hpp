// SPDX-License-Identifier: Apache-2.0
//
// What the image's tests share: a temporary folder that goes with the test, encoded messages, and
// an image in that folder that can be closed and opened again.
#pragma once

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "persistence/image.hpp"
#include "persistence/image_snapshot.hpp"
#include "persistence/image_writer.hpp"

namespace harrier::persistence_tests {

using persistence::Bytes;
using persistence::Define;
using persistence::Forget;
using persistence::Image;
using persistence::Kind;
using persistence::QueueId;
using persistence::Seq;
using persistence::Status;
using protocol::ByteView;

class TemporaryFolder {
 public:
  TemporaryFolder() {
    std::string name = (std::filesystem::temp_directory_path() / "harrier-image-XXXXXX").string();
    if (::mkdtemp(name.data()) == nullptr) throw std::runtime_error("no temporary folder");
    path_ = name;
  }
  ~TemporaryFolder() {
    std::error_code error;
    std::filesystem::remove_all(path_, error);
  }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  std::string file(const std::string& name) const { return (path_ / name).string(); }

 private:
  std::filesystem::path path_;
};

// exchange:short routing-key:short properties:long body:long
inline Bytes message_of(const std::string& body) {
  Bytes out(1 + 2 + 1 + 3 + 4 + 2 + 4 + body.size());
  std::uint8_t* at = protocol::put_shortstr(out.data(), "ex");
  at = protocol::put_shortstr(at, "key");
  at = protocol::put_longstr(at, std::string(2, '\0'));
  protocol::put_longstr(at, body);
  return out;
}
inline std::uint64_t content_bytes_of(const std::string& body) { return 2 + 3 + 2 + body.size(); }

// enqueued-at:i64 expiry
inline Bytes head_of(std::uint64_t enqueued_at, std::optional<std::uint64_t> expires_at = {}) {
  Bytes out(8 + (expires_at ? 9 : 1));
  std::uint8_t* at = protocol::put_u64(out.data(), enqueued_at);
  at = protocol::put_u8(at, expires_at ? 1 : 0);
  if (expires_at) protocol::put_u64(at, *expires_at);
  return out;
}

inline Bytes tail_of(const std::string& body, std::uint64_t enqueued_at = 7,
                     std::optional<std::uint64_t> expires_at = {}) {
  Bytes out = head_of(enqueued_at, expires_at);
  const Bytes message = message_of(body);
  out.insert(out.end(), message.begin(), message.end());
  return out;
}

inline Bytes to_bytes(ByteView view) { return {view.begin(), view.end()}; }

#define ASSERT_OK(expression)                                      \
  do {                                                             \
    const ::harrier::persistence::Status ok_status = (expression); \
    ASSERT_TRUE(ok_status.ok()) << ok_status.error();              \
  } while (false)

class ImageTest : public testing::Test {
 protected:
  static constexpr QueueId kQueue{3};

  void SetUp() override { open(); }

  void open() {
    const Status status = Image::open(path(), map_bytes_, image_);
    ASSERT_TRUE(status.ok()) << status.error();
  }
  void reopen() {
    image_.reset();
    open();
  }
  std::string path() const { return folder_.file("store.mdb"); }

  std::unique_ptr<Image::Writer> begin() {
    std::unique_ptr<Image::Writer> writer;
    const Status status = image_->begin(writer);
    EXPECT_TRUE(status.ok()) << status.error();
    return writer;
  }
  std::unique_ptr<Image::Snapshot> snapshot() {
    std::unique_ptr<Image::Snapshot> snapshot;
    const Status status = image_->snapshot(snapshot);
    EXPECT_TRUE(status.ok()) << status.error();
    return snapshot;
  }
  Image::Stats stats() {
    Image::Stats stats;
    const Status status = image_->stats(stats);
    EXPECT_TRUE(status.ok()) << status.error();
    return stats;
  }
  static std::vector<Seq> seqs(Image::Snapshot& snapshot, QueueId queue = kQueue, Seq from = 0) {
    std::vector<Seq> found;
    const Status status = snapshot.read(queue, from, [&found](const Image::Snapshot::Row& row) {
      found.push_back(row.seq);
      return true;
    });
    EXPECT_TRUE(status.ok()) << status.error();
    return found;
  }
  static std::optional<Image::Snapshot::Queue> queue(Image::Snapshot& snapshot,
                                                     QueueId id = kQueue) {
    std::optional<Image::Snapshot::Queue> found;
    const Status status = snapshot.queue(id, found);
    EXPECT_TRUE(status.ok()) << status.error();
    return found;
  }
  // Counts the slices.
  std::size_t sweep_all(std::size_t rows_max) {
    std::size_t slices = 0;
    for (bool more = true; more; ++slices) {
      const Status status = image_->sweep(rows_max, more);
      EXPECT_TRUE(status.ok()) << status.error();
      if (!status.ok()) break;
    }
    return slices;
  }
  void expect_sound() {
    const Status status = snapshot()->check();
    EXPECT_TRUE(status.ok()) << status.error();
  }

  TemporaryFolder folder_;
  std::uint64_t map_bytes_ = std::uint64_t{1} << 33;
  std::unique_ptr<Image> image_;
};

}  // namespace harrier::persistence_tests
