// SPDX-License-Identifier: Apache-2.0
//
// Topic exchanges: the whole table of section 9.3, hostile patterns, and what unbinding leaves
// behind.
#include "routing/topic.hpp"

#include <map>
#include <random>
#include <string>
#include <variant>
#include <vector>

#include <gtest/gtest.h>

#include "tests/unit/routing/fixture.hpp"
#include "tests/unit/routing/naive_topic.hpp"

namespace harrier::routing_tests {
namespace {

using routing::Destination;
using routing::Pattern;
using routing::QueueId;
using routing::TopicMatcher;

// Queue -> binding key. t27 is bound twice, with different arguments.
const std::vector<std::pair<std::string, std::string>> kBindings = {{"t1", "a.b.c"},
                                                                    {"t2", "a.*.c"},
                                                                    {"t3", "a.#.b"},
                                                                    {"t4", "a.b.b.c"},
                                                                    {"t5", "#"},
                                                                    {"t6", "#.#"},
                                                                    {"t7", "#.b"},
                                                                    {"t8", "*.*"},
                                                                    {"t9", "a.*"},
                                                                    {"t10", "*.b.c"},
                                                                    {"t11", "a.#"},
                                                                    {"t12", "a.#.#"},
                                                                    {"t13", "b.b.c"},
                                                                    {"t14", "a.b.b"},
                                                                    {"t15", "a.b"},
                                                                    {"t16", "b.c"},
                                                                    {"t17", ""},
                                                                    {"t18", "*.*.*"},
                                                                    {"t19", "vodka.martini"},
                                                                    {"t20", "a.b.c"},
                                                                    {"t21", "*.#"},
                                                                    {"t22", "#.*.#"},
                                                                    {"t23", "*.#.#"},
                                                                    {"t25", "*"},
                                                                    {"t26", "#.b.#"},
                                                                    {"t27", "args-test"}};

struct Line {
  const char* item;
  const char* routing_key;
  Names reached;
};

const std::vector<Line> kTable = {
    {"C-540",
     "a.b.c",
     {"t1", "t2", "t5", "t6", "t10", "t11", "t12", "t18", "t20", "t21", "t22", "t23", "t26"}},
    {"C-541",
     "a.b",
     {"t3", "t5", "t6", "t7", "t8", "t9", "t11", "t12", "t15", "t21", "t22", "t23", "t26"}},
    {"C-542",
     "a.b.b",
     {"t3", "t5", "t6", "t7", "t11", "t12", "t14", "t18", "t21", "t22", "t23", "t26"}},
    {"C-543", "", {"t5", "t6", "t17"}},
    {"C-544", "b.c.c", {"t5", "t6", "t18", "t21", "t22", "t23", "t26"}},
    {"C-545", "a.a.a.a.a", {"t5", "t6", "t11", "t12", "t21", "t22", "t23"}},
    {"C-546", "vodka.gin", {"t5", "t6", "t8", "t21", "t22", "t23"}},
    {"C-547", "vodka.martini", {"t5", "t6", "t8", "t19", "t21", "t22", "t23"}},
    {"C-548", "b.b.c", {"t5", "t6", "t10", "t13", "t18", "t21", "t22", "t23", "t26"}},
    {"C-549", "nothing.here.at.all", {"t5", "t6", "t21", "t22", "t23"}},
    {"C-550", "oneword", {"t5", "t6", "t21", "t22", "t23", "t25"}},
    {"C-551", "args-test", {"t5", "t6", "t21", "t22", "t23", "t25", "t27"}},
};

void bind_all(Broker& broker) {
  for (const auto& [queue, key] : kBindings) {
    broker.queue(queue);
    EXPECT_TRUE(broker.bind("amq.topic", queue, key));
  }
  protocol::Table arguments;
  arguments.add("foo", "bar");
  EXPECT_TRUE(broker.bind("amq.topic", "t27", "args-test", arguments));
}

void expect_table(Broker& broker, const Names& gone) {
  for (const Line& line : kTable) {
    Names expected;
    for (const std::string& queue : line.reached) {
      if (std::find(gone.begin(), gone.end(), queue) == gone.end()) expected.push_back(queue);
    }
    std::sort(expected.begin(), expected.end());
    EXPECT_EQ(broker.route("amq.topic", line.routing_key), expected) << line.item;
  }
}

TEST(TopicTable93, AllBindingsPresent) {
  Broker broker;
  bind_all(broker);
  expect_table(broker, {});
}

TEST(TopicTable93, RemovingSomeLeavesTheOthersAlone) {  // C-539, C-552
  Broker broker;
  bind_all(broker);
  Names gone;
  for (const char* queue :
       {"t1", "t5", "t11", "t19", "t21", "t3", "t7", "t12", "t15", "t17", "t18", "t23", "t26"}) {
    for (const auto& [name, key] : kBindings) {
      if (name != queue) continue;
      EXPECT_EQ(broker.unbind("amq.topic", name, key).bindings.size(), 1U);
    }
    gone.emplace_back(queue);
    expect_table(broker, gone);
  }
}

TEST(TopicTable93, EveryOrderOfRemovalKeepsTheRest) {
  for (unsigned seed = 0; seed < 20; ++seed) {
    Broker broker;
    bind_all(broker);
    auto order = kBindings;
    std::shuffle(order.begin(), order.end(), std::mt19937(seed));
    Names gone;
    for (const auto& [queue, key] : order) {
      if (queue == "t27") continue;
      broker.unbind("amq.topic", queue, key);
      gone.push_back(queue);
      expect_table(broker, gone);
    }
  }
}

TEST(Topic, BindingsThatDifferInArgumentsAreKeptApart) {  // C-537
  Broker broker;
  bind_all(broker);
  protocol::Table arguments;
  arguments.add("foo", "bar");
  EXPECT_EQ(broker.unbind("amq.topic", "t27", "args-test", arguments).bindings.size(), 1U);
  expect_table(broker, {});
  EXPECT_EQ(broker.unbind("amq.topic", "t27", "args-test", arguments).bindings.size(), 0U);
  EXPECT_EQ(broker.unbind("amq.topic", "t27", "args-test").bindings.size(), 1U);
  expect_table(broker, {"t27"});
}

class MatcherTest : public testing::Test {
 protected:
  static Pattern pattern(const std::string& text) {
    return std::get<Pattern>(routing::parse_pattern(text));
  }
  void add(const std::string& text, std::uint64_t id = 1) {
    matcher.add(pattern(text), Destination(QueueId{id}));
  }
  bool remove(const std::string& text, std::uint64_t id = 1) {
    return matcher.remove(pattern(text), Destination(QueueId{id}));
  }
  std::vector<std::uint64_t> match(const std::string& key) {
    out.clear();
    matcher.match(key, scratch, out);
    std::vector<std::uint64_t> ids;
    for (const Destination found : out) ids.push_back(static_cast<std::uint64_t>(found.queue()));
    std::sort(ids.begin(), ids.end());
    ids.erase(std::unique(ids.begin(), ids.end()), ids.end());
    return ids;
  }

