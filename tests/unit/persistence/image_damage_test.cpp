// SPDX-License-Identifier: Apache-2.0
//
// Files that are not what they should be: each gives an error that says so, or what was stored;
// never anything else.

#include <sys/wait.h>
#include <unistd.h>

#include <random>

#include "persistence/image_format.hpp"
#include "persistence/lmdb.hpp"
#include "tests/unit/persistence/image_fixture.hpp"

namespace harrier::persistence_tests {
namespace {

namespace lmdb = persistence::lmdb;
namespace image = persistence::image;

class ImageDamageTest : public ImageTest {
 protected:
  // Rows of every kind, over several pages of each database that can have them.
  void fill() {
    const std::string body(30'000, 'L');
    const Bytes message = message_of(body);
    auto writer = begin();
    for (Seq seq = 1; seq <= 200; ++seq) writer->put(kQueue, seq, 0, tail_of(marked(seq)));
    writer->put_content(1, std::vector<ByteView>{message});
    writer->put_large(kQueue, 201, 0, head_of(1), 1, content_bytes_of(body));
    writer->define({Kind::Queue, "/", "marked definition", Bytes(100, 5)});
    ASSERT_OK(writer->commit());
    // Some free pages too.
    writer = begin();
    writer->erase(kQueue, 50, 120);
    ASSERT_OK(writer->commit());
  }
  static std::string marked(Seq seq) {
    return "marked " + std::to_string(seq) + std::string(300, 'x');
  }

  std::string read_file() {
    std::ifstream in(path(), std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
  }
  void write_file(const std::string& bytes) {
    std::ofstream out(path(), std::ios::binary | std::ios::trunc);
    out.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
    out.close();
    ASSERT_TRUE(out.good());
  }

  // Everything there is, as text; or what is wrong.
  static Status read_all(const std::string& path, std::string& out) {
    std::unique_ptr<Image> image;
    if (Status status = Image::open(path, std::uint64_t{1} << 30, image); !status.ok())
      return status;
    std::unique_ptr<Image::Snapshot> view;
    if (Status status = image->snapshot(view); !status.ok()) return status;
    std::vector<Define> definitions;
    if (Status status = view->definitions(definitions); !status.ok()) return status;
    for (const Define& definition : definitions) {
      out += definition.name;
      out.append(definition.value.begin(), definition.value.end());
    }
    std::vector<QueueId> queues;
    Status status = view->queues([&](const Image::Snapshot::Queue& queue) {
      queues.push_back(queue.queue);
      out += std::to_string(queue.messages) + " " + std::to_string(queue.bytes) + "\n";
      return true;
    });
    std::vector<std::uint64_t> contents;
    for (std::size_t i = 0; status.ok() && i < queues.size(); ++i) {
      status = view->read(queues[i], 0, [&](const Image::Snapshot::Row& row) {
        out += std::to_string(row.seq) + " " + std::to_string(row.delivery_count);
        out.append(row.bytes.begin(), row.bytes.end());
        if (row.large) contents.push_back(row.content);
        return true;
      });
    }
    for (std::size_t i = 0; status.ok() && i < contents.size(); ++i) {
      status = view->content(contents[i],
                             [&](ByteView bytes) { out.append(bytes.begin(), bytes.end()); });
    }
    return status.ok() ? view->check() : status;
  }

  Status open_fails() {
    std::unique_ptr<Image> found;
    Status status = Image::open(path(), map_bytes_, found);
    EXPECT_FALSE(status.ok());
    EXPECT_FALSE(status.is_full());
    return status;
  }

  // An environment with one row in one database of it.
  void write_environment(const char* database, ByteView key, ByteView body) {
    std::unique_ptr<lmdb::Environment> environment;
    ASSERT_TRUE(lmdb::Environment::open({path(), 1U << 24, 16, 8}, environment).ok());
    lmdb::Transaction transaction;
    ASSERT_TRUE(transaction.begin_write(*environment).ok());
    lmdb::Database id = 0;
    ASSERT_TRUE(transaction.open(database, true, id).ok());
    {
      lmdb::Cursor cursor;
      ASSERT_TRUE(cursor.open(transaction, id).ok());
      ASSERT_TRUE(image::put_row(cursor, key, body).ok());
    }
    ASSERT_TRUE(transaction.commit().ok());
  }
};

TEST_F(ImageDamageTest, AForeignFileIsNotTouched) {
  image_.reset();
  const std::string text = "This is a diary, not a database.\n" + std::string(10'000, '.');
  write_file(text);
  EXPECT_EQ(open_fails().error(), path() +
                                      " is not a store of Harrier, or its header is damaged; "
                                      "restore the data directory from a backup");
  EXPECT_EQ(read_file(), text);
}

TEST_F(ImageDamageTest, AForeignEnvironmentIsNotTouched) {
  image_.reset();
  for (const char* const database : {"theirs", "meta"}) {
    std::filesystem::remove(path());
    write_environment(database, protocol::as_bytes("key"), protocol::as_bytes("value"));
    const std::string before = read_file();
    EXPECT_EQ(open_fails().error(), path() + " is an LMDB file, but not a store of Harrier");
    EXPECT_EQ(read_file(), before);
  }
}

TEST_F(ImageDamageTest, ANewerFormatIsRefused) {
  image_.reset();
  Bytes format(image::kFormatMark.size() + 4);
  protocol::put_u32(protocol::put_raw(format.data(), protocol::as_bytes(image::kFormatMark)),
                    image::kFormat + 1);
  write_environment("meta", protocol::as_bytes(image::kFormatKey), format);
  EXPECT_EQ(open_fails().error(), path() +
                                      " has format 2, this program knows up to 1: start the "
                                      "newer Harrier that wrote it");
}

TEST_F(ImageDamageTest, AFolderOrNoFolderIsAnError) {
  std::unique_ptr<Image> found;
  const std::string nowhere = folder_.file("no/such/store.mdb");
  EXPECT_EQ(Image::open(nowhere, map_bytes_, found).error(),
            nowhere + ".new cannot be opened: No such file or directory");
  const std::string folder = folder_.file("folder");
  std::filesystem::create_directory(folder);
  EXPECT_FALSE(Image::open(folder, map_bytes_, found).ok());
}

TEST_F(ImageDamageTest, ATruncatedFileIsAnError) {
  fill();
  image_.reset();
  const std::string whole = read_file();
  std::string expected;
  ASSERT_OK(read_all(path(), expected));
  std::size_t refused = 0;
  for (std::size_t size = 0; size < whole.size(); size += 1'365) {
    write_file(whole.substr(0, size));
    std::string found;
    const Status status = read_all(path(), found);
    if (status.ok()) {
      // Only free pages are missing.
      EXPECT_EQ(found, expected) << size;
    } else {
      ++refused;
      EXPECT_EQ(std::filesystem::file_size(path()), size);
    }
  }
  EXPECT_GT(refused, whole.size() / 1'365 / 2);
}

TEST_F(ImageDamageTest, AFileWithoutItsFreePagesAtTheEndIsWhole) {
  auto writer = begin();
  writer->put(kQueue, 1, 0, tail_of("first"));
  ASSERT_OK(writer->commit());
  writer = begin();
  const Bytes message = message_of(std::string(100'000, 'x'));
  writer->put_content(1, std::vector<ByteView>{message});
  writer->put_large(QueueId{4}, 1, 0, head_of(1), 1, 100'000);
  ASSERT_OK(writer->commit());
  writer = begin();
  writer->drop(QueueId{4});
  ASSERT_OK(writer->commit());
  const Image::Stats stats = this->stats();
  ASSERT_GT(stats.free_pages, 20u);
  image_.reset();
  // LMDB allocates ascending: among the last pages are some of the content. Cut as far as goes.
  const std::string whole = read_file();
  const std::size_t page = stats.page_bytes;
  std::size_t accepted = 0;
  for (std::size_t pages = stats.pages; pages > 2; --pages) {
    write_file(whole.substr(0, pages * page));
    std::string found;
    if (!read_all(path(), found).ok()) break;
    EXPECT_NE(found.find("first"), std::string::npos);
    ++accepted;
  }
  EXPECT_GE(accepted, 1u);
}

// LMDB trusts its own header, so a mistake here would be a division by zero or SIGBUS: each flip is
// looked at by a process of its own.
TEST_F(ImageDamageTest, AFlippedBitOfAHeaderEndsNoProcess) {
  fill();
  const std::size_t page = stats().page_bytes;
  image_.reset();
  const std::string whole = read_file();
  std::size_t refused = 0;
  for (std::size_t bit = 0; bit < 2 * 28 * 8; ++bit) {
    // From the magic to the page size, of both headers.
    const std::size_t at = 16 + bit / 8 % 28 + (bit / 8 >= 28 ? page : 0);
    std::string damaged = whole;
    damaged[at] = static_cast<char>(damaged[at] ^ (1 << bit % 8));
    write_file(damaged);
    const ::pid_t child = ::fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      std::string found;
      ::_exit(read_all(path(), found).ok() ? 0 : 1);
    }
    int result = 0;
    ASSERT_EQ(::waitpid(child, &result, 0), child);
    ASSERT_TRUE(WIFEXITED(result)) << "bit " << bit << ", signal " << WTERMSIG(result);
    if (WEXITSTATUS(result) == 1) ++refused;
  }
  EXPECT_GE(refused, std::size_t{2} * 12 * 8);  // magic, version, page size
}

TEST_F(ImageDamageTest, EveryFlippedBitOfARowIsFound) {
  fill();
  image_.reset();
  const std::string whole = read_file();
  std::mt19937 random(1);
  for (const std::string& mark :
       {marked(7), marked(200), std::string("marked definition"), std::string(3'000, 'L')}) {
    std::string expected;
    std::size_t found_at = 0;
    for (std::size_t at = whole.find(mark); at != std::string::npos;
         at = whole.find(mark, at + mark.size())) {
      ++found_at;
      std::string damaged = whole;
      char& byte = damaged[at + random() % mark.size()];
      byte = static_cast<char>(byte ^ (1 << random() % 8));
      write_file(damaged);
      std::string found;
      const Status status = read_all(path(), found);
      // Copies on free pages are nobody's; there is one that counts.
      if (!status.ok()) {
        EXPECT_NE(status.error().find("store.mdb is damaged: "), std::string::npos);
        expected = "found";
      }
    }
    EXPECT_GE(found_at, 1u);
    EXPECT_EQ(expected, "found");
  }
}

TEST_F(ImageDamageTest, ADamagedMessageIsNamedAndCanBeErased) {
  fill();
  image_.reset();
  std::string bytes = read_file();
  for (std::size_t at = bytes.find(marked(7)); at != std::string::npos;
       at = bytes.find(marked(7), at)) {
    bytes[at + 20] = '!';
  }
  write_file(bytes);
  open();
  std::vector<Seq> before;
  const Status status = snapshot()->read(kQueue, 0, [&before](const auto& row) {
    before.push_back(row.seq);
    return true;
  });
  EXPECT_EQ(status.error(),
            "store.mdb is damaged: message 7 of queue 3; restore the data directory from a backup");
  EXPECT_EQ(before, (std::vector<Seq>{1, 2, 3, 4, 5, 6}));
  auto writer = begin();
  writer->erase(kQueue, 7, 7);
  ASSERT_OK(writer->commit());
  expect_sound();
}

}  // namespace
}  // namespace harrier::persistence_tests
