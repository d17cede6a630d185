// SPDX-License-Identifier: Apache-2.0
#include "protocol/field_table.hpp"

#include <algorithm>
#include <limits>

#include <gtest/gtest.h>

#include "tests/unit/protocol/random_values.hpp"

namespace harrier::protocol {
namespace {

using Bytes = std::vector<std::uint8_t>;

FieldValue value_of(const Table& table, std::string_view key) {
  const auto found = table.view().find(key);
  return found.value_or(FieldValue{'?', {}});
}

// A table whose only entry "k" has this tag and payload.
Table one(char tag, const Bytes& payload) { return Table().add_value("k", {tag, payload}); }

TEST(FieldTable, Builder) {
  Table inner;
  inner.add("x", "y");
  Table table;
  table.add("s", "text").add_bool("t", true).add_int32("i", -5).add_int64("l", 1LL << 40);
  table.add_double("d", 1.5).add_timestamp("T", 1700000000).add_void("v").add_table("f", inner);
  table.add_array("a", {{'S', as_bytes("one")}, *inner.view().find("x")});
  ASSERT_TRUE(validate_table(table.view().bytes()));
  EXPECT_EQ(value_of(table, "s").as_text(), "text");
  EXPECT_EQ(value_of(table, "t").as_bool(), true);
  EXPECT_EQ(value_of(table, "i").as_integer(), -5);
  EXPECT_EQ(value_of(table, "l").as_integer(), 1LL << 40);
  EXPECT_EQ(value_of(table, "d").as_double(), 1.5);
  EXPECT_EQ(value_of(table, "T").as_timestamp(), 1700000000u);
  EXPECT_EQ(value_of(table, "v").tag, 'V');
  EXPECT_EQ(value_of(table, "f").as_table()->find("x")->as_text(), "y");
  std::string joined;
  value_of(table, "a").as_array()->for_each([&](const FieldValue& element) {
    joined += std::string(*element.as_text()) + ";";
    return true;
  });
  EXPECT_EQ(joined, "one;y;");
  EXPECT_FALSE(table.view().find("absent").has_value());
}

TEST(FieldTable, IntegersOfEveryWidth) {  // section 7.2
  const Bytes ones(8, 0xFF);
  const auto read = [&](char tag, std::size_t size) {
    return one(tag, Bytes(ones.begin(), ones.begin() + static_cast<std::ptrdiff_t>(size)))
        .view()
        .find("k")
        ->as_integer();
  };
  EXPECT_EQ(read('b', 1), -1);
  EXPECT_EQ(read('B', 1), 255);
  EXPECT_EQ(read('s', 2), -1);
  EXPECT_EQ(read('u', 2), 65535);
  EXPECT_EQ(read('I', 4), -1);
  EXPECT_EQ(read('i', 4), 4294967295);
  EXPECT_EQ(read('l', 8), -1);
  EXPECT_EQ(read('L', 8), -1);
}

TEST(FieldTable, TypeNames) {  // C-230, C-234
  const std::vector<std::pair<char, std::string_view>> names{
      {'S', "longstr"},     {'I', "signedint"}, {'l', "long"},         {'L', "long"},
      {'t', "bool"},        {'d', "double"},    {'f', "float"},        {'V', "void"},
      {'T', "timestamp"},   {'F', "table"},     {'A', "array"},        {'x', "binary"},
      {'b', "byte"},        {'s', "short"},     {'B', "unsignedbyte"}, {'u', "unsignedshort"},
      {'i', "unsignedint"}, {'D', "decimal"}};
  for (const auto& [tag, name] : names) EXPECT_EQ((FieldValue{tag, {}}.type_name()), name);
}

TEST(FieldTable, AccessorsOfOtherTagsAreEmpty) {
  const Table table = Table().add("k", "5");
  const FieldValue value = value_of(table, "k");
  EXPECT_FALSE(value.is_integer());
  EXPECT_FALSE(value.as_integer().has_value());
  EXPECT_FALSE(value.as_bool().has_value());
  EXPECT_FALSE(value.as_double().has_value());
  EXPECT_FALSE(value.as_timestamp().has_value());
  EXPECT_FALSE(value.as_table().has_value());
  EXPECT_FALSE(value.as_array().has_value());
  const FieldValue short_payload{'I', {}};
  EXPECT_FALSE(short_payload.as_integer().has_value());
}

TEST(FieldTable, FirstOfDuplicateKeys) {  // C-411
  Table table;
  table.add_int32("k", 1).add_int32("k", 2);
  EXPECT_EQ(value_of(table, "k").as_integer(), 1);
}

TEST(FieldTable, KeysAreAnyBytesOfAnyLength) {  // C-406
  const std::string longest(255, '\xFE');
  Table table;
  table.add("", "empty").add("$ #", "signs").add(longest, "long");
  EXPECT_TRUE(validate_table(table.view().bytes()));
  EXPECT_EQ(value_of(table, "").as_text(), "empty");
  EXPECT_EQ(value_of(table, "$ #").as_text(), "signs");
  EXPECT_EQ(value_of(table, longest).as_text(), "long");
}

TEST(FieldTable, UnknownTagsAreRefused) {  // C-408: never guess a length
  std::string known = "tbBsuIilLfdDSATFVx";
  for (int tag = 0; tag < 256; ++tag) {
    Bytes bytes{1, 'k', static_cast<std::uint8_t>(tag)};
    bytes.resize(bytes.size() + 12);
    const bool is_known = known.find(static_cast<char>(tag)) != std::string::npos;
    EXPECT_FALSE(!is_known && validate_table(bytes)) << tag;
    ByteReader reader(ByteView(bytes).subspan(2));
    read_value(reader);
    EXPECT_EQ(reader.ok(), is_known) << tag;
  }
}

TEST(FieldTable, EveryCutIsRefusedOrASmallerTable) {
  testing::RandomValues random(5);
  for (int round = 0; round < 200; ++round) {
    const Table table = random.table();
    const ByteView bytes = table.view().bytes();
    std::vector<std::size_t> ends{0};  // after each entry
    ByteReader reader(bytes);
    while (reader.remaining() > 0) {
      reader.shortstr();
      read_value(reader);
      ends.push_back(static_cast<std::size_t>(reader.position() - bytes.data()));
    }
    for (std::size_t cut = 0; cut <= bytes.size(); ++cut) {
      const bool at_end = std::find(ends.begin(), ends.end(), cut) != ends.end();
      ASSERT_EQ(validate_table(bytes.first(cut)), at_end);
    }
  }
}

TEST(FieldTable, BrokenNestedContentIsRefused) {
  EXPECT_FALSE(validate_table(one('F', {1}).view().bytes()));
  EXPECT_FALSE(validate_table(one('F', {1, 'a', 'U', 0, 0}).view().bytes()));
  EXPECT_FALSE(validate_table(one('A', {'I', 0, 0}).view().bytes()));
  EXPECT_FALSE(validate_table(one('A', {'A', 0, 0, 0, 1, '?'}).view().bytes()));
  EXPECT_TRUE(validate_table(one('A', {'A', 0, 0, 0, 1, 'V'}).view().bytes()));
}

TEST(FieldTable, NestingIsBounded) {
  Table table;
  for (int depth = 1; depth < kTableDepthMax; ++depth) table = Table().add_table("n", table);
  EXPECT_TRUE(validate_table(table.view().bytes()));
  EXPECT_EQ(canonical_form(table), as_text(table.view().bytes()));
  table = Table().add_table("n", table);
  EXPECT_FALSE(validate_table(table.view().bytes()));
  // As deep as a frame can carry: refused without using up the stack.
  Bytes bytes(131072, 'A');
  EXPECT_FALSE(validate_table(bytes));
  Table deep;
  for (int i = 0; i < 2000; ++i) deep = Table().add_table("", deep);
  EXPECT_FALSE(validate_table(deep.view().bytes()));
}

TEST(FieldTable, EqualValues) {  // C-233, C-412, C-525
  Table table;
  table.add_int32("i5", 5).add_int64("l5", 5).add("s5", "5").add_double("d5", 5).add_bool("true",
                                                                                          true);
  table.add_value("t2", {'t', Bytes{2}}).add_value("b1", {'b', Bytes{1}}).add_int32("i6", 6);
  table.add_value("x5", {'x', as_bytes("5")});
  const auto equal = [&](std::string_view a, std::string_view b) {
    return equal_values(value_of(table, a), value_of(table, b));
  };
  EXPECT_TRUE(equal("i5", "l5"));
  EXPECT_TRUE(equal("true", "t2"));  // any octet but 0 is true
  EXPECT_TRUE(equal("d5", "d5"));
  EXPECT_FALSE(equal("i5", "i6"));
  EXPECT_FALSE(equal("i5", "d5"));
  EXPECT_FALSE(equal("i5", "s5"));
  EXPECT_FALSE(equal("true", "b1"));
  EXPECT_FALSE(equal("s5", "x5"));
  EXPECT_TRUE(equal_values({'u', Bytes{0, 200}}, {'B', Bytes{200}}));
  EXPECT_FALSE(equal_values({'b', Bytes{200}}, {'B', Bytes{200}}));
}

TEST(FieldTable, CanonicalFormIgnoresOrderOnly) {  // C-174
  Table inner_a, inner_b;
  inner_a.add_int32("p", 1).add_int32("q", 2);
  inner_b.add_int32("q", 2).add_int32("p", 1);
  Table a, b;
  a.add("x", "1").add_table("t", inner_a).add_int32("a", 3);
  b.add_int32("a", 3).add_table("t", inner_b).add("x", "1");
  EXPECT_FALSE(a == b);
  EXPECT_EQ(canonical_form(a), canonical_form(b));
  EXPECT_NE(canonical_form(a), canonical_form(Table(b).add_void("v")));
  EXPECT_NE(canonical_form(Table().add_int32("a", 3)), canonical_form(Table().add_int64("a", 3)));
  // Arrays are ordered.
  const FieldValue one{'b', as_bytes("1")}, two{'b', as_bytes("2")};
  EXPECT_NE(canonical_form(Table().add_array("a", {one, two})),
            canonical_form(Table().add_array("a", {two, one})));
}

TEST(FieldTable, CanonicalFormIsATableAndStable) {
  testing::RandomValues random(1234);
  for (int round = 0; round < 500; ++round) {
    const Table table = random.table();
    const std::string form = canonical_form(table);
    ASSERT_EQ(form.size(), table.view().bytes().size());
    ASSERT_TRUE(validate_table(as_bytes(form)));
    ASSERT_EQ(canonical_form(TableView(as_bytes(form))), form);
  }
}

TEST(FieldTable, Remove) {
  Table table;
  table.add("BCC", "1").add("cc", "2").add("BCC", "3").add("z", "4");
  table.remove("BCC");
  EXPECT_EQ(to_text(table.view()), R"({"cc": "2", "z": "4"})");
  table.remove("absent").remove("cc").remove("z");
  EXPECT_TRUE(table.empty());
}

TEST(FieldTable, CopiesKeepTheBytes) {  // C-344
  testing::RandomValues random(77);
  for (int round = 0; round < 200; ++round) {
    const Table table = random.table();
    Table copy;
    table.view().for_each([&](std::string_view key, const FieldValue& value) {
      copy.add_value(key, value);
      return true;
    });
    ASSERT_TRUE(copy == table);
    ASSERT_TRUE(Table(table.view()) == table);
  }
}

TEST(FieldTable, VisitsStopWhenAsked) {
  Table table;
  table.add_int32("a", 1).add_int32("b", 2).add_int32("c", 3);
  int visited = 0;
  table.view().for_each([&](std::string_view key, const FieldValue&) {
    ++visited;
    return key != "b";
  });
  EXPECT_EQ(visited, 2);
}

}  // namespace
}  // namespace harrier::protocol
