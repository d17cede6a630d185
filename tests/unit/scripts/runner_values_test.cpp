// SPDX-License-Identifier: Apache-2.0
//
// Values of scripts: how literals are encoded, and when an expectation holds.
#include "tests/scripts/runner_values.hpp"

#include <gtest/gtest.h>

#include "tests/scripts/script_grammar.hpp"

namespace harrier::scripts {
namespace {

Argument argument_of(const std::string& text) {
  const Script script = parse_script("A x " + text, "test.amqp");
  return std::get<Step>(script.lines.at(0).of).arguments.at(0);
}

std::string encoded(const std::string& table) {
  Variables variables("run");
  const ByteVector bytes = table_bytes(argument_of("t=" + table).value, variables);
  return {bytes.begin(), bytes.end()};
}

bool holds(const std::string& argument, const Actual& actual) {
  Variables variables("run");
  Captures captures;
  return !mismatch(argument_of(argument), actual, variables, captures);
}

TEST(RunnerValues, EncodesTaggedValues) {
  using namespace std::string_literals;
  EXPECT_EQ(encoded(R"({"k": 5})"), "\1kI\0\0\0\5"s);
  EXPECT_EQ(encoded(R"({"k": l:-2})"), "\1kl\xff\xff\xff\xff\xff\xff\xff\xfe"s);
  EXPECT_EQ(encoded(R"({"k": s:-2, "u": u:65535})"), "\1ks\xff\xfe\1uu\xff\xff"s);
  EXPECT_EQ(encoded(R"({"k": f:1.5})"), "\1kf\x3f\xc0\0\0"s);
  EXPECT_EQ(encoded(R"({"k": D:2/314})"), "\1kD\2\0\0\1\x3a"s);
  EXPECT_EQ(encoded(R"({"k": "ab", "v": null, "t": true})"), "\1kS\0\0\0\2ab\1vV\1tt\1"s);
  EXPECT_EQ(encoded(R"({"k": [b:1, {"i": x"ff"}]})"),
            "\1kA\0\0\0\x0f"
            "b\1F\0\0\0\x08\1ix\0\0\0\1\xff"s);
  EXPECT_EQ(encoded(R"(x"01 02")"), "\1\2"s);
}

TEST(RunnerValues, ComparesTexts) {
  const Actual text = std::string("NOT_FOUND - no queue 'q'");
  EXPECT_TRUE(holds("t=\"NOT_FOUND - no queue 'q'\"", text));
  EXPECT_FALSE(holds("t=NOT_FOUND", text));
  EXPECT_TRUE(holds("t^=NOT_FOUND", text));
  EXPECT_TRUE(holds("t*=queue", text));
  EXPECT_TRUE(holds("t~\"no (queue|exchange) '.'$\"", text));
  EXPECT_TRUE(holds("t!=NOT_FOUND", text));
  EXPECT_FALSE(holds("!t", text));
  EXPECT_TRUE(holds("!t", std::monostate{}));
  EXPECT_FALSE(holds("t=\"\"", std::monostate{}));
}

TEST(RunnerValues, ComparesTablesByTypeAndWithoutOrder) {
  Variables variables("run");
  const ByteVector bytes = table_bytes(
      argument_of(R"(t={"a": 5, "b": "x", "n": {"c": true, "d": 1}})").value, variables);
  const Actual table = protocol::TableView(bytes);
  EXPECT_TRUE(holds(R"(t={"b": "x", "n": {"c": true, "d": 1}, "a": 5})", table));
  EXPECT_FALSE(holds(R"(t={"b": "x", "n": {"c": true, "d": 1}, "a": l:5})", table));
  EXPECT_TRUE(holds(R"(t*={"n": {"c": true}})", table));
  EXPECT_FALSE(holds(R"(t*={"n": {"c": false}})", table));
  EXPECT_FALSE(holds(R"(t*={"z": 1})", table));
  EXPECT_FALSE(holds(R"(t={})", table));
}

TEST(RunnerValues, VariablesAreUniquePerRunUntilCaptured) {
  Variables variables("run7");
  Captures captures;
  EXPECT_EQ(text_of(argument_of("t=\"a.$q\"").value, variables), "a.script-run7-q");
  EXPECT_FALSE(mismatch(argument_of("t=>$q"), std::string("amq.gen-1"), variables, captures));
  ASSERT_EQ(captures.size(), 1u);
  variables.set(captures[0].first, captures[0].second);
  EXPECT_EQ(text_of(argument_of("t=${q}x").value, variables), "amq.gen-1x");
}

TEST(RunnerValues, PatternShowsMovedParts) {
  const ByteVector body = pattern_body(100'000);
  EXPECT_NE(ByteVector(body.begin(), body.begin() + 4096),
            ByteVector(body.begin() + 4096, body.begin() + 8192));
  EXPECT_EQ(pattern_body(0).size(), 0u);
}

TEST(RunnerValues, RefusesWhatDoesNotFit) {
  Variables variables("run");
  EXPECT_THROW(number_of(argument_of("t=5x").value, variables), StepError);
  EXPECT_THROW(flag_of(argument_of("t=yes").value, variables), StepError);
  EXPECT_THROW(table_bytes(argument_of("t=5").value, variables), StepError);
}

}  // namespace
}  // namespace harrier::scripts
