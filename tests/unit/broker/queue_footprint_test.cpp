// SPDX-License-Identifier: Apache-2.0
//
// What a queue costs that nobody uses: a broker may have a hundred thousand of them.
#include <memory>

#include <gtest/gtest.h>

#include "broker/core/open_batches.hpp"
#include "broker/core/queue.hpp"
#include "tests/unit/routing/allocation_count.hpp"

namespace harrier::broker {
namespace {

using routing_tests::allocation_count;

TEST(QueueFootprintTest, AnEmptyQueueIsOneBlockOfLessThanAKilobyte) {
  EXPECT_LT(sizeof(Queue), 1024u);
  routing::QueueEntry entry;
  entry.id = QueueId{1};
  entry.name = "a name that is too long to be in the string itself";
  entry.durable = true;
  const auto shared = std::make_shared<const routing::QueueEntry>(std::move(entry));
  Residents residents;
  const std::uint64_t before = allocation_count();
  const auto queue = std::make_unique<Queue>(shared, "/", UnsentLimits{}, &residents);
  EXPECT_EQ(allocation_count() - before, 1u);
  EXPECT_EQ(&queue->entry(), shared.get());
}

TEST(OpenBatchesTest, KnowsTheFirstPositionThatIsNotDurable) {
  OpenBatches open;
  EXPECT_TRUE(open.empty());
  open.add(4, 10);
  open.add(4, 11);
  open.add(6, 12);
  open.add(9, 13);
  EXPECT_EQ(open.first(), 10u);
  open.forget(3);
  EXPECT_EQ(open.first(), 10u);
  open.forget(5);
  EXPECT_EQ(open.first(), 12u);
  open.forget(6);
  EXPECT_EQ(open.first(), 13u);
  open.forget(9);
  EXPECT_TRUE(open.empty());
}

TEST(OpenBatchesTest, OneAfterTheOtherTakesMemoryOnce) {
  OpenBatches open;
  const std::uint64_t before = allocation_count();
  for (std::uint64_t batch = 1; batch <= 100; ++batch) {
    open.add(batch, batch);
    open.forget(batch);
  }
  EXPECT_EQ(allocation_count() - before, 1u);
}

}  // namespace
}  // namespace harrier::broker
