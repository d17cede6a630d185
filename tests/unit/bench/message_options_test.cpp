// SPDX-License-Identifier: Apache-2.0
#include "broker/bench/message_options.hpp"

#include <gtest/gtest.h>

namespace harrier::bench {
namespace {

std::string parsed(std::string_view text) {
  protocol::Table table;
  EXPECT_EQ(parse_entry(text, table), "") << text;
  return to_text(table.view());
}

TEST(Entries, HaveTheTypeThatTheyLookLike) {
  EXPECT_EQ(parsed("x-max-priority=9"), R"({"x-max-priority": 9})");
  EXPECT_EQ(parsed("offset=-5"), R"({"offset": -5})");
  EXPECT_EQ(parsed("x-single-active-consumer=true"), R"({"x-single-active-consumer": true})");
  EXPECT_EQ(parsed("flag=false"), R"({"flag": false})");
  EXPECT_EQ(parsed("x-queue-type=stream"), R"({"x-queue-type": "stream"})");
  EXPECT_EQ(parsed("x-dead-letter-exchange="), R"({"x-dead-letter-exchange": ""})");
  EXPECT_EQ(parsed("x-max-age=7D"), R"({"x-max-age": "7D"})");
  EXPECT_EQ(parsed("key=a=b"), R"({"key": "a=b"})");
  EXPECT_EQ(parsed("text=\"5\""), R"({"text": "5"})");
}

TEST(Entries, AddUp) {
  protocol::Table table;
  EXPECT_EQ(parse_entry("a=1", table), "");
  EXPECT_EQ(parse_entry("b=x", table), "");
  EXPECT_EQ(to_text(table.view()), R"({"a": 1, "b": "x"})");
}

TEST(Entries, MistakesAreNamed) {
  for (const std::string& text :
       {std::string("name"), std::string("=5"), std::string(), std::string(256, 'x') + "=1"}) {
    protocol::Table table;
    EXPECT_NE(parse_entry(text, table).find("is no NAME=VALUE"), std::string::npos) << text;
    EXPECT_TRUE(table.empty());
  }
}

TEST(Groups, AreAHeaderAndACount) {
  MessageOptions options;
  EXPECT_EQ(parse_groups("customer=50", options), "");
  EXPECT_EQ(options.group_header, "customer");
  EXPECT_EQ(options.classes(), 50u);
  EXPECT_EQ(check(options), "");
  for (const char* text : {"customer", "customer=", "customer=x", "=5", "customer=-1"}) {
    EXPECT_NE(parse_groups(text, options), "") << text;
  }
}

TEST(MessageOptions, KindsThatKeepTheirOrder) {
  MessageOptions options;
  EXPECT_EQ(options.classes(), 1u);
  options.priorities = 10;
  EXPECT_EQ(options.classes(), 10u);
}

TEST(MessageOptions, WhatCannotBe) {
  MessageOptions options;
  EXPECT_EQ(check(options), "");
  options.priorities = 256;
  EXPECT_EQ(check(options), "");
  options.priorities = 257;
  EXPECT_NE(check(options), "");
  options.priorities = 2;
  options.group_header = "customer";
  options.groups = 2;
  EXPECT_NE(check(options), "");
  options.priorities = 0;
  options.groups = 0;
  EXPECT_NE(check(options), "");
}

TEST(MessageOptions, AreDescribed) {
  MessageOptions options;
  EXPECT_EQ(describe(options), "");
  options.priorities = 10;
  options.expiration = "500";
  options.message_id = true;
  options.headers.add_int64("x-delay", 1);
  EXPECT_EQ(describe(options),
            R"(, 10 priorities, expiring after 500 ms, with message ids, headers {"x-delay": 1})");
}

}  // namespace
}  // namespace harrier::bench
