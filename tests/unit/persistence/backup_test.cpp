// SPDX-License-Identifier: Apache-2.0
//
// Backups and images that are half of a checkpoint: such a one is completed from the journal,
// waited for, or refused, and never given away as a copy. tests/integration has the commands as a
// whole.

#include "persistence/backup.hpp"

#include <future>

#include "persistence/compact.hpp"
#include "persistence/directory_lock.hpp"
#include "persistence/inspect.hpp"
#include "persistence/lmdb_store.hpp"
#include "tests/contract/living_copy.hpp"
#include "tests/unit/persistence/image_fixture.hpp"

namespace harrier::persistence_tests {
namespace {

using namespace persistence;

constexpr QueueId kQueue{1};

class BackupTest : public testing::Test {
 protected:
  void SetUp() override {
    std::filesystem::create_directory(data_);
    settings_.directory = data_;
    settings_.segment_bytes = 1U << 20;
    settings_.checkpoint_interval = std::chrono::hours(1);
    options_.directory = data_;
    options_.target = folder_.file("copy");
    options_.verify = true;
    options_.patience_s = 0;
  }

  // What a killed process leaves: the files as they are while it runs.
  void fill_and_kill(Seq messages) {
    const std::string running = folder_.file("running");
    std::filesystem::create_directory(running);
    settings_.directory = running;
    std::unique_ptr<LmdbStore> store;
    ASSERT_OK(LmdbStore::open(settings_, store));
    for (Seq seq = 1; seq <= messages; ++seq) commit(*store, seq);
    store_tests::copy_living(running, data_);
    settings_.directory = data_;
  }
  static void commit(LmdbStore& store, Seq seq) {
    WriteBatch batch;
    batch.add(Purge{kQueue, seq, seq});
    std::promise<Status> done;
    store.commit(std::move(batch), [&done](const Status& status) { done.set_value(status); });
    ASSERT_OK(done.get_future().get());
  }
  void mark_partial() {
    std::unique_ptr<Image> image;
    ASSERT_OK(Image::open(data_ + "/store.mdb", std::uint64_t{1} << 30, image));
    Image::Meta meta = meta_of(*image);
    meta.clean = false;
    meta.whole = false;
    std::unique_ptr<Image::Writer> writer;
    ASSERT_OK(image->begin(writer));
    writer->set_meta(meta);
    ASSERT_OK(writer->commit());
    EXPECT_EQ(meta_of(*image), meta);
  }
  static Image::Meta meta_of(Image& image) {
    std::unique_ptr<Image::Snapshot> view;
    EXPECT_TRUE(image.snapshot(view).ok());
    Image::Meta meta;
    EXPECT_TRUE(view->meta(meta).ok());
    return meta;
  }
  Image::Meta meta_of(const std::string& directory) {
    std::unique_ptr<Image> image;
    EXPECT_EQ(Image::open_to_read(directory + "/store.mdb", Image::Access::Reading, image),
              Status());
    return meta_of(*image);
  }
  bool nothing_left() const {
    return !std::filesystem::exists(options_.target) &&
           !std::filesystem::exists(options_.target + ".partial");
  }

  TemporaryFolder folder_;
  const std::string data_ = folder_.file("data");
  StoreSettings settings_;
  BackupOptions options_;
  BackupResult result_;
};

TEST_F(BackupTest, TheJournalCompletesHalfACheckpoint) {
  fill_and_kill(5);
  mark_partial();
  Inspection found;
  ASSERT_OK(inspect(data_, true, found));
  EXPECT_EQ(found.damage, std::vector<std::string>());
  EXPECT_EQ(found.replay.entries, 5u);
  ASSERT_OK(backup(options_, result_));
  const Image::Meta meta = meta_of(options_.target);
  EXPECT_TRUE(meta.whole);
  EXPECT_FALSE(meta.clean);
  EXPECT_EQ(meta.store, 0u);
  CompactSizes after;
  ASSERT_OK(compact(
      data_, [](const CompactPlan&) {}, after));
  EXPECT_TRUE(meta_of(data_).whole);
}

TEST_F(BackupTest, HalfACheckpointAloneIsDamage) {
  fill_and_kill(0);
  mark_partial();
  Inspection found;
  ASSERT_OK(inspect(data_, false, found));
  EXPECT_EQ(found.damage.size(), 1u);
  EXPECT_FALSE(backup(options_, result_).ok());
  EXPECT_TRUE(nothing_left());
  std::unique_ptr<LmdbStore> store;
  EXPECT_FALSE(LmdbStore::open(settings_, store).ok());
}

TEST_F(BackupTest, AnInspectionCountsThePartsOfAQueueTogether) {
  constexpr QueueId kPart{std::uint64_t{3} << 48 | static_cast<std::uint64_t>(kQueue)};
  {
    std::unique_ptr<LmdbStore> store;
    ASSERT_OK(LmdbStore::open(settings_, store));
    Recovery nothing;
    ASSERT_OK(store->recover(nothing));
    protocol::Properties properties;
    properties.delivery_mode = std::uint8_t{2};
    const auto message = protocol::Message::create("", "q", properties.encode(), {});
    WriteBatch batch;
    batch.add(Enqueue{kQueue, 1, message, 0, {}});
    batch.add(Enqueue{kPart, 2, message, 0, {}});
    store->commit(std::move(batch), [](const Status& status) { EXPECT_TRUE(status.ok()); });
  }
  Inspection found;
  ASSERT_OK(inspect(data_, true, found));
  ASSERT_EQ(found.queues.size(), 1u);
  EXPECT_EQ(found.queues[0].id, kQueue);
  EXPECT_EQ(found.queues[0].messages, 2u);
  EXPECT_EQ(found.queues[0].seq_max, 2u);
}

TEST_F(BackupTest, BesideARunningBrokerItWaitsForTheOtherHalf) {
  fill_and_kill(5);
  {
    std::unique_ptr<LmdbStore> store;
    ASSERT_OK(LmdbStore::open(settings_, store));
  }
  DirectoryLock broker;
  DirectoryLock::Outcome outcome{};
  ASSERT_OK(broker.take(data_, DirectoryLock::Create::Yes, outcome));
  ASSERT_EQ(outcome, DirectoryLock::Outcome::Taken);
  ASSERT_OK(backup(options_, result_));
  EXPECT_TRUE(result_.running);
  std::filesystem::remove_all(options_.target);
  mark_partial();
  EXPECT_NE(backup(options_, result_).error().find("checkpoint"), std::string::npos);
  EXPECT_TRUE(nothing_left());
}

}  // namespace
}  // namespace harrier::persistence_tests
