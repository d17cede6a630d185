// SPDX-License-Identifier: Apache-2.0
#include "routing/headers.hpp"

#include <random>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "protocol/error.hpp"
#include "tests/unit/routing/fixture.hpp"

namespace harrier::routing_tests {
namespace {

using protocol::FieldValue;
using protocol::Table;

Table table() { return {}; }

Table x_match(const char* mode) {
  Table made;
  made.add("x-match", mode);
  return made;
}

std::string bind_error(const Table& arguments) {
  Broker broker;
  broker.queue("q");
  try {
    broker.bind("amq.headers", "q", "", arguments);
  } catch (const protocol::AmqpError& error) {
    EXPECT_EQ(error.code(), protocol::ReplyCode::PreconditionFailed);
    EXPECT_EQ(broker.registry.binding_count(), 0U);
    return error.explanation();
  }
  return "";
}

bool matches(const Table& arguments, const Table& headers) {
  Broker broker;
  broker.queue("q");
  broker.bind("amq.match", "q", "ignored", arguments);
  const bool matched = !broker.route("amq.match", "any.key", {}, headers).empty();
  EXPECT_EQ(broker.unbind("amq.match", "q", "ignored", arguments).bindings.size(), 1U);
  EXPECT_EQ(broker.route("amq.match", "any.key", {}, headers), Names{});
  return matched;
}

TEST(Headers, XMatchIsCheckedOnBind) {  // C-522
  for (const char* mode : {"all", "any", "all-with-x", "any-with-x"}) {
    EXPECT_EQ(bind_error(x_match(mode)), "");
  }
  EXPECT_EQ(bind_error(table()), "");
  EXPECT_EQ(bind_error(x_match("most")),
            "Invalid x-match field value <<\"most\">>; expected all, any, all-with-x, or "
            "any-with-x");
  EXPECT_EQ(bind_error(table().add_int32("x-match", 5)),
            "Invalid x-match field type signedint (value 5); expected longstr");
  EXPECT_EQ(bind_error(table().add_bool("x-match", true)),
            "Invalid x-match field type bool (value true); expected longstr");
}

TEST(Headers, OtherExchangeTypesTakeAnyXMatch) {
  Broker broker;
  broker.queue("q");
  EXPECT_TRUE(broker.bind("amq.topic", "q", "", x_match("most")));
  EXPECT_TRUE(broker.bind("amq.direct", "q", "", x_match("most")));
  EXPECT_TRUE(broker.bind("amq.fanout", "q", "", x_match("most")));
}

TEST(Headers, AllNeedsEveryArgument) {
  const Table both = table().add("a", "1").add("b", "2");
  for (const Table& binding : {both, x_match("all").add("a", "1").add("b", "2")}) {
    EXPECT_TRUE(matches(binding, both));
    EXPECT_TRUE(matches(binding, table().add("z", "9").add("b", "2").add("a", "1")));
    EXPECT_FALSE(matches(binding, table().add("a", "1")));
    EXPECT_FALSE(matches(binding, table().add("a", "1").add("b", "3")));
    EXPECT_FALSE(matches(binding, table()));
  }
}

TEST(Headers, AnyNeedsOne) {
  const Table binding = x_match("any").add("a", "1").add("b", "2");
  EXPECT_TRUE(matches(binding, table().add("a", "1").add("b", "2")));
  EXPECT_TRUE(matches(binding, table().add("a", "0").add("b", "2")));
  EXPECT_FALSE(matches(binding, table().add("a", "2").add("b", "1")));
  EXPECT_FALSE(matches(binding, table()));
}

TEST(Headers, NamesWithXCountOnlyWhenAsked) {  // C-523
  EXPECT_TRUE(matches(x_match("all").add("a", "1").add("x-b", "2"), table().add("a", "1")));
  EXPECT_FALSE(matches(x_match("any").add("a", "1").add("x-b", "2"), table().add("x-b", "2")));
  const Table all = x_match("all-with-x").add("a", "1").add("x-b", "2");
  EXPECT_FALSE(matches(all, table().add("a", "1")));
  EXPECT_TRUE(matches(all, table().add("a", "1").add("x-b", "2")));
  const Table any = x_match("any-with-x").add("a", "1").add("x-b", "2");
  EXPECT_TRUE(matches(any, table().add("x-b", "2")));
  EXPECT_FALSE(matches(any, table().add("x-match", "any-with-x")));  // x-match never counts
}

TEST(Headers, VoidMatchesPresence) {  // C-524
  const Table all = table().add_void("a").add("b", "2");
  EXPECT_TRUE(matches(all, table().add_int32("a", 7).add("b", "2")));
  EXPECT_TRUE(matches(all, table().add_void("a").add("b", "2")));
  EXPECT_FALSE(matches(all, table().add("b", "2")));
  EXPECT_TRUE(matches(x_match("any").add_void("a"), table().add("a", "whatever")));
  EXPECT_FALSE(matches(x_match("any").add_void("a"), table().add("b", "")));
  EXPECT_FALSE(matches(table().add("a", ""), table().add_void("a")));  // not the other way round
}

TEST(Headers, ValuesAreComparedByTypeAndIntegersAcrossWidths) {  // C-525
  const auto value = [](char tag, std::vector<std::uint8_t> payload) {
    Table made;
    made.add_value("n", FieldValue{tag, payload});
    return made;
  };
  const Table one32 = table().add_int32("n", 1);
  EXPECT_TRUE(matches(one32, table().add_int64("n", 1)));
  EXPECT_TRUE(matches(one32, value('b', {1})));
  EXPECT_TRUE(matches(one32, value('u', {0, 1})));
  EXPECT_TRUE(matches(value('B', {255}), table().add_int64("n", 255)));
  EXPECT_FALSE(matches(value('B', {255}), value('b', {255})));  // 255 and -1
  EXPECT_TRUE(matches(value('b', {255}), table().add_int64("n", -1)));
  EXPECT_FALSE(matches(one32, table().add_double("n", 1.0)));
  EXPECT_FALSE(matches(one32, table().add("n", "1")));
  EXPECT_FALSE(matches(one32, table().add_bool("n", true)));
  EXPECT_FALSE(matches(one32, table().add_timestamp("n", 1)));
  EXPECT_TRUE(matches(table().add_bool("n", true), table().add_bool("n", true)));
  EXPECT_FALSE(matches(table().add_bool("n", true), table().add_bool("n", false)));
  EXPECT_TRUE(matches(table().add_double("n", 1.5), table().add_double("n", 1.5)));
  EXPECT_FALSE(matches(table().add("n", "A"), table().add("n", "a")));
  const Table nested = table().add_table("n", table().add("k", "v").view());
  EXPECT_TRUE(matches(nested, nested));
  EXPECT_FALSE(matches(nested, table().add_table("n", table().add("k", "w").view())));
}

TEST(Headers, EmptyAllMatchesEverythingEmptyAnyNothing) {  // C-527, C-528
  for (const Table& empty_all :
       {table(), x_match("all"), x_match("all").add("x-other", "1"), x_match("all-with-x")}) {
    EXPECT_TRUE(matches(empty_all, table()));
    EXPECT_TRUE(matches(empty_all, table().add("a", "1")));
  }
  for (const Table& empty_any :
       {x_match("any"), x_match("any").add("x-other", "1"), x_match("any-with-x")}) {
    EXPECT_FALSE(matches(empty_any, table()));
    EXPECT_FALSE(matches(empty_any, table().add("x-other", "1").add("a", "1")));
  }
}

TEST(Headers, TheFirstOfDuplicateHeadersCounts) {
  EXPECT_TRUE(matches(table().add("a", "1"), table().add("a", "1").add("a", "2")));
  EXPECT_FALSE(matches(table().add("a", "2"), table().add("a", "1").add("a", "2")));
}

TEST(Headers, BindingsThatDifferOnlyInTheKeyOrInTheirArgumentsAreKeptApart) {
  Broker broker;
  broker.queue("q");
  const Table ordered = table().add("a", "1").add("b", "2");
  const Table reordered = table().add("b", "2").add("a", "1");
  EXPECT_TRUE(broker.bind("amq.match", "q", "k1", ordered));
  EXPECT_FALSE(broker.bind("amq.match", "q", "k1", reordered));  // C-174: the same binding
  EXPECT_TRUE(broker.bind("amq.match", "q", "k2", reordered));
  EXPECT_TRUE(broker.bind("amq.match", "q", "k1", x_match("any").add("a", "1")));
  EXPECT_EQ(broker.route("amq.match", "", {}, ordered), Names{"q"});
  broker.unbind("amq.match", "q", "k1", ordered);
  EXPECT_EQ(broker.route("amq.match", "", {}, ordered), Names{"q"});
  broker.unbind("amq.match", "q", "k1", x_match("any").add("a", "1"));
  EXPECT_EQ(broker.route("amq.match", "", {}, ordered), Names{"q"});
  broker.unbind("amq.match", "q", "k2", ordered);
  EXPECT_EQ(broker.route("amq.match", "", {}, ordered), Names{});
}

// The rules of 8.18 over plain vectors, for the random test.
struct PlainRule {
  bool any = false;
  std::vector<std::pair<std::string, int>> wanted;  // -1: any value
};

bool plain_match(const PlainRule& rule, const std::vector<std::pair<std::string, int>>& headers) {
  std::size_t equal = 0;
  for (const auto& [name, value] : rule.wanted) {
    for (const auto& [header, held] : headers) {
      if (header == name && (value == -1 || value == held)) ++equal;
    }
  }
  return rule.any ? equal > 0 : equal == rule.wanted.size();
}

TEST(Headers, AgreesWithPlainSearch) {
  std::mt19937 random(5);
  const auto pairs = [&random](unsigned limit, bool with_void) {
    std::vector<std::pair<std::string, int>> made;
    for (char name = 'a'; name < 'f'; ++name) {
      if (random() % 6 >= limit) continue;
      const bool is_void = with_void && random() % 5 == 0;
      made.emplace_back(std::string(1, name), is_void ? -1 : static_cast<int>(random() % 3));
    }
    return made;
  };
  const auto encode = [](const std::vector<std::pair<std::string, int>>& entries, Table made) {
    for (const auto& [name, value] : entries) {
      if (value == -1) {
        made.add_void(name);
      } else {
        made.add_int32(name, value);
      }
    }
    return made;
  };
  Broker broker;
  std::vector<std::pair<std::string, PlainRule>> bound;
  for (int step = 0; step < 600; ++step) {
    const auto arguments = [&](const PlainRule& rule) {
      return encode(rule.wanted, x_match(rule.any ? "any" : "all"));
    };
    if (bound.empty() || random() % 3 != 0) {
      const std::string name = "q" + std::to_string(step);
      const PlainRule rule{random() % 2 == 0, pairs(3, true)};
      broker.queue(name);
      EXPECT_TRUE(broker.bind("amq.match", name, "", arguments(rule)));
      bound.emplace_back(name, rule);
    } else {
      const auto chosen = bound.begin() + static_cast<long>(random() % bound.size());
      EXPECT_EQ(
          broker.unbind("amq.match", chosen->first, "", arguments(chosen->second)).bindings.size(),
          1U);
      bound.erase(chosen);
    }
    const auto headers = pairs(4, false);
    Names expected;
    for (const auto& [name, rule] : bound) {
      if (plain_match(rule, headers)) expected.push_back(name);
    }
    std::sort(expected.begin(), expected.end());
    ASSERT_EQ(broker.route("amq.match", "", {}, encode(headers, {})), expected) << step;
  }
}

}  // namespace
}  // namespace harrier::routing_tests
