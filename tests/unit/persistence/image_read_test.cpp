// SPDX-License-Identifier: Apache-2.0
//
// An image that is opened to be read: nothing changes, a short file is told from a whole one as by
// who may write, and a reader that dies gives its pages back.

#include <sys/wait.h>
#include <unistd.h>

#include "tests/unit/persistence/image_fixture.hpp"

namespace harrier::persistence_tests {
namespace {

constexpr QueueId kQueue{3};

class ImageReadTest : public ImageTest {
 protected:
  std::string read_file() const {
    std::ifstream file(path(), std::ios::binary);
    return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  }
  void write_file(const std::string& bytes) const {
    std::ofstream(path(), std::ios::binary | std::ios::trunc) << bytes;
  }
  std::size_t files() const {
    const auto folder = std::filesystem::path(path()).parent_path();
    return static_cast<std::size_t>(std::distance(std::filesystem::directory_iterator(folder), {}));
  }
  Status open_and_check(Image::Access access) const {
    std::unique_ptr<Image> image;
    Status status = access == Image::Access::Writing
                        ? Image::open(path(), std::uint64_t{1} << 30, image)
                        : Image::open_to_read(path(), access, image);
    if (!status.ok()) return status;
    std::unique_ptr<Image::Snapshot> view;
    if (status = image->snapshot(view); !status.ok()) return status;
    return view->check();
  }
  void put(Seq seq, const std::string& body) {
    auto writer = begin();
    writer->put(kQueue, seq, 0, tail_of(body));
    ASSERT_OK(writer->commit());
  }
};

TEST_F(ImageReadTest, NothingIsChangedOrMade) {
  put(1, "first");
  image_.reset();
  std::filesystem::remove(path() + "-lock");
  const std::string before = read_file();
  const std::size_t files_before = files();
  ASSERT_OK(open_and_check(Image::Access::Reading));
  EXPECT_EQ(read_file(), before);
  EXPECT_EQ(files(), files_before);
}

TEST_F(ImageReadTest, WhatIsNotThereIsNotMade) {
  image_.reset();
  std::filesystem::remove(path());
  std::unique_ptr<Image> image;
  EXPECT_FALSE(Image::open_to_read(path(), Image::Access::Reading, image).ok());
  EXPECT_FALSE(std::filesystem::exists(path()));
}

// Free pages at the end may be missing in a file, others may not; the file stays as short as it is.
TEST_F(ImageReadTest, AShortFileIsJudgedAsByAWriter) {
  put(1, "first");
  auto writer = begin();
  const Bytes message = message_of(std::string(100'000, 'x'));
  writer->put_content(1, std::vector<ByteView>{message});
  writer->put_large(QueueId{4}, 1, 0, head_of(1), 1, 100'000);
  ASSERT_OK(writer->commit());
  writer = begin();
  writer->drop(QueueId{4});
  ASSERT_OK(writer->commit());
  writer.reset();
  // What is in use moves to pages that have become free further ahead.
  for (Seq seq = 2; seq < 12; ++seq) put(seq, "later");
  image_.reset();
  const std::string whole = read_file();
  std::size_t accepted = 0;
  std::size_t refused = 0;
  for (std::size_t size = 0; size <= whole.size(); size += 1'024) {
    write_file(whole.substr(0, size));
    const Status reading = open_and_check(Image::Access::Reading);
    EXPECT_EQ(std::filesystem::file_size(path()), size);
    const Status writing = open_and_check(Image::Access::Writing);
    EXPECT_EQ(reading, writing) << size;
    ++(reading.ok() ? accepted : refused);
  }
  EXPECT_GE(accepted, 2u);
  EXPECT_GE(refused, 10u);
}

TEST_F(ImageReadTest, ADeadReaderKeepsNoPages) {
  const auto traffic = [this](Seq from) {
    for (Seq seq = from; seq < from + 200; ++seq) {
      auto writer = begin();
      writer->erase(kQueue, seq - 1, seq - 1);
      writer->put(kQueue, seq, 0, tail_of(std::string(1'000, 'm')));
      ASSERT_OK(writer->commit());
    }
  };
  traffic(1);
  const std::uint64_t before = stats().pages;
  const ::pid_t child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    std::unique_ptr<Image> image;
    std::unique_ptr<Image::Snapshot> view;
    const bool good = Image::open_to_read(path(), Image::Access::ReadingBeside, image).ok() &&
                      image->snapshot(view).ok();
    ::_exit(good ? 0 : 1);  // with the snapshot in its hands
  }
  int result = 0;
  ASSERT_EQ(::waitpid(child, &result, 0), child);
  ASSERT_TRUE(WIFEXITED(result) && WEXITSTATUS(result) == 0);
  traffic(201);
  EXPECT_LE(stats().pages, before + 10);
}

}  // namespace
}  // namespace harrier::persistence_tests