  TopicMatcher matcher;
  routing::TopicScratch scratch;
  std::vector<Destination> out;
};

std::string repeat(const std::string& text, int times) {
  std::string all;
  for (int i = 0; i < times; ++i) all += text;
  return all;
}

TEST_F(MatcherTest, ManyHashesCostNoMoreThanTheirNumber) {  // C-535
  // The case that hangs others: 40 pairs against 101 words, the last of which differs.
  const std::string hostile = repeat("#.a.", 40) + "#.b";
  add(hostile, 1);
  add(repeat("#.a.", 39) + "#.a", 2);
  const std::string key = repeat("a.", 100) + "c";
  EXPECT_EQ(match(key), std::vector<std::uint64_t>{});
  EXPECT_EQ(match(repeat("a.", 100) + "b"), std::vector<std::uint64_t>{1});
  EXPECT_EQ(match(repeat("a.", 100) + "a"), std::vector<std::uint64_t>{2});
  EXPECT_EQ(match(repeat("a.", 39) + "b"), std::vector<std::uint64_t>{});
}

TEST_F(MatcherTest, EmptyWordsUpToTheLimitOfTheKey) {
  const std::string dots(255, '.');
  add(dots, 1);
  add(repeat("#.", 127) + "#", 2);
  add(repeat("*.", 127) + "#", 3);
  add(repeat("#.*.", 63) + "#", 4);
  add(repeat("#..", 85), 5);  // 85 times: any words, an empty one
  EXPECT_EQ(match(dots), (std::vector<std::uint64_t>{1, 2, 3, 4, 5}));
  EXPECT_EQ(match(""), std::vector<std::uint64_t>{2});
  EXPECT_EQ(match(dots.substr(1)), (std::vector<std::uint64_t>{2, 3, 4, 5}));
  EXPECT_EQ(match(repeat("x.", 127)), (std::vector<std::uint64_t>{2, 3, 4}));
}

// Nodes keep up to 16 characters of their first word, keys are read 8 at a time: both limits, and
// words that differ in one byte only, on either side of them.
TEST_F(MatcherTest, WordsOfEveryLength) {
  const auto word = [](std::size_t size) { return std::string(size, 'w'); };
  constexpr std::uint64_t kSizes = 34;
  for (std::uint64_t size = 0; size < kSizes; ++size) {
    add(word(size) + ".x", 1000 + size);
    add("*." + word(size), 2000 + size);
    add("#.y." + word(size) + ".z", 3000 + size);
  }
  const TopicMatcher before = matcher;
  const auto check = [&](std::uint64_t size) {
    using Ids = std::vector<std::uint64_t>;
    const std::string text = word(size);
    EXPECT_EQ(match(text + ".x"), (Ids{1000 + size})) << size;
    EXPECT_EQ(match("v." + text), (Ids{2000 + size})) << size;
    EXPECT_EQ(match("v.y." + text + ".z"), (Ids{3000 + size})) << size;
    for (std::size_t i = 0; i < text.size(); ++i) {
      std::string other = text;
      for (const char byte : {'v', '\0'}) {
        other[i] = byte;
        EXPECT_EQ(match(other + ".x"), Ids{}) << size << ' ' << i;
        EXPECT_EQ(match("v." + other), Ids{}) << size << ' ' << i;
        EXPECT_EQ(match("v.y." + other + ".z"), Ids{}) << size << ' ' << i;
      }
    }
    EXPECT_EQ(match(text + '\0' + ".x"), Ids{}) << size;
  };
  for (std::uint64_t size = 0; size < kSizes; ++size) check(size);
  // Nodes that are split, joined again and copied keep their word.
  for (std::uint64_t size = 0; size < kSizes; ++size) add(word(size) + ".x.y", 4000 + size);
  for (std::uint64_t size = 0; size < kSizes; ++size) add(word(size), 5000 + size);
  for (std::uint64_t size = 0; size < kSizes; ++size) check(size);
  for (std::uint64_t size = 0; size < kSizes; ++size) {
    EXPECT_TRUE(remove(word(size) + ".x.y", 4000 + size));
    EXPECT_TRUE(remove(word(size), 5000 + size));
  }
  for (std::uint64_t size = 0; size < kSizes; ++size) check(size);
  matcher = before;
  for (std::uint64_t size = 0; size < kSizes; ++size) check(size);
}

TEST_F(MatcherTest, EachHostilePatternEmitsItsDestinationFewTimes) {
  // Work is bounded by states x words; what comes out, by the patterns that match.
  for (std::uint64_t id = 0; id < 60; ++id) {
    add(repeat("#.a.", static_cast<int>(id)) + "#", id);
  }
  EXPECT_EQ(match(repeat("a.", 99) + "a").size(), 60U);
  EXPECT_EQ(out.size(), 60U);
}

TEST_F(MatcherTest, WildcardWordsOfTheKeyArePlain) {
  add("a", 1);
  add("*", 2);
  add("#", 3);
  add("a#", 4);
  EXPECT_EQ(match("#"), (std::vector<std::uint64_t>{2, 3}));
  EXPECT_EQ(match("*"), (std::vector<std::uint64_t>{2, 3}));
  EXPECT_EQ(match("a#"), (std::vector<std::uint64_t>{2, 3, 4}));
}

TEST_F(MatcherTest, RemovingWhatIsNotThereChangesNothing) {
  add("a.b.c", 1);
  EXPECT_FALSE(remove("a.b", 1));
  EXPECT_FALSE(remove("a.b.c.d", 1));
  EXPECT_FALSE(remove("a.b.c", 2));
  EXPECT_FALSE(remove("a.#.c", 1));
  EXPECT_FALSE(remove("", 1));
  EXPECT_EQ(match("a.b.c"), std::vector<std::uint64_t>{1});
}

TEST_F(MatcherTest, NothingStaysBehind) {
  std::mt19937 random(11);
  std::vector<std::string> bound;
  for (int i = 0; i < 2000; ++i) {
    std::string text;
    const auto words = random() % 6;
    for (unsigned w = 0; w < words; ++w) {
      if (w > 0) text += '.';
      const auto kind = random() % 8;
      text += kind == 0 ? "*" : kind == 1 ? "#" : "w" + std::to_string(random() % 50);
    }
    add(text, static_cast<std::uint64_t>(i));
    bound.push_back(text);
  }
  const TopicMatcher before = matcher;
  for (std::size_t i = 0; i < bound.size(); ++i) ASSERT_TRUE(remove(bound[i], i)) << bound[i];
  EXPECT_TRUE(matcher.empty());
  EXPECT_EQ(matcher.word_count(), 0U);
  EXPECT_EQ(matcher.node_count(), 0U);
  EXPECT_GT(before.word_count(), 0U);
  EXPECT_LE(before.node_count(), 2 * bound.size() + 1);
}

TEST_F(MatcherTest, UnaryPathsAreOneNode) {
  add("one.two.*.three.#.four", 1);
  EXPECT_EQ(matcher.node_count(), 2U);  // the root and the path
  add("one.two.#", 2);
  EXPECT_EQ(matcher.node_count(), 4U);
  EXPECT_TRUE(remove("one.two.#", 2));
  EXPECT_EQ(matcher.node_count(), 2U);
  EXPECT_EQ(match("one.two.x.three.four"), std::vector<std::uint64_t>{1});
}

}  // namespace
}  // namespace harrier::routing_tests
