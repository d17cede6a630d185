// SPDX-License-Identifier: Apache-2.0
//
// Cancels of delayed messages: the latest for an id counts, and a page of messages is looked at
// once, however many cancels there are.
#include "broker/core/cancel_wishes.hpp"

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <gtest/gtest.h>

namespace harrier::broker {
namespace {

TEST(CancelWishesTest, TheLatestForAnIdCounts) {
  CancelWishes wishes;
  EXPECT_TRUE(wishes.empty());
  EXPECT_FALSE(wishes.want("a", 1));
  wishes.add("a", 10);
  wishes.add("b", 30);
  wishes.add("a", 20);
  wishes.add("a", 15);
  EXPECT_FALSE(wishes.empty());
  EXPECT_TRUE(wishes.want("a", 19));
  EXPECT_FALSE(wishes.want("a", 20));  // it came with the wish, or after it
  EXPECT_TRUE(wishes.want("b", 29));
  EXPECT_FALSE(wishes.want("c", 1));
}

TEST(CancelWishesTest, KnowsWhereTheStoreHasThem) {
  CancelWishes wishes;
  wishes.add("a", 10);
  wishes.stored_at(7);
  wishes.add("a", 20);
  wishes.stored_at(9);
  EXPECT_EQ(wishes.stored(), (std::vector<CancelWishes::Seq>{7, 9}));
}

struct CountingEqual {
  using is_transparent = void;
  static inline std::uint64_t comparisons = 0;
  bool operator()(std::string_view a, std::string_view b) const {
    ++comparisons;
    return a == b;
  }
};

TEST(CancelWishesTest, AMessageIsComparedWithFewOfThem) {
  constexpr int kWishes = 10'000;
  constexpr int kPage = 1'000;
  BasicCancelWishes<CountingEqual> wishes;
  for (int i = 0; i < kWishes; ++i) wishes.add("wish-" + std::to_string(i), 100);
  CountingEqual::comparisons = 0;
  int wanted = 0;
  for (int i = 0; i < kPage; ++i) {
    if (wishes.want("wish-" + std::to_string(2 * kWishes - kPage + 2 * i), 50)) ++wanted;
    if (wishes.want("wish-" + std::to_string(i), 50)) ++wanted;
  }
  EXPECT_EQ(wanted, kPage);
  EXPECT_LE(CountingEqual::comparisons, 4u * kPage);
}

}  // namespace
}  // namespace harrier::broker
