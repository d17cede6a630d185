// SPDX-License-Identifier: Apache-2.0
#include "routing/destination.hpp"

#include <algorithm>
#include <random>
#include <set>
#include <vector>

#include <gtest/gtest.h>

namespace harrier::routing {
namespace {

std::vector<std::uint64_t> contents(const DestinationSet& set) {
  std::vector<Destination> out;
  set.append_to(out);
  std::vector<std::uint64_t> packed;
  packed.reserve(out.size());
  for (const Destination destination : out) packed.push_back(destination.packed());
  std::sort(packed.begin(), packed.end());
  return packed;
}

TEST(DestinationSet, TellsQueuesFromExchangesOfTheSameNumber) {
  const Destination queue(QueueId{7});
  const Destination exchange(ExchangeId{7});
  DestinationSet set;
  set.add(queue);
  EXPECT_TRUE(set.contains(queue));
  EXPECT_FALSE(set.contains(exchange));
  set.add(exchange);
  EXPECT_EQ(set.size(), 2U);
  EXPECT_TRUE(set.remove(queue));
  EXPECT_FALSE(set.contains(queue));
  EXPECT_TRUE(set.contains(exchange));
  EXPECT_EQ(exchange.exchange(), ExchangeId{7});
  EXPECT_EQ(queue.queue(), QueueId{7});
}

TEST(DestinationSet, CountsBindings) {
  const Destination queue(QueueId{1});
  DestinationSet set;
  set.add(queue);
  set.add(queue);
  EXPECT_EQ(contents(set), std::vector{queue.packed()});
  EXPECT_TRUE(set.remove(queue));
  EXPECT_EQ(contents(set), std::vector{queue.packed()});
  EXPECT_TRUE(set.remove(queue));
  EXPECT_TRUE(set.empty());
  EXPECT_FALSE(set.remove(queue));
}

TEST(DestinationSet, BehavesAsAMultisetAndKeepsItsCopies) {
  std::mt19937_64 random(3);
  DestinationSet set;
  std::multiset<std::uint64_t> reference;
  std::vector<std::pair<DestinationSet, std::vector<std::uint64_t>>> copies;
  for (int step = 0; step < 4000; ++step) {
    // Few at first, so that the small forms are passed again and again.
    const std::uint64_t range = step < 2000 ? 3 : 200;
    const Destination destination(QueueId{random() % range});
    if (random() % 2 == 0) {
      set.add(destination);
      reference.insert(destination.packed());
    } else {
      const auto found = reference.find(destination.packed());
      ASSERT_EQ(set.remove(destination), found != reference.end());
      if (found != reference.end()) reference.erase(found);
    }
    const std::set<std::uint64_t> unique(reference.begin(), reference.end());
    const std::vector<std::uint64_t> expected(unique.begin(), unique.end());
    ASSERT_EQ(contents(set), expected);
    ASSERT_EQ(set.size(), expected.size());
    if (step % 50 == 0) copies.emplace_back(set, expected);
  }
  for (const auto& [copy, expected] : copies) EXPECT_EQ(contents(copy), expected);
}

}  // namespace
}  // namespace harrier::routing
