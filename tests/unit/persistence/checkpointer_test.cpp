// SPDX-License-Identifier: Apache-2.0
//
// What a checkpoint says of itself while it is under way.
#include "persistence/checkpointer.hpp"

#include <algorithm>
#include <future>
#include <vector>

#include "persistence/entry.hpp"
#include "tests/unit/persistence/image_fixture.hpp"
#include "tests/unit/persistence/journal_fixture.hpp"

namespace harrier::persistence_tests {
namespace {

constexpr Seq kMessages = 64;
constexpr std::size_t kBodyBytes = 1'000;
constexpr std::size_t kSliceBytes = 8 * 1'024;

class CheckpointerTest : public JournalTest {
 protected:
  void SetUp() override {
    options_.segment_bytes = 1 << 20;
    ASSERT_EQ(open(), Status());
    ASSERT_EQ(Image::open(folder_.file("store.mdb"), std::uint64_t{1} << 30, image_), Status());
    settings_.interval = std::chrono::hours(1);
    settings_.slice_bytes = kSliceBytes;
  }

  // One entry with all the messages.
  void fill_layers() {
    protocol::Properties properties;
    properties.delivery_mode = 2;
    const std::string body(kBodyBytes, 'b');
    WriteBatch batch;
    for (Seq seq = 1; seq <= kMessages; ++seq) {
      batch.add(Enqueue{
          QueueId{1}, seq,
          protocol::Message::create("x", "k", properties.encode(), protocol::as_bytes(body)), 5,
          std::nullopt});
    }
    EntryWriter writer;
    writer.begin(1, [](ContentId) { return false; });
    writer.add(batch);
    JournalPosition at = 0;
    layers_.begin_entry();
    ASSERT_EQ(journal_->append(writer.finish(), at), Status());
    ASSERT_EQ(journal_->flush(), Status());
    JournalBytes payload;
    ASSERT_EQ(journal_->read(at, writer.size(), payload), Status());
    ASSERT_EQ(layers_.apply(at, payload.bytes, journal_->end()), Status());
    layers_.end_entry();
  }

  TemporaryFolder folder_;
  std::unique_ptr<Image> image_;
  Layers layers_{0};
  CheckpointSettings settings_;
};

TEST_F(CheckpointerTest, SaysAfterEachSliceHowMuchItHasCovered) {
  fill_layers();
  std::vector<std::uint64_t> told;
  std::promise<void> ended;
  std::atomic<Checkpointer*> checkpointer{nullptr};
  CheckpointHooks hooks;
  hooks.covered = [&] {
    told.push_back(checkpointer.load()->covered_bytes());
    if (layers_.covered() == journal_->end()) ended.set_value();
  };
  hooks.tick = [] {};
  hooks.failed = [](const Status& status) { ADD_FAILURE() << status.error(); };
  hooks.no_room = [](bool, const std::string&) {};
  Checkpointer tested(*image_, *journal_, layers_, Image::Meta{}, settings_, std::move(hooks));
  checkpointer = &tested;
  tested.request();
  ASSERT_EQ(ended.get_future().wait_for(std::chrono::seconds(30)), std::future_status::ready);

  ASSERT_GT(told.size(), 2u);
  EXPECT_EQ(told.back(), 0u);  // the journal has let go of it
  told.pop_back();
  EXPECT_TRUE(std::ranges::is_sorted(told));
  EXPECT_GE(told.front(), kSliceBytes);
  EXPECT_LT(told.front(), kSliceBytes + 2 * kBodyBytes);
  EXPECT_LE(told.back(), journal_->bytes_since(0));
  EXPECT_GE(told.size(), kMessages * kBodyBytes / (kSliceBytes + 2 * kBodyBytes));
}

}  // namespace
}  // namespace harrier::persistence_tests
