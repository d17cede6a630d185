// SPDX-License-Identifier: Apache-2.0
#include "broker/core/window.hpp"

#include <map>
#include <random>
#include <vector>

#include <gtest/gtest.h>

namespace harrier::broker {
namespace {

using Pairs = std::vector<std::pair<std::uint64_t, int>>;

TEST(WindowTest, AgreesWithAMapUnderRandomUse) {
  std::mt19937_64 random(7);
  const auto below = [&](std::uint64_t bound) { return random() % bound; };
  for (int run = 0; run < 20; ++run) {
    Window<int> window;
    std::map<std::uint64_t, int> model;
    std::uint64_t next = 1;
    for (int step = 0; step < 5'000; ++step) {
      const std::uint64_t key = below(next + 2);
      switch (below(run % 2 == 0 ? 4 : 8)) {
        case 0: {
          const auto taken = window.take(key);
          const auto at = model.find(key);
          ASSERT_EQ(taken.has_value(), at != model.end());
          if (taken) {
            EXPECT_EQ(*taken, at->second);
            model.erase(at);
          }
          break;
        }
        case 1: {
          if (below(20) != 0) break;
          Pairs taken;
          window.take_to(key, [&](std::uint64_t k, int value) { taken.emplace_back(k, value); });
          const auto end = model.upper_bound(key);
          EXPECT_EQ(taken, Pairs(model.begin(), end));
          model.erase(model.begin(), end);
          break;
        }
        case 2:
          if (key != 0 && !model.contains(key)) {  // what left comes back, or came late
            window.insert(key, step);
            model.emplace(key, step);
            next = std::max(next, key + 1);
          }
          break;
        default:
          window.insert(next, step);
          model.emplace(next++, step);
      }
      ASSERT_EQ(window.size(), model.size());
      ASSERT_EQ(window.empty(), model.empty());
      const int* found = window.find(key);
      ASSERT_EQ(found != nullptr, model.contains(key));
    }
    Pairs all;
    window.for_each_to(~std::uint64_t{0}, [&](std::uint64_t k, int& v) { all.emplace_back(k, v); });
    EXPECT_EQ(all, Pairs(model.begin(), model.end()));
  }
}

TEST(WindowTest, MayBeAddedToWhileItIsEmptied) {
  Window<int> window;
  for (std::uint64_t key = 1; key <= 3; ++key) window.insert(key, 0);
  std::uint64_t next = 4;
  window.take_to(3, [&](std::uint64_t, int) { window.insert(next++, 1); });
  EXPECT_EQ(window.size(), 3u);
  EXPECT_NE(window.find(4), nullptr);
  EXPECT_EQ(window.find(3), nullptr);
}

}  // namespace
}  // namespace harrier::broker
