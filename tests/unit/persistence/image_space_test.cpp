// SPDX-License-Identifier: Apache-2.0
//
// What the image takes: pages in the steady state, a map that is full, copies. Counts, not times.

#include <thread>

#include "tests/unit/persistence/image_fixture.hpp"

namespace harrier::persistence_tests {
namespace {

class ImageSpaceTest : public ImageTest {
 protected:
  void put_many(Image::Writer& writer, QueueId queue, Seq from, Seq up_to, const Bytes& tail) {
    for (Seq seq = from; seq <= up_to; ++seq) writer.put(queue, seq, 0, tail);
  }
};

TEST_F(ImageSpaceTest, TrafficBesideAStuckMessageDoesNotGrowTheFile) {
  constexpr Seq kSlice = 4'000;
  constexpr int kSlices = 50;
  const Bytes tail = tail_of(std::string(1'000, 'm'));  // 50 * 4,000 of them are 200 MB
  auto writer = begin();
  writer->put(QueueId{1}, 1, 0, tail_of("stuck"));
  ASSERT_OK(writer->commit());
  Seq next = 1;
  std::uint64_t after_warm_up = 0;
  for (int slice = 0; slice < kSlices; ++slice) {
    writer = begin();
    if (next > 1) writer->erase(QueueId{2}, next - kSlice, next - 1);
    put_many(*writer, QueueId{2}, next, next + kSlice - 1, tail);
    next += kSlice;
    ASSERT_OK(writer->commit());
    if (writer->garbage_left()) sweep_all(100'000);
    if (slice == 9) after_warm_up = stats().pages;
  }
  const Image::Stats stats = this->stats();
  // A slice is about 4,000 / 3 leaves: an old and a new one, and what waits for two commits each.
  EXPECT_LE(stats.pages, std::uint64_t{5} * kSlice / 3 + 500);
  EXPECT_LE(stats.pages, after_warm_up + after_warm_up / 10);
  EXPECT_LE(stats.file_bytes, stats.pages * stats.page_bytes);
  EXPECT_EQ(seqs(*snapshot(), QueueId{1}), std::vector<Seq>{1});
  expect_sound();
}

TEST_F(ImageSpaceTest, AscendingRowsFillTheirLeavesInEveryQueue) {
  constexpr Seq kMessages = 3'000;
  const Bytes tail = tail_of(std::string(300, 'm'));
  auto writer = begin();
  for (Seq seq = 1; seq <= kMessages; seq += 100) {
    for (std::uint64_t queue = 1; queue <= 5; ++queue) {
      put_many(*writer, QueueId{queue}, seq, seq + 99, tail);
    }
  }
  ASSERT_OK(writer->commit());
  // LMDB's own 8 bytes per node and 2 per index, 16 of key, 9 in front of the tail.
  const std::uint64_t row = tail.size() + 8 + 2 + 16 + 9;
  const std::uint64_t full_leaves = 5 * kMessages / (4'080 / row);
  EXPECT_LE(stats().pages - stats().free_pages, full_leaves * 11 / 10 + 50);
}

TEST_F(ImageSpaceTest, TheLastQueueFillsItsLeavesWithLargeRowsToo) {
  constexpr Seq kMessages = 3'000;
  for (Seq seq = 1; seq <= kMessages; seq += 500) {
    auto writer = begin();
    put_many(*writer, kQueue, seq, seq + 499, tail_of(std::string(1'100, 'm')));
    ASSERT_OK(writer->commit());
  }
  EXPECT_LE(stats().pages - stats().free_pages, kMessages / 3 * 11 / 10 + 50);
}

TEST_F(ImageSpaceTest, AFullMapIsReportedAndPasses) {
  image_.reset();
  map_bytes_ = std::uint64_t{1} << 22;
  open();
  const Bytes tail = tail_of(std::string(1'500, 'm'));
  Seq next = 1;
  Status status;
  while (status.ok()) {
    auto writer = begin();
    ASSERT_TRUE(writer);
    put_many(*writer, kQueue, next, next + 99, tail);
    status = writer->commit();
    if (status.ok()) next += 100;
    ASSERT_LT(next, 10'000u);
  }
  EXPECT_TRUE(status.is_full()) << status.error();
  const auto held = [this] { return seqs(*snapshot()).size(); };
  EXPECT_EQ(held(), next - 1);
  expect_sound();
  auto writer = begin();
  writer->erase(kQueue, 1, 500);
  ASSERT_OK(writer->commit());
  EXPECT_EQ(held(), next - 501);
  // What one commit frees can be used from the one after the next on.
  for (int i = 0; i < 2; ++i) {
    writer = begin();
    writer->set_seq_max(kQueue, next + 1'000);
    ASSERT_OK(writer->commit());
  }
  writer = begin();
  put_many(*writer, kQueue, next, next + 99, tail);
  ASSERT_OK(writer->commit());
  EXPECT_EQ(held(), next - 401);
  expect_sound();
  reopen();
  expect_sound();
}

TEST_F(ImageSpaceTest, ACopyIsAnImage) {
  auto writer = begin();
  put_many(*writer, kQueue, 1, 900, tail_of(std::string(1'500, 'm')));
  writer->set_meta({.journal = 42, .clean = true, .next_content = 3, .store = 4});
  ASSERT_OK(writer->commit());
  writer = begin();
  writer->erase(kQueue, 1, 890);
  ASSERT_OK(writer->commit());
  for (const bool compact : {false, true}) {
    const std::string name = folder_.file(compact ? "compact.mdb" : "plain.mdb");
    ASSERT_OK(image_->copy_to(name, compact));
    std::unique_ptr<Image> copy;
    ASSERT_OK(Image::open(name, map_bytes_, copy));
    std::unique_ptr<Image::Snapshot> view;
    ASSERT_OK(copy->snapshot(view));
    ASSERT_OK(view->check());
    EXPECT_EQ(seqs(*view), seqs(*snapshot()));
    Image::Meta meta;
    ASSERT_OK(view->meta(meta));
    EXPECT_EQ(meta.journal, 42u);
    view.reset();
    Image::Stats copied;
    ASSERT_OK(copy->stats(copied));
    EXPECT_TRUE(!compact || copied.file_bytes < stats().file_bytes / 10);
    EXPECT_EQ(image_->copy_to(name, compact).error(), name + " exists already");
  }
  EXPECT_FALSE(image_->copy_to(folder_.file("no/such/folder.mdb"), false).ok());
}

TEST_F(ImageSpaceTest, ManySnapshotsOfManyThreads) {
  auto writer = begin();
  put_many(*writer, kQueue, 1, 100, tail_of("x"));
  ASSERT_OK(writer->commit());
  std::vector<std::thread> readers;
  std::vector<std::size_t> wrong(4, 0);
  for (std::size_t reader = 0; reader < wrong.size(); ++reader) {
    readers.emplace_back([this, &count = wrong[reader]] {
      for (int i = 0; i < 300; ++i) {
        std::unique_ptr<Image::Snapshot> view;
        std::size_t rows = 0;
        bool good = image_->snapshot(view).ok();
        good = good && view->read(kQueue, 0, [&rows](const auto&) { return ++rows > 0; }).ok();
        // Each commit moves the window of 100.
        if (!good || rows != 100) ++count;
      }
    });
  }
  for (Seq seq = 1; seq <= 50; ++seq) {
    writer = begin();
    writer->erase(kQueue, seq, seq);
    writer->put(kQueue, seq + 100, 0, tail_of("x"));
    EXPECT_TRUE(writer->commit().ok());
  }
  for (std::thread& reader : readers) reader.join();
  EXPECT_EQ(wrong, std::vector<std::size_t>(4, 0));
  expect_sound();
}

}  // namespace
}  // namespace harrier::persistence_tests
