// SPDX-License-Identifier: Apache-2.0
#include "protocol/value_text.hpp"

#include <gtest/gtest.h>

#include "tests/unit/protocol/random_values.hpp"

namespace harrier::protocol {
namespace {

TEST(ValueText, TypedTextsAreReadBack) {
  testing::RandomValues random(4711);
  for (int round = 0; round < 2000; ++round) {
    const Table table = random.table();
    const std::string text = table_text(table, ValueText::Typed);
    TextReader reader(text);
    const Table parsed = parse_table(reader);
    ASSERT_TRUE(reader.ok()) << text << "\n" << reader.error();
    ASSERT_TRUE(reader.at_end());
    ASSERT_TRUE(parsed == table) << text;
  }
}

TEST(ValueText, PlainTextsLeaveTheTypesOut) {
  Table inner;
  inner.add_int64("a", 1);
  Table table;
  table.add_int64("n", 5).add("s", "te\"xt").add_bool("t", true).add_table("f", inner);
  table.add_double("d", 0.25).add_timestamp("T", 17).add_void("v");
  EXPECT_EQ(to_text(table.view()),
            R"({"n": 5, "s": "te\"xt", "t": true, "f": {"a": 1}, "d": 0.25, "T": 17, "v": null})");
  EXPECT_EQ(to_text(*table.view().find("n")), "5");
  EXPECT_EQ(to_text(*table.view().find("f")), R"({"a": 1})");
}

TEST(ValueText, BlanksAreAllowedBetweenTokens) {
  TextReader reader("{ \"a\" :  1 ,\"b\":[ 1 , 2 ] }");
  const Table table = parse_table(reader);
  ASSERT_TRUE(reader.ok()) << reader.error();
  EXPECT_EQ(to_text(table.view()), R"({"a": 1, "b": [1, 2]})");
}

TEST(ValueText, Errors) {
  const auto error_of = [](const std::string& text) {
    TextReader reader(text);
    parse_table(reader);
    return reader.error();
  };
  EXPECT_EQ(error_of(""), "at 0: expected '{'");
  EXPECT_EQ(error_of("{"), "at 1: expected '\"'");
  EXPECT_EQ(error_of("{\"a\": }"), "at 6: not a value, or out of range");
  EXPECT_EQ(error_of("{\"a\": 1"), "at 7: expected ','");
  EXPECT_EQ(error_of("{\"a\": U:1}"), "at 6: not a value, or out of range");
  EXPECT_EQ(error_of("{\"a\": \"\\q\"}"), "at 8: unknown escape");
  EXPECT_EQ(error_of("{\"a\": \"\\x4\"}"), "at 9: expected two hex digits");
  EXPECT_EQ(error_of("{\"a\": \"\\"), "at 8: unknown escape");
  EXPECT_EQ(error_of("{\"" + std::string(256, 'k') + "\": 1}"), "at 1: key longer than 255 bytes");
}

TEST(ValueText, DepthIsBounded) {
  const auto nested = [](int depth) {
    std::string text = "{\"k\": ";
    for (int i = 1; i < depth; ++i) text += '[';
    for (int i = 1; i < depth; ++i) text += ']';
    return (depth == 1 ? text + "1" : text) + "}";
  };
  const std::string fits = nested(kTableDepthMax);
  TextReader deepest(fits);
  const Table table = parse_table(deepest);
  EXPECT_TRUE(deepest.ok()) << deepest.error();
  EXPECT_TRUE(validate_table(table.view().bytes()));
  const std::string text = nested(kTableDepthMax + 1);
  TextReader deeper(text);
  parse_table(deeper);
  EXPECT_FALSE(deeper.ok());
}

}  // namespace
}  // namespace harrier::protocol
