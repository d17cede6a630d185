// SPDX-License-Identifier: Apache-2.0
#include "routing/persistent_map.hpp"

#include <cstdint>
#include <map>
#include <memory>
#include <random>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "routing/text.hpp"

namespace harrier::routing {
namespace {

struct Entry {
  std::uint64_t key = 0;
  std::shared_ptr<std::uint64_t> value;  // counted: a lost or doubled copy shows
};

// A good hash, one that fills few branches, and one that always collides.
template <std::uint64_t kMask>
struct Traits {
  using Entry = harrier::routing::Entry;
  using Key = std::uint64_t;
  static std::uint64_t hash(Key key) { return hash_id(key) & kMask; }
  static Key key(const Entry& entry) { return entry.key; }
  static bool equal(Key a, Key b) { return a == b; }
};

using Reference = std::map<std::uint64_t, std::uint64_t>;

template <class Map>
void expect_equal(const Map& map, const Reference& reference, std::uint64_t keys) {
  Reference seen;
  map.for_each([&seen](const Entry& entry) {
    EXPECT_TRUE(seen.emplace(entry.key, *entry.value).second) << "twice: " << entry.key;
  });
  ASSERT_EQ(seen, reference);
  ASSERT_EQ(map.empty(), reference.empty());
  ASSERT_EQ(map.single() != nullptr, reference.size() == 1);
  for (std::uint64_t key = 0; key < keys; ++key) {
    ASSERT_EQ(map.find(key) != nullptr, reference.contains(key));
  }
}

template <class T>
class PersistentMapTest : public testing::Test {};

using Hashes = testing::Types<Traits<~std::uint64_t{0}>, Traits<0xff0000000000003f>,
                              Traits<0xf000000000000000>, Traits<0>>;
TYPED_TEST_SUITE(PersistentMapTest, Hashes);

// Random changes against std::map, with copies taken on the way that must never change.
TYPED_TEST(PersistentMapTest, BehavesAsAMapAndKeepsItsCopies) {
  using Map = PersistentMap<TypeParam>;
  constexpr std::uint64_t kKeys = 150;  // with the worst hash more than one node of collisions
  std::mt19937_64 random(7);
  Map map;
  Reference reference;
  std::vector<std::pair<Map, Reference>> copies;
  for (int step = 0; step < 6000; ++step) {
    // Grow and shrink in turns, so that the map becomes empty now and then.
    const bool grow = (step / 1000) % 2 == 0;
    const std::uint64_t key = random() % kKeys;
    const std::uint64_t value = random();
    if (random() % 4 != (grow ? 0 : 1) && (grow || random() % 8 == 0)) {
      if (Entry* entry = map.edit(key)) {
        ASSERT_TRUE(reference.contains(key));
        entry->value = std::make_shared<std::uint64_t>(value);
      } else {
        map.insert({key, std::make_shared<std::uint64_t>(value)});
      }
      reference[key] = value;
    } else {
      ASSERT_EQ(map.erase(key), reference.erase(key) == 1);
    }
    if (step % 97 == 0) copies.emplace_back(map, reference);
    if (copies.size() > 20) copies.erase(copies.begin() + static_cast<long>(random() % 20));
    if (step % 61 == 0) expect_equal(map, reference, kKeys);
  }
  for (const auto& [copy, expected] : copies) expect_equal(copy, expected, kKeys);
  for (std::uint64_t key = 0; key < kKeys; ++key) map.erase(key);
  EXPECT_TRUE(map.empty());
  for (const auto& [copy, expected] : copies) expect_equal(copy, expected, kKeys);
}

// Deep enough for several levels of branches, which come and go while a copy looks on.
TEST(PersistentMap, GrowsAndShrinksByThousands) {
  using Map = PersistentMap<Traits<~std::uint64_t{0}>>;
  constexpr std::uint64_t kKeys = 20'000;
  Map map;
  Reference reference;
  const auto put = [&](std::uint64_t key) {
    map.insert({key, std::make_shared<std::uint64_t>(key)});
    reference[key] = key;
  };
  for (std::uint64_t key = 0; key < kKeys; ++key) put(key);
  expect_equal(map, reference, kKeys + 100);
  const Map full = map;
  const Reference all = reference;
  for (std::uint64_t key = 0; key < kKeys; ++key) {
    if (key % 50 == 0) continue;
    ASSERT_TRUE(map.erase(key));
    ASSERT_FALSE(map.erase(key));
    reference.erase(key);
  }
  expect_equal(map, reference, kKeys);
  expect_equal(full, all, kKeys);
  for (std::uint64_t key = 1; key < kKeys; key += 50) put(key);
  expect_equal(map, reference, kKeys);
  while (reference.size() > 1) {
    ASSERT_TRUE(map.erase(reference.begin()->first));
    reference.erase(reference.begin());
  }
  expect_equal(map, reference, kKeys);  // one leaf again
  expect_equal(full, all, kKeys);
}

TEST(PersistentMap, FindsByPlace) {
  using Map = PersistentMap<Traits<~std::uint64_t{0}>>;
  Map map;
  const auto at = [&map](std::uint64_t key) {
    return Map::find_at(map.place_of(hash_id(key)), hash_id(key),
                        [key](const Entry& entry) { return entry.key == key; });
  };
  EXPECT_EQ(at(1), nullptr);
  for (std::uint64_t key = 0; key < 1000; ++key) {
    map.insert({key, std::make_shared<std::uint64_t>(key)});
  }
  for (std::uint64_t key = 0; key < 1000; ++key) ASSERT_EQ(at(key), map.find(key));
  EXPECT_EQ(at(1000), nullptr);
}

TEST(PersistentMap, EditsInPlaceUntilItIsShared) {
  using Map = PersistentMap<Traits<~std::uint64_t{0}>>;
  Map map;
  for (std::uint64_t key = 0; key < 1000; ++key) {
    map.insert({key, std::make_shared<std::uint64_t>(key)});
  }
  const Entry* before = map.find(500);
  EXPECT_EQ(map.edit(500), before);  // nobody else looks: no copy
  const Map copy = map;
  EXPECT_NE(map.edit(500), before);
  EXPECT_EQ(copy.find(500), before);
}

TEST(PersistentMap, ReleasesWhatItHolds) {
  using Map = PersistentMap<Traits<~std::uint64_t{0}>>;
  const auto value = std::make_shared<std::uint64_t>(1);
  {
    Map map;
    for (std::uint64_t key = 0; key < 500; ++key) map.insert({key, value});
    Map copy = map;
    for (std::uint64_t key = 0; key < 500; key += 2) copy.erase(key);
    map = copy;
    EXPECT_EQ(value.use_count(), 251);
  }
  EXPECT_EQ(value.use_count(), 1);
}

}  // namespace
}  // namespace harrier::routing
