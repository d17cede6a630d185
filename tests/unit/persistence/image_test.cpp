// SPDX-License-Identifier: Apache-2.0
#include "persistence/image.hpp"

#include <limits>

#include "tests/unit/persistence/image_fixture.hpp"

namespace harrier::persistence_tests {
namespace {

using Row = Image::Snapshot::Row;
using Queue = Image::Snapshot::Queue;
using Count = Image::Snapshot::Count;

constexpr Seq kSeqMax = std::numeric_limits<Seq>::max();

TEST_F(ImageTest, ANewOneIsEmpty) {
  const auto view = snapshot();
  Image::Meta meta;
  ASSERT_OK(view->meta(meta));
  EXPECT_EQ(meta, Image::Meta());
  std::vector<Define> definitions;
  ASSERT_OK(view->definitions(definitions));
  EXPECT_TRUE(definitions.empty());
  std::size_t queues = 0;
  ASSERT_OK(view->queues([&queues](const Queue&) { return ++queues > 0; }));
  EXPECT_EQ(queues, 0u);
  EXPECT_EQ(seqs(*view), std::vector<Seq>{});
  ASSERT_OK(view->check());
}

TEST_F(ImageTest, KeepsMetaOverARestart) {
  const Image::Meta meta{.journal = 1234, .clean = false, .next_content = 77, .store = 0xABCDEF};
  auto writer = begin();
  writer->set_meta(meta);
  ASSERT_OK(writer->commit());
  reopen();
  Image::Meta found;
  ASSERT_OK(snapshot()->meta(found));
  EXPECT_EQ(found, meta);
}

TEST_F(ImageTest, GivesBackWhatWasPut) {
  auto writer = begin();
  writer->put(kQueue, 5, 0, tail_of("five"));
  writer->put(kQueue, 9, 2, tail_of("nine", 11, 12));
  writer->put(QueueId{4}, 1, 0, tail_of(""));
  ASSERT_OK(writer->commit());
  reopen();
  const auto view = snapshot();
  EXPECT_EQ(seqs(*view), (std::vector<Seq>{5, 9}));
  EXPECT_EQ(seqs(*view, kQueue, 6), (std::vector<Seq>{9}));
  std::optional<Row> row;
  ASSERT_OK(view->find(kQueue, 9, row));
  ASSERT_TRUE(row);
  EXPECT_EQ(row->delivery_count, 2u);
  EXPECT_FALSE(row->large);
  EXPECT_EQ(to_bytes(row->bytes), tail_of("nine", 11, 12));
  EXPECT_EQ(row->content_bytes, content_bytes_of("nine"));
  ASSERT_OK(view->find(kQueue, 6, row));
  EXPECT_FALSE(row);
  EXPECT_EQ(queue(*view), (Queue{kQueue, 9, 2, content_bytes_of("fivenine") + 7}));
  EXPECT_EQ(queue(*view, QueueId{4}), (Queue{QueueId{4}, 1, 1, content_bytes_of("")}));
  EXPECT_EQ(queue(*view, QueueId{5}), std::nullopt);
}

TEST_F(ImageTest, AReplacedRowCountsOnce) {
  auto writer = begin();
  writer->put(kQueue, 5, 0, tail_of("short"));
  writer->put(kQueue, 5, 1, tail_of("something longer"));
  ASSERT_OK(writer->commit());
  writer = begin();
  writer->put(kQueue, 5, 2, tail_of("x"));
  ASSERT_OK(writer->commit());
  EXPECT_EQ(queue(*snapshot()), (Queue{kQueue, 5, 1, content_bytes_of("x")}));
  expect_sound();
}

TEST_F(ImageTest, DeliveryCountsChangeOnlyWhatIsThere) {
  auto writer = begin();
  writer->put(kQueue, 5, 0, tail_of("a"));
  writer->set_delivery_count(kQueue, 5, 3);
  writer->set_delivery_count(kQueue, 6, 3);
  writer->set_delivery_count(QueueId{99}, 5, 3);
  ASSERT_OK(writer->commit());
  const auto view = snapshot();
  std::optional<Row> row;
  ASSERT_OK(view->find(kQueue, 5, row));
  ASSERT_TRUE(row);
  EXPECT_EQ(row->delivery_count, 3u);
  EXPECT_EQ(to_bytes(row->bytes), tail_of("a"));
  EXPECT_EQ(seqs(*view), std::vector<Seq>{5});
  EXPECT_EQ(queue(*view, QueueId{99}), std::nullopt);
}

TEST_F(ImageTest, AnEmptiedQueueKeepsItsHighestPosition) {
  auto writer = begin();
  writer->put(kQueue, 5, 0, tail_of("a"));
  writer->erase(kQueue, 5, 5);
  writer->set_seq_max(kQueue, 8);
  writer->set_seq_max(kQueue, 7);
  writer->set_seq_max(QueueId{4}, 2);
  ASSERT_OK(writer->commit());
  EXPECT_EQ(queue(*snapshot()), (Queue{kQueue, 8, 0, 0}));
  EXPECT_EQ(queue(*snapshot(), QueueId{4}), (Queue{QueueId{4}, 2, 0, 0}));
  expect_sound();
}

TEST_F(ImageTest, ASnapshotStaysAsItWas) {
  auto writer = begin();
  writer->put(kQueue, 1, 0, tail_of("old"));
  ASSERT_OK(writer->commit());
  const auto before = snapshot();
  writer = begin();
  writer->erase(kQueue, 1, 1);
  writer->put(kQueue, 2, 0, tail_of("new"));
  EXPECT_EQ(seqs(*snapshot()), std::vector<Seq>{1});  // not committed yet
  ASSERT_OK(writer->commit());
  EXPECT_EQ(seqs(*before), std::vector<Seq>{1});
  std::optional<Row> row;
  ASSERT_OK(before->find(kQueue, 1, row));
  ASSERT_TRUE(row);
  EXPECT_EQ(to_bytes(row->bytes), tail_of("old"));
  EXPECT_EQ(seqs(*snapshot()), std::vector<Seq>{2});
}

TEST_F(ImageTest, AnAbandonedWriterChangesNothing) {
  {
    const auto writer = begin();
    writer->put(kQueue, 1, 0, tail_of("a"));
  }
  EXPECT_EQ(seqs(*snapshot()), std::vector<Seq>{});
  auto writer = begin();
  writer->put(kQueue, 2, 0, tail_of("b"));
  ASSERT_OK(writer->commit());
  EXPECT_EQ(seqs(*snapshot()), std::vector<Seq>{2});
}

TEST_F(ImageTest, CountsPartsOfAQueue) {
  auto writer = begin();
  for (Seq seq = 10; seq < 20; ++seq) writer->put(kQueue, seq, 0, tail_of("abc"));
  writer->erase(kQueue, 15, 15);
  ASSERT_OK(writer->commit());
  const auto view = snapshot();
  const std::uint64_t each = content_bytes_of("abc");
  Count count;
  ASSERT_OK(view->count(kQueue, 12, 16, count));
  EXPECT_EQ(count, (Count{4, 4 * each}));
  ASSERT_OK(view->count(kQueue, 0, kSeqMax, count));
  EXPECT_EQ(count, (Count{9, 9 * each}));
  ASSERT_OK(view->count(kQueue, 16, 12, count));
  EXPECT_EQ(count, Count{});
  ASSERT_OK(view->count(QueueId{99}, 0, kSeqMax, count));
  EXPECT_EQ(count, Count{});
}

TEST_F(ImageTest, DefinitionsComeInOrderWhateverTheirNamesAre) {
  const std::string long_name(3'000, 'n');
  const std::vector<Define> sorted = {
      {Kind::Vhost, "", "/", {1}},
      {Kind::Queue, "/", "", {}},
      {Kind::Queue, "/", "a", {2, 3}},
      {Kind::Queue, "/", "b", Bytes(5'000, 9)},
      {Kind::Queue, "/", std::string("b\0c", 3), {4}},
      {Kind::Queue, "/b", "", {5}},
      {Kind::Binding, "/", long_name, {6}},
      {Kind::Binding, "/", long_name + "x", {7}},
      {Kind::Binding, long_name, "", {8}},
  };
  auto writer = begin();
  for (auto at = sorted.rbegin(); at != sorted.rend(); ++at) writer->define({*at});
  writer->define({Kind::Binding, "/", long_name + "y", {1}});
  writer->define({Kind::Queue, "/", "c", {1}});
  ASSERT_OK(writer->commit());
  writer = begin();
  writer->forget({Kind::Binding, "/", long_name + "y"});
  writer->forget({Kind::Binding, "/", long_name + "z"});
  writer->forget({Kind::Queue, "/", "c"});
  writer->forget({Kind::Queue, "/", "never"});
  writer->define({Kind::Binding, "/", long_name, {66}});
  ASSERT_OK(writer->commit());
  reopen();
  std::vector<Define> expected = sorted;
  expected[6].value = {66};
  std::vector<Define> found;
  ASSERT_OK(snapshot()->definitions(found));
  EXPECT_EQ(found, expected);
}

TEST_F(ImageTest, AContentLivesAsLongAsARowRefersToIt) {
  const std::string body(20'000, 'b');
  const Bytes message = message_of(body);
  constexpr std::uint64_t kId = 17;
  auto writer = begin();
  for (std::uint64_t id = 0; id < 100; ++id) {
    // The content in the midst of its references, and in pieces that are no multiples of parts.
    if (id == 50) {
      const ByteView all(message);
      const std::vector<ByteView> pieces = {
          all.first(1), {}, all.subspan(1, 7'000), all.subspan(7'001)};
      writer->put_content(kId, pieces);
    }
    writer->put_large(QueueId{id}, 1, 0, head_of(id), kId, content_bytes_of(body));
  }
  ASSERT_OK(writer->commit());
  EXPECT_EQ(stats().parts, (message.size() + 4'075) / 4'076);
  for (std::uint64_t id = 0; id < 100; ++id) {
    reopen();
    Bytes content;
    std::optional<Row> row;
    {
      const auto view = snapshot();
      ASSERT_OK(view->check());
      ASSERT_OK(view->find(QueueId{id}, 1, row));
      ASSERT_TRUE(row);
      EXPECT_TRUE(row->large);
      EXPECT_EQ(to_bytes(row->bytes), head_of(id));
      EXPECT_EQ(row->content_bytes, content_bytes_of(body));
      ASSERT_OK(view->content(row->content, content));
      EXPECT_EQ(content, message);
    }
    writer = begin();
    if (id % 3 == 0) {
      writer->erase(QueueId{id}, 1, 1);
    } else if (id % 3 == 1) {
      writer->drop(QueueId{id});
    } else {
      writer->put(QueueId{id}, 1, 0, tail_of("small"));
    }
    ASSERT_OK(writer->commit());
  }
  EXPECT_EQ(stats().parts, 0u);
  EXPECT_EQ(stats().contents, 0u);
  Bytes content;
  const Status gone = snapshot()->content(kId, content);
  EXPECT_EQ(
      gone.error(),
      "store.mdb is damaged: content 17 is missing; restore the data directory from a backup");
  expect_sound();
}

TEST_F(ImageTest, AContentWithoutReferencesIsNotKept) {
  const Bytes message = message_of("body");
  auto writer = begin();
  writer->put_content(1, std::vector<ByteView>{message});
  writer->put_content(2, std::vector<ByteView>{message});
  writer->put_large(kQueue, 1, 0, head_of(1), 2, content_bytes_of("body"));
  writer->erase(kQueue, 1, 1);
  ASSERT_OK(writer->commit());
  EXPECT_EQ(stats().contents, 0u);
  EXPECT_EQ(stats().parts, 0u);
}

TEST_F(ImageTest, AReferenceToNothingFailsTheCommit) {
  auto writer = begin();
  writer->put(kQueue, 1, 0, tail_of("a"));
  writer->put_large(kQueue, 2, 0, head_of(1), 5, 10);
  const Status status = writer->commit();
  EXPECT_EQ(status.error(), "content 5 is referred to, not there");
  EXPECT_FALSE(status.is_full());
  EXPECT_EQ(seqs(*snapshot()), std::vector<Seq>{});
}

TEST_F(ImageTest, AContentThatIsThereIsNotPutAgain) {
  const Bytes message = message_of("body");
  auto writer = begin();
  writer->put_content(5, std::vector<ByteView>{message});
  writer->put_large(kQueue, 2, 0, head_of(1), 5, content_bytes_of("body"));
  ASSERT_OK(writer->commit());
  writer = begin();
  writer->put_content(5, std::vector<ByteView>{message_of("other")});
  ASSERT_OK(writer->commit());
  Bytes content;
  ASSERT_OK(snapshot()->content(5, content));
  EXPECT_EQ(content, message);
}

TEST_F(ImageTest, ALargePurgeIsDoneAtOnceAndSweptInSlices) {
  constexpr Seq kMessages = 5'000;
  auto writer = begin();
  for (Seq seq = 1; seq <= kMessages; ++seq) writer->put(kQueue, seq, 0, tail_of("x"));
  writer->put(QueueId{4}, 1, 0, tail_of("the neighbour"));
  ASSERT_OK(writer->commit());
  writer = begin();
  writer->erase(kQueue, 0, kMessages);
  writer->put(kQueue, kMessages + 1, 0, tail_of("next"));
  ASSERT_OK(writer->commit());
  EXPECT_TRUE(writer->garbage_left());
  EXPECT_EQ(stats().message_rows, kMessages + 2);
  reopen();
  const Queue expected{kQueue, kMessages + 1, 1, content_bytes_of("next")};
  EXPECT_EQ(seqs(*snapshot()), std::vector<Seq>{kMessages + 1});
  EXPECT_EQ(queue(*snapshot()), expected);
  expect_sound();
  EXPECT_GE(sweep_all(1'000), 5u);
  EXPECT_EQ(stats().message_rows, 2u);
  EXPECT_EQ(stats().garbage, 0u);
  EXPECT_EQ(queue(*snapshot()), expected);
  EXPECT_EQ(seqs(*snapshot(), QueueId{4}), std::vector<Seq>{1});
  expect_sound();
}

TEST_F(ImageTest, APurgeOfAPartCountsWhatItTakes) {
  constexpr Seq kMessages = 5'000;
  auto writer = begin();
  for (Seq seq = 1; seq <= kMessages; ++seq) writer->put(kQueue, seq, 0, tail_of("x"));
  ASSERT_OK(writer->commit());
  writer = begin();
  writer->erase(kQueue, 2, kMessages - 1);
  ASSERT_OK(writer->commit());
  EXPECT_TRUE(writer->garbage_left());
  const auto view = snapshot();
  EXPECT_EQ(seqs(*view), (std::vector<Seq>{1, kMessages}));
  EXPECT_EQ(queue(*view), (Queue{kQueue, kMessages, 2, 2 * content_bytes_of("x")}));
  Count count;
  ASSERT_OK(view->count(kQueue, 1, kMessages - 1, count));
  EXPECT_EQ(count, (Count{1, content_bytes_of("x")}));
  std::optional<Row> row;
  ASSERT_OK(view->find(kQueue, 2'000, row));
  EXPECT_FALSE(row);
}

TEST_F(ImageTest, ADroppedQueueReleasesItsContentsWhenItIsSwept) {
  constexpr Seq kMessages = 3'000;
  const Bytes message = message_of("shared");
  auto writer = begin();
  writer->put_content(1, std::vector<ByteView>{message});
  for (Seq seq = 1; seq <= kMessages; ++seq) {
    writer->put_large(kQueue, seq, 0, head_of(seq), 1, content_bytes_of("shared"));
  }
  ASSERT_OK(writer->commit());
  writer = begin();
  writer->drop(kQueue);
  ASSERT_OK(writer->commit());
  EXPECT_EQ(queue(*snapshot()), std::nullopt);
  EXPECT_EQ(seqs(*snapshot()), std::vector<Seq>{});
  EXPECT_EQ(stats().contents, 1u);
  expect_sound();
  reopen();
  sweep_all(1'000);
  EXPECT_EQ(stats().contents, 0u);
  EXPECT_EQ(stats().parts, 0u);
  EXPECT_EQ(stats().message_rows, 0u);
  expect_sound();
}

TEST_F(ImageTest, AVeryLargeContentIsSweptInSlices) {
  const std::string body(70'000'000, 'b');
  const Bytes message = message_of(body);
  auto writer = begin();
  writer->put_content(1, std::vector<ByteView>{message});
  writer->put_large(kQueue, 1, 0, head_of(1), 1, content_bytes_of(body));
  ASSERT_OK(writer->commit());
  const std::uint64_t parts = stats().parts;
  writer = begin();
  writer->erase(kQueue, 1, 1);
  ASSERT_OK(writer->commit());
  EXPECT_TRUE(writer->garbage_left());
  EXPECT_EQ(stats().parts, parts);
  EXPECT_EQ(stats().contents, 0u);
  expect_sound();
  reopen();
  EXPECT_GE(sweep_all(5'000), parts / 5'000);
  EXPECT_EQ(stats().parts, 0u);
  expect_sound();
}

TEST_F(ImageTest, SweepsWithinACheckpoint) {
  auto writer = begin();
  for (Seq seq = 1; seq <= 2'000; ++seq) writer->put(kQueue, seq, 0, tail_of("x"));
  ASSERT_OK(writer->commit());
  writer = begin();
  writer->drop(kQueue);
  ASSERT_OK(writer->commit());
  EXPECT_TRUE(writer->garbage_left());
  const std::uint64_t rows = stats().message_rows;
  writer = begin();
  writer->sweep(501);
  writer->put(QueueId{4}, 1, 0, tail_of("new"));
  ASSERT_OK(writer->commit());
  EXPECT_TRUE(writer->garbage_left());
  EXPECT_EQ(stats().message_rows, rows - 500 + 1);
  writer = begin();
  writer->sweep(5'000);
  ASSERT_OK(writer->commit());
  EXPECT_FALSE(writer->garbage_left());
  EXPECT_EQ(seqs(*snapshot(), QueueId{4}), std::vector<Seq>{1});
  expect_sound();
}

TEST_F(ImageTest, TakesTheEndsOfTheNumbers) {
  auto writer = begin();
  const QueueId last{std::numeric_limits<std::uint64_t>::max()};
  for (const Seq seq : {Seq{0}, kSeqMax}) {
    writer->put(last, seq, 0, tail_of("x"));
    writer->put(QueueId{0}, seq, 0, tail_of("x"));
  }
  ASSERT_OK(writer->commit());
  EXPECT_EQ(seqs(*snapshot(), last), (std::vector<Seq>{0, kSeqMax}));
  writer = begin();
  writer->erase(last, 1, kSeqMax);
  writer->erase(QueueId{0}, 0, kSeqMax);
  ASSERT_OK(writer->commit());
  EXPECT_EQ(seqs(*snapshot(), last), std::vector<Seq>{0});
  EXPECT_EQ(queue(*snapshot(), QueueId{0}), (Queue{QueueId{0}, kSeqMax, 0, 0}));
  expect_sound();
}

TEST_F(ImageTest, TheLargestInlineTailStaysInALeaf) {
  auto writer = begin();
  const std::size_t framing = tail_of("").size();
  writer->put(kQueue, 1, 0, tail_of(std::string(Image::kInlineTailBytesMax - framing, 'x')));
  ASSERT_OK(writer->commit());
  const std::uint64_t leaf_only = stats().pages - stats().free_pages;
  writer = begin();
  writer->put(kQueue, 1, 0, tail_of(std::string(Image::kInlineTailBytesMax - framing + 1, 'x')));
  ASSERT_OK(writer->commit());
  EXPECT_EQ(stats().pages - stats().free_pages, leaf_only + 1);
}

}  // namespace
}  // namespace harrier::persistence_tests
