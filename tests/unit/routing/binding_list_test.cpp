// SPDX-License-Identifier: Apache-2.0
#include "routing/binding_list.hpp"

#include <map>
#include <random>
#include <vector>

#include <gtest/gtest.h>

namespace harrier::routing_tests {
namespace {

using routing::BindingList;
using routing::Destination;
using routing::QueueId;

Destination queue(std::uint64_t id) { return Destination(QueueId{id}); }

std::vector<Destination> all(const BindingList& list) {
  std::vector<Destination> entries;
  for (std::size_t i = 0; i < list.size(); ++i) entries.push_back(list.at(i));
  return entries;
}

TEST(BindingList, IsInTheOrderOfNamesWhateverTheOrderOfBindings) {
  BindingList one;
  BindingList other;
  for (std::uint64_t id = 1; id <= 100; ++id) one.add(queue(id), id * 7919 % 101);
  for (std::uint64_t id = 100; id >= 1; --id) other.add(queue(id), id * 7919 % 101);
  EXPECT_EQ(all(one), all(other));
  EXPECT_EQ(one.size(), 100U);
}

TEST(BindingList, HasOneEntryPerBinding) {
  BindingList list;
  list.add(queue(1), 10);
  list.add(queue(2), 20);
  list.add(queue(1), 10);
  EXPECT_EQ(all(list), (std::vector{queue(1), queue(1), queue(2)}));
  EXPECT_TRUE(list.remove(queue(1), 10));
  EXPECT_EQ(all(list), (std::vector{queue(1), queue(2)}));
  EXPECT_TRUE(list.remove(queue(1), 10));
  EXPECT_FALSE(list.remove(queue(1), 10));
  EXPECT_TRUE(list.remove(queue(2), 20));
  EXPECT_TRUE(list.empty());
  EXPECT_FALSE(list.remove(queue(2), 20));
}

TEST(BindingList, TellsApartNamesThatCollide) {
  BindingList list;
  list.add(queue(2), 5);
  list.add(queue(1), 5);
  list.add(queue(3), 5);
  EXPECT_TRUE(list.remove(queue(2), 5));
  EXPECT_EQ(all(list), (std::vector{queue(1), queue(3)}));
}

TEST(BindingList, PicksByTheNumberModuloTheSize) {
  BindingList list;
  std::vector<Destination> picked;
  EXPECT_EQ(list.pick(3, picked), 0U);
  list.add(queue(1), 10);
  list.add(queue(2), 20);
  list.add(queue(3), 30);
  for (std::uint64_t number = 0; number < 6; ++number) EXPECT_EQ(list.pick(number, picked), 1U);
  EXPECT_EQ(picked, (std::vector{queue(1), queue(2), queue(3), queue(1), queue(2), queue(3)}));
}

TEST(BindingList, CopiesDoNotSeeLaterChanges) {
  std::mt19937_64 random(7);
  BindingList list;
  std::multimap<std::uint64_t, Destination> model;  // by hash; here one hash per destination
  std::vector<std::pair<BindingList, std::vector<Destination>>> copies;
  for (int step = 0; step < 2000; ++step) {
    const std::uint64_t id = random() % 50 + 1;
    const std::uint64_t hash = routing::hash_id(id);
    if (random() % 2 == 0) {
      list.add(queue(id), hash);
      model.emplace(hash, queue(id));
    } else {
      const auto known = model.find(hash);
      ASSERT_EQ(list.remove(queue(id), hash), known != model.end()) << step;
      if (known != model.end()) model.erase(known);
    }
    std::vector<Destination> expected;
    for (const auto& [key, destination] : model) expected.push_back(destination);
    ASSERT_EQ(all(list), expected) << step;
    if (step % 100 == 0) copies.emplace_back(list, expected);
  }
  for (const auto& [copy, expected] : copies) EXPECT_EQ(all(copy), expected);
}

}  // namespace
}  // namespace harrier::routing_tests
