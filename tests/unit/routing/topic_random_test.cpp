// SPDX-License-Identifier: Apache-2.0
//
// Random sequences of bind and unbind against the naive matcher: the newest snapshot must agree
// after every step, and older snapshots must go on answering as on the day they were cut.
#include <algorithm>
#include <cstdint>
#include <map>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "tests/unit/routing/fixture.hpp"
#include "tests/unit/routing/naive_topic.hpp"

namespace harrier::routing_tests {
namespace {

using Bindings = std::vector<std::pair<std::string, std::string>>;  // binding key, queue

class TopicRandom : public testing::TestWithParam<unsigned> {
 protected:
  static constexpr int kQueues = 12;

  std::uint64_t below(std::uint64_t limit) { return random() % limit; }

  // Few words, so that everything shares prefixes and meets everything else.
  std::string text(bool pattern) {
    static const std::vector<std::string> kWords = {"a", "b", "", "ab", "*x", "a"};
    std::string made;
    const auto words = below(7);
    for (std::uint64_t i = 0; i < words; ++i) {
      if (i > 0) made += '.';
      const auto kind = pattern ? below(5) : 4;
      made += kind == 0 ? "*" : kind == 1 ? "#" : kWords[below(kWords.size())];
    }
    return made;
  }

  static Names expected(const Bindings& bindings, const std::string& key) {
    Names names;
    for (const auto& [pattern, queue] : bindings) {
      if (naive_match(pattern, key)) names.push_back(queue);
    }
    std::sort(names.begin(), names.end());
    names.erase(std::unique(names.begin(), names.end()), names.end());
    return names;
  }

  void check(const routing::Topology& topology, const Bindings& then, int keys) {
    for (int i = 0; i < keys; ++i) {
      const std::string key = text(false);
      ASSERT_EQ(route_on(broker.router, topology, "amq.topic", key), expected(then, key))
          << "key '" << key << "', " << then.size() << " bindings, seed " << GetParam();
    }
  }

  void step(bool grow) {
    if (bindings.empty() || below(10) < (grow ? 7U : 3U)) {
      const std::string pattern = text(true);
      const std::string queue = "q" + std::to_string(below(kQueues));
      const bool known =
          std::find(bindings.begin(), bindings.end(), std::pair(pattern, queue)) != bindings.end();
      ASSERT_EQ(broker.bind("amq.topic", queue, pattern), !known);
      if (!known) bindings.emplace_back(pattern, queue);
    } else {
      const auto chosen = bindings.begin() + static_cast<long>(below(bindings.size()));
      ASSERT_EQ(broker.unbind("amq.topic", chosen->second, chosen->first).bindings.size(), 1U);
      bindings.erase(chosen);
    }
    ASSERT_EQ(broker.registry.binding_count(), bindings.size());
  }

  std::mt19937_64 random{GetParam()};
  Broker broker;
  Bindings bindings;
};

TEST_P(TopicRandom, AgreesWithTheNaiveMatcher) {
  for (int i = 0; i < kQueues; ++i) broker.queue("q" + std::to_string(i));
  std::vector<std::pair<routing::TopologyPtr, Bindings>> old;
  for (int round = 0; round < 400; ++round) {
    const bool grow = round % 100 < 60;
    // Sometimes several changes between two snapshots: those edit in place.
    const auto changes = 1 + below(4);
    for (std::uint64_t i = 0; i < changes; ++i) step(grow);
    check(*broker.registry.snapshot(), bindings, 3);
    if (round % 10 == 0) old.emplace_back(broker.registry.snapshot(), bindings);
    if (old.size() > 12) old.erase(old.begin() + static_cast<long>(below(old.size())));
    if (!old.empty() && round % 5 == 0) {
      const auto& [topology, then] = old[below(old.size())];
      check(*topology, then, 2);
    }
  }
  for (const auto& [topology, then] : old) check(*topology, then, 10);
}

INSTANTIATE_TEST_SUITE_P(Seeds, TopicRandom, testing::Range(1U, 9U));

}  // namespace
}  // namespace harrier::routing_tests
