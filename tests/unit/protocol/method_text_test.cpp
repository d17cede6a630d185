// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include "protocol/codec.hpp"
#include "tests/unit/protocol/random_values.hpp"

namespace harrier::protocol {
namespace {

using testing::encoded;
using testing::for_each_method;
using testing::RandomValues;

TEST(MethodText, PrintedMethodsAreReadBack) {
  RandomValues random(99);
  for (int round = 0; round < 50; ++round) {
    for_each_method([&]<class M>() {
      const Method sent = random.method<M>();
      const std::string text = print(sent);
      std::string error;
      const auto parsed = parse_method(text, error);
      ASSERT_TRUE(parsed.has_value()) << text << "\n" << error;
      ASSERT_EQ(encoded(parsed->get()), encoded(sent)) << text;
    });
  }
}

TEST(MethodText, Print) {
  QueueDeclare declare;
  declare.queue = "q";
  declare.durable = true;
  const Table arguments = Table().add_int32("x-max-length", 5);
  declare.arguments = arguments;
  EXPECT_EQ(print(declare),
            "queue.declare queue=q passive=false durable=true exclusive=false auto_delete=false "
            "nowait=false arguments={\"x-max-length\": 5}");
  declare.ticket = 3;
  EXPECT_TRUE(print(declare).starts_with("queue.declare ticket=3 queue=q "));
  EXPECT_EQ(print(TxSelect()), "tx.select");
  EXPECT_EQ(print(AccessRequestOk()), "access.request-ok ticket=1");
}

TEST(MethodText, FieldsInAnyOrderWithDefaults) {
  std::string error;
  const auto parsed = parse_method("  exchange.declare auto-delete=true exchange=\"my ex\"", error);
  ASSERT_TRUE(parsed.has_value()) << error;
  const auto& declare = std::get<ExchangeDeclare>(parsed->get());
  EXPECT_EQ(declare.exchange, "my ex");
  EXPECT_EQ(declare.type, "direct");
  EXPECT_TRUE(declare.auto_delete);
  EXPECT_FALSE(declare.durable);
  EXPECT_TRUE(declare.arguments.empty());
}

TEST(MethodText, ACopyOwnsItsStrings) {
  std::string error;
  std::optional<OwnedMethod> copy;
  {
    const auto parsed =
        parse_method("basic.cancel consumer_tag=some.long.tag.beyond.sso.size", error);
    ASSERT_TRUE(parsed.has_value()) << error;
    copy = *parsed;
  }
  EXPECT_EQ(std::get<BasicCancel>(copy->get()).consumer_tag, "some.long.tag.beyond.sso.size");
}

TEST(MethodText, ErrorsSayWhatAndWhere) {
  const auto error_of = [](const std::string& text) {
    std::string error;
    EXPECT_FALSE(parse_method(text, error).has_value()) << text;
    return error;
  };
  EXPECT_EQ(error_of(""), "at 0: unknown method ''");
  EXPECT_EQ(error_of("basic.frobnicate"), "at 0: unknown method 'basic.frobnicate'");
  EXPECT_EQ(error_of("basic.ack tag=1"), "at 10: basic.ack has no field 'tag'");
  EXPECT_EQ(error_of("basic.ack delivery_tag"), "at 22: expected '='");
  EXPECT_EQ(error_of("basic.ack delivery_tag=x"), "at 23: not a number, or out of range");
  EXPECT_EQ(error_of("basic.ack delivery_tag=18446744073709551616"),
            "at 23: not a number, or out of range");
  EXPECT_EQ(error_of("basic.qos prefetch_count=65536"), "at 25: not a number, or out of range");
  EXPECT_EQ(error_of("basic.ack multiple=1"), "at 20: expected true or false");
  EXPECT_EQ(error_of("basic.ack multiple=true multiple=true"),
            "at 24: field 'multiple' is given twice");
  EXPECT_EQ(error_of("basic.cancel consumer_tag=\"x"), "at 26: string without closing quote");
  EXPECT_EQ(error_of("basic.cancel consumer_tag=" + std::string(256, 'x')),
            "at 26: short string longer than 255 bytes");
  EXPECT_EQ(error_of("queue.declare arguments={\"a\" 5}"), "at 29: expected ':'");
  EXPECT_EQ(error_of("queue.declare arguments={\"a\": b:200}"),
            "at 30: not a value, or out of range");
}

}  // namespace
}  // namespace harrier::protocol
