// SPDX-License-Identifier: Apache-2.0
#include "broker/core/ready_list.hpp"

#include <map>
#include <random>

#include <gtest/gtest.h>

namespace harrier::broker {
namespace {

TEST(ReadyListTest, ReturnedMessagesTakeTheirOldPlace) {
  ReadyList list;
  for (Seq seq = 1; seq <= 4; ++seq) list.push({seq, {}, 0});
  const Ready first = list.pop();
  const Ready second = list.pop();
  list.put_back({second.seq, {}, 1});
  EXPECT_EQ(list.front().seq, 2u);
  list.put_back({first.seq, {}, 1});
  std::vector<std::pair<Seq, std::uint32_t>> order;
  while (!list.empty()) {
    const Ready ready = list.pop();
    order.emplace_back(ready.seq, ready.returns);
  }
  EXPECT_EQ(order, (std::vector<std::pair<Seq, std::uint32_t>>{{1, 1}, {2, 1}, {3, 0}, {4, 0}}));
}

TEST(ReadyListTest, AlwaysGivesTheLowestPosition) {
  std::mt19937_64 random(11);
  ReadyList list;
  std::map<Seq, std::uint32_t> model;
  std::vector<Seq> out;
  Seq next = 1;
  for (int step = 0; step < 20'000; ++step) {
    const auto choice = random() % 3;
    if (choice == 0) {
      list.push({next, {}, 0});
      model.emplace(next++, 0);
    } else if (choice == 1 && !model.empty()) {
      ASSERT_EQ(list.front().seq, model.begin()->first);
      const Ready ready = list.pop();
      ASSERT_EQ(ready.seq, model.begin()->first);
      ASSERT_EQ(ready.returns, model.begin()->second);
      model.erase(model.begin());
      out.push_back(ready.seq);
    } else if (!out.empty()) {
      const std::size_t at = random() % out.size();
      list.put_back({out[at], {}, 1});
      model.emplace(out[at], 1);
      out.erase(out.begin() + static_cast<std::ptrdiff_t>(at));
    }
    ASSERT_EQ(list.size(), model.size());
  }
  EXPECT_EQ(list.empty(), model.empty());
}

}  // namespace
}  // namespace harrier::broker
