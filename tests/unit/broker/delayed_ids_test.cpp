// SPDX-License-Identifier: Apache-2.0
//
// Which delayed messages in memory a cancel looks at: those of its id, however many others wait and
// however many cancels there are.
#include "broker/core/delayed_ids.hpp"

#include <string>
#include <vector>

#include <gtest/gtest.h>

namespace harrier::broker {
namespace {

using Seqs = std::vector<DelayedIds::Seq>;

TEST(DelayedIdsTest, KnowsWhatHasComeAndNotWhatHasGone) {
  DelayedIds ids;
  EXPECT_TRUE(ids.candidates("a").empty());
  ids.came("a", 5);
  ids.came("a", 3);
  ids.came("b", 4);
  ids.came("a", 5);
  ids.came("", 9);
  EXPECT_EQ(ids.candidates("a"), (Seqs{3, 5}));
  EXPECT_TRUE(ids.candidates("").empty());
  ids.gone("a", 3);
  EXPECT_EQ(ids.candidates("a"), (Seqs{5}));
  EXPECT_EQ(ids.candidates("b"), (Seqs{4}));
}

TEST(DelayedIdsTest, ACancelLooksAtFew) {
  DelayedIds ids;
  constexpr DelayedIds::Seq kMany = 10'000;
  for (DelayedIds::Seq seq = 1; seq <= kMany; ++seq) ids.came(std::to_string(seq), seq);
  std::size_t looks = 0;
  for (DelayedIds::Seq seq = 1; seq <= kMany; ++seq)
    looks += ids.candidates(std::to_string(seq)).size();
  EXPECT_LE(looks, kMany + 10);
}

TEST(DelayedIdsTest, IsMadeAnewWhenMostHasGoneAndOnlyIfItIsAsked) {
  DelayedIds ids;
  for (DelayedIds::Seq seq = 1; seq <= 5'000; ++seq) ids.came(std::to_string(seq), seq);
  EXPECT_FALSE(ids.is_stale(4'000));
  EXPECT_TRUE(ids.is_stale(100));
  EXPECT_FALSE(ids.was_asked());
  ids.candidates("1");
  EXPECT_TRUE(ids.was_asked());
}

}  // namespace
}  // namespace harrier::broker
