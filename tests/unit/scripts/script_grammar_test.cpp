// SPDX-License-Identifier: Apache-2.0
//
// Golden tests of the script grammar: what a line means, and where and what an error says.
#include "tests/scripts/script_grammar.hpp"

#include <gtest/gtest.h>

namespace harrier::scripts {
namespace {

Step step_of(std::string_view text) {
  const Script script = parse_script(text, "test.amqp");
  EXPECT_EQ(script.lines.size(), 1u) << text;
  return std::get<Step>(script.lines.at(0).of);
}

std::string plain(const Value& value) {
  std::string out;
  for (const TextPart& part : std::get<Text>(value.of).parts)
    out += part.variable ? "<" + part.text + ">" : part.text;
  return out;
}

TEST(ScriptGrammar, ReadsASentMethod) {
  const Step step =
      step_of("A.12 basic.publish exchange=\"\" routing_key=$q.x mandatory=true  # why\n");
  EXPECT_EQ(step.connection, "A");
  EXPECT_EQ(step.channel, 12);
  EXPECT_EQ(step.direction, Direction::Send);
  EXPECT_EQ(step.verb, "basic.publish");
  ASSERT_EQ(step.arguments.size(), 3u);
  EXPECT_EQ(plain(step.arguments[0].value), "");
  EXPECT_EQ(plain(step.arguments[1].value), "<q>.x");
  EXPECT_EQ(step.arguments[2].name, "mandatory");
}

TEST(ScriptGrammar, ReadsDirections) {
  EXPECT_EQ(step_of("B < eof").direction, Direction::Expect);
  EXPECT_EQ(step_of("B <* basic.ack").direction, Direction::ExpectAmong);
  EXPECT_EQ(step_of("B call queue.declare").direction, Direction::Call);
  EXPECT_FALSE(step_of("B call queue.declare").channel.has_value());
}

TEST(ScriptGrammar, ReadsOperators) {
  const Step step = step_of(R"(A < x.y a=1 b!=2 c~"3" d^=4 e*={"k": 5} f=>$g !h i)");
  const std::vector<Operator> expected = {Operator::Equals, Operator::Differs,   Operator::Matches,
                                          Operator::Prefix, Operator::Contains,  Operator::Captures,
                                          Operator::Absent, Operator::Positional};
  ASSERT_EQ(step.arguments.size(), expected.size());
  for (std::size_t i = 0; i < expected.size(); ++i)
    EXPECT_EQ(step.arguments[i].op, expected[i]) << i;
  EXPECT_EQ(step.arguments[6].name, "h");
}

TEST(ScriptGrammar, ReadsEveryTableValue) {
  const Step step =
      step_of(R"(A x t={"i": 5, "l": l:-5, "d": 1.5, "f": f:#7fc00000, "D": D:2/314, "T": T:17, )"
              R"("x": x"00 Ff", "b": x:"a\x01", )"
              R"("t": true, "V": null, "S": "s", "v": $q, "A": [1, [], {}], "F": {"k": "v"}})");
  const auto& entries = std::get<TableLiteral>(step.arguments.at(0).value.of).entries;
  ASSERT_EQ(entries.size(), 14u);
  EXPECT_EQ(std::get<Number>(entries[0].value.of).tag, 'I');
  EXPECT_EQ(std::get<Number>(entries[1].value.of).tag, 'l');
  EXPECT_EQ(std::get<Number>(entries[1].value.of).digits, "-5");
  EXPECT_EQ(std::get<Number>(entries[2].value.of).tag, 'd');
  EXPECT_EQ(std::get<Number>(entries[3].value.of).digits, "#7fc00000");
  EXPECT_EQ(std::get<Decimal>(entries[4].value.of).scale, 2);
  EXPECT_EQ(std::get<Decimal>(entries[4].value.of).value, 314u);
  EXPECT_EQ(std::get<Number>(entries[5].value.of).tag, 'T');
  EXPECT_EQ(std::get<Bytes>(entries[6].value.of).bytes, std::string("\x00\xff", 2));
  EXPECT_EQ(std::get<Bytes>(entries[7].value.of).bytes, "a\x01");
  EXPECT_TRUE(std::get<bool>(entries[8].value.of));
  EXPECT_TRUE(std::holds_alternative<Void>(entries[9].value.of));
  EXPECT_EQ(plain(entries[11].value), "<q>");
  EXPECT_EQ(std::get<ArrayLiteral>(entries[12].value.of).items.size(), 3u);
}

TEST(ScriptGrammar, ReadsEscapes) {
  const Step step = step_of(R"(A raw "a\n\0\x41\"\\\$q" 41)");
  EXPECT_EQ(plain(step.arguments.at(0).value), std::string("a\n\0A\"\\$q", 8));
  EXPECT_TRUE(std::get<Text>(step.arguments[0].value.of).quoted);
  EXPECT_FALSE(std::get<Text>(step.arguments[1].value.of).quoted);
}

TEST(ScriptGrammar, HashInsideAWordIsNoComment) {
  EXPECT_EQ(plain(step_of("A x key=a.#.b # comment").arguments.at(0).value), "a.#.b");
  EXPECT_EQ(plain(step_of("A x key=#").arguments.at(0).value), "#");
}

TEST(ScriptGrammar, CollectsTitleAndItems) {
  const Script script =
      parse_script("# C-324, C-325: returns\n# and C-99\n\nA open\n# C-1 is no item\n", "t.amqp");
  EXPECT_EQ(script.title, "C-324, C-325: returns");
  EXPECT_EQ(script.items, (std::vector<std::string>{"C-324", "C-325", "C-99"}));
  EXPECT_EQ(script.lines.at(0).number, 4u);
}

struct Golden {
  const char* text;
  const char* error;
};

class ScriptGrammarErrors : public testing::TestWithParam<Golden> {};

TEST_P(ScriptGrammarErrors, PointsAtThePlace) {
  try {
    parse_script(GetParam().text, "t.amqp");
    FAIL() << "parsed: " << GetParam().text;
  } catch (const ScriptError& error) {
    EXPECT_EQ(std::string(error.what()), GetParam().error);
  }
}

INSTANTIATE_TEST_SUITE_P(
    Lines, ScriptGrammarErrors,
    testing::Values(
        Golden{"A open\nA basic.publish x=",
               "t.amqp:2:19: expected a value\n  A basic.publish x=\n                    ^"},
        Golden{"A. open", "t.amqp:1:3: expected a channel number\n  A. open\n    ^"},
        Golden{"A.70000 open", "t.amqp:1:3: expected a channel number\n  A.70000 open\n    ^"},
        Golden{"open",
               "t.amqp:1:1: expected a connection (a capital letter first) or a directive\n  "
               "open\n  ^"},
        Golden{"A < ", "t.amqp:1:5: expected a method or an action\n  A < \n      ^"},
        Golden{"A <eof", "t.amqp:1:4: expected a space\n  A <eof\n     ^"},
        Golden{"A x a={\"k\" 5}", "t.amqp:1:12: expected ':'\n  A x a={\"k\" 5}\n             ^"},
        Golden{"A x a={\"k\": zz}",
               "t.amqp:1:13: expected a table value\n  A x a={\"k\": zz}\n              ^"},
        Golden{"A x a=[1, ]", "t.amqp:1:11: expected a table value\n  A x a=[1, ]\n            ^"},
        Golden{"A x a=\"open", "t.amqp:1:12: expected '\"'\n  A x a=\"open\n             ^"},
        Golden{"A x a=\"\\xg0\"",
               "t.amqp:1:10: expected two hexadecimal digits\n  A x a=\"\\xg0\"\n           ^"},
        Golden{"A x b}", "t.amqp:1:6: unexpected text\n  A x b}\n       ^"},
        Golden{"end", "t.amqp:1:1: end without repeat or for\n  end\n  ^"},
        Golden{"repeat 2", "t.amqp:1:1: repeat or for without end\n  repeat 2\n  ^"}));

}  // namespace
}  // namespace harrier::scripts
