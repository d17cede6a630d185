// SPDX-License-Identifier: Apache-2.0
#include "broker/bench/setup.hpp"

#include <sstream>

#include <gtest/gtest.h>

namespace harrier::bench {
namespace {

std::vector<std::string> words(const std::string& key) {
  std::vector<std::string> out;
  std::istringstream in(key);
  for (std::string word; std::getline(in, word, '.');) out.push_back(word);
  return out;
}

// The definition of a topic match, word by word.
bool matches(const std::vector<std::string>& pattern, const std::vector<std::string>& key,
             std::size_t at = 0, std::size_t word = 0) {
  if (at == pattern.size()) return word == key.size();
  if (pattern[at] == "#") {
    for (std::size_t next = word; next <= key.size(); ++next) {
      if (matches(pattern, key, at + 1, next)) return true;
    }
    return false;
  }
  if (word == key.size() || (pattern[at] != "*" && pattern[at] != key[word])) return false;
  return matches(pattern, key, at + 1, word + 1);
}

TEST(Keys, ATopicKeyMatchesItsOwnBindingOnly) {
  constexpr std::uint32_t kBindings = 40;
  for (std::uint32_t target = 0; target < kBindings; ++target) {
    for (const std::uint32_t variety : {0u, 1u, 15u}) {
      std::string key;
      routing_key("topic", target, variety, key);
      for (std::uint32_t each = 0; each < kBindings; ++each) {
        EXPECT_EQ(matches(words(binding_key("topic", each)), words(key)), each == target)
            << binding_key("topic", each) << ' ' << key;
      }
    }
  }
}

TEST(Keys, DirectKeysAreTheBindings) {
  std::string key;
  routing_key("direct", 17, 3, key);
  EXPECT_EQ(key, binding_key("direct", 17));
  EXPECT_NE(key, binding_key("direct", 18));
}

TEST(QueueArguments, AreTheGivenOnesAndTheType) {
  Workload workload;
  EXPECT_TRUE(queue_arguments(workload).empty());
  EXPECT_FALSE(keeps_all(workload));
  workload.queue_arguments.add_int64("x-max-priority", 9);
  workload.queue_type = "quorum";
  EXPECT_EQ(to_text(queue_arguments(workload).view()),
            R"({"x-max-priority": 9, "x-queue-type": "quorum"})");
  EXPECT_FALSE(keeps_all(workload));
  workload.queue_type = "stream";
  EXPECT_TRUE(keeps_all(workload));
}

TEST(Names, BelongToTheRun) {
  const Names names(0xAB);
  EXPECT_EQ(names.exchange(), "harrier-bench.00000000000000ab");
  EXPECT_EQ(names.queue(7), "harrier-bench.00000000000000ab.7");
  EXPECT_NE(random_run(), random_run());
}

}  // namespace
}  // namespace harrier::bench
