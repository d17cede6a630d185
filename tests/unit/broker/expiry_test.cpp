// SPDX-License-Identifier: Apache-2.0
#include "broker/core/expiry.hpp"

#include <string>
#include <vector>

#include <gtest/gtest.h>

namespace harrier::broker {
namespace {

protocol::MessagePtr message(std::optional<std::string> expiration) {
  protocol::Properties properties;
  properties.expiration = std::move(expiration);
  return protocol::Message::create("", "q", properties.encode(), {});
}

TEST(Expiry, TheShorterOneCounts) {
  Expiry expiry;
  EXPECT_EQ(expiry.due(*message({}), 1'000), kNeverDue);
  EXPECT_EQ(expiry.due(*message("50"), 1'000), 1'050);
  expiry.set_ttl(100);
  EXPECT_EQ(expiry.due(*message({}), 1'000), 1'100);
  EXPECT_EQ(expiry.due(*message("50"), 1'000), 1'050);
  EXPECT_EQ(expiry.due(*message("500"), 1'000), 1'100);
  EXPECT_EQ(expiry.due(*message("+7"), 1'000), 1'007);
  expiry.set_ttl(0);
  EXPECT_EQ(expiry.due(*message("500"), 1'000), 1'000);
}

TEST(Expiry, FindsWhatIsDueAnywhere) {
  Expiry expiry;
  expiry.came({1, message("300"), 0, 1'000});
  expiry.came({2, message("100"), 0, 1'000});
  expiry.came({3, message({}), 0, 1'000});
  expiry.came({4, message("200"), 0, 1'000});
  expiry.came({5, message("100"), 0, 1'000});
  EXPECT_EQ(expiry.next_due(), 1'100);
  EXPECT_TRUE(expiry.take_due(1'099, 0).empty());
  EXPECT_EQ(expiry.take_due(1'100, 5), std::vector<Seq>{2});
  expiry.left({5, message("100"), 0, 1'000});
  EXPECT_EQ(expiry.next_due(), 1'200);
  EXPECT_EQ(expiry.take_due(5'000, 0), (std::vector<Seq>{4, 1}));
  EXPECT_EQ(expiry.next_due(), kNeverDue);
}

TEST(DueRanges, AFewNumbersForManyMessages) {
  DueRanges ranges;
  constexpr Seq kMessages = 3'000'000;
  for (Seq seq = 1; seq <= kMessages; ++seq)
    ranges.add(seq, static_cast<Millis>(1'000'000 + seq / 100));
  EXPECT_LE(ranges.size(), DueRanges::kRangesMax);
  EXPECT_EQ(ranges.next_due(), 1'000'000);
  EXPECT_FALSE(ranges.take(999'999));
  const auto first = ranges.take(1'000'000);
  ASSERT_TRUE(first);
  EXPECT_EQ(first->from, 1u);
  EXPECT_GT(ranges.next_due(), 1'000'000);
  Seq covered = first->up_to;
  while (const auto range = ranges.take(kNeverDue)) {
    EXPECT_EQ(range->from, covered + 1);
    covered = range->up_to;
  }
  EXPECT_EQ(covered, kMessages);
  EXPECT_TRUE(ranges.empty());
}

TEST(DueRanges, GrowsDownwardsToo) {
  DueRanges ranges;
  for (Seq seq = 5'000; seq > 0; --seq) ranges.add(seq, static_cast<Millis>(seq));
  EXPECT_LE(ranges.size(), 6u);
  EXPECT_EQ(ranges.next_due(), 1);
  ranges.forget_below(4'500);
  ASSERT_FALSE(ranges.empty());
  EXPECT_GT(ranges.next_due(), 1'000);
  ranges.add(4'999, 7);  // inside
  EXPECT_EQ(ranges.next_due(), 7);
  ranges.clear();
  EXPECT_EQ(ranges.next_due(), kNeverDue);
}

}  // namespace
}  // namespace harrier::broker
