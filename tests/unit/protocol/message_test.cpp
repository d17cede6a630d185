// SPDX-License-Identifier: Apache-2.0
#include "protocol/message.hpp"

#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

namespace harrier::protocol {
namespace {

std::vector<std::uint8_t> persistent_properties() {
  Properties properties;
  properties.delivery_mode = 2;
  properties.type = "t";
  return properties.encode();
}

TEST(Message, KeepsItsParts) {
  const auto properties = persistent_properties();
  const std::string body = "payload";
  const MessagePtr message = Message::create("ex", "a.b", properties, as_bytes(body));
  EXPECT_EQ(message->exchange(), "ex");
  EXPECT_EQ(message->routing_key(), "a.b");
  EXPECT_EQ(as_text(message->property_bytes()), as_text(properties));
  EXPECT_EQ(message->properties().text(kType), "t");
  EXPECT_EQ(as_text(message->body()), body);
  EXPECT_TRUE(message->persistent());
}

TEST(Message, EmptyParts) {
  const MessagePtr message = Message::create("", "", {}, ByteView{});
  EXPECT_EQ(message->exchange(), "");
  EXPECT_EQ(message->routing_key(), "");
  EXPECT_TRUE(message->body().empty());
  EXPECT_EQ(message->properties().flags(), 0);
  EXPECT_FALSE(message->persistent());
}

TEST(Message, OnlyDeliveryMode2IsPersistent) {  // C-316
  for (const int mode : {0, 1, 2, 3, 255}) {
    Properties properties;
    properties.delivery_mode = static_cast<std::uint8_t>(mode);
    const MessagePtr message = Message::create("", "", properties.encode(), ByteView{});
    EXPECT_EQ(message->persistent(), mode == 2) << mode;
  }
}

TEST(Message, BodyIsFilledInPlace) {
  MessagePtr message = Message::create("x", "y", persistent_properties(), std::size_t{3});
  put_raw(Message::mutable_while_sole(message).body_for_writing(), as_bytes("abc"));
  EXPECT_EQ(as_text(message->body()), "abc");
}

TEST(Message, LongestNames) {
  const std::string name(255, 'n');
  const MessagePtr message = Message::create(name, name, persistent_properties(), as_bytes("b"));
  EXPECT_EQ(message->exchange(), name);
  EXPECT_EQ(message->routing_key(), name);
  EXPECT_EQ(as_text(message->body()), "b");
}

TEST(Message, EveryByteIsCountedWhileItLives) {
  const std::int64_t before = message_bytes_in_memory();
  {
    const MessagePtr message = Message::create("e", "k", {}, std::size_t{1000});
    EXPECT_GE(message->footprint(), 1000u);
    EXPECT_EQ(message_bytes_in_memory() - before, static_cast<std::int64_t>(message->footprint()));
    const MessagePtr copy = message;  // NOLINT: the copy is the point
    EXPECT_EQ(message_bytes_in_memory() - before, static_cast<std::int64_t>(message->footprint()));
  }
  EXPECT_EQ(message_bytes_in_memory(), before);
}

TEST(Message, AssignmentAndMoveKeepTheCount) {
  const std::int64_t before = message_bytes_in_memory();
  MessagePtr a = Message::create("a", "", {}, as_bytes("1"));
  MessagePtr b = Message::create("b", "", {}, as_bytes("2"));
  a = b;
  EXPECT_EQ(a.get(), b.get());
  b = std::move(a);
  EXPECT_FALSE(a);  // NOLINT: a moved-from pointer is empty
  EXPECT_EQ(as_text(b->body()), "2");
  MessagePtr& self = b;
  b = self;
  EXPECT_EQ(as_text(b->body()), "2");
  b = MessagePtr();
  EXPECT_EQ(message_bytes_in_memory(), before);
}

TEST(Message, TheSumIsRightAcrossThreads) {
  const std::int64_t before = message_bytes_in_memory();
  constexpr int kThreads = 4;
  constexpr int kMessages = 500;
  std::vector<std::vector<MessagePtr>> made(kThreads);
  {
    std::vector<std::thread> threads;
    for (auto& own : made) {
      threads.emplace_back([&own] {
        for (int i = 0; i < kMessages; ++i)
          own.push_back(Message::create("e", "k", {}, as_bytes("body")));
      });
    }
    for (std::thread& thread : threads) thread.join();
  }
  const auto each = static_cast<std::int64_t>(made[0][0]->footprint());
  EXPECT_EQ(message_bytes_in_memory() - before, each * kThreads * kMessages);
  {
    // Released by other threads than those that made them, and shared between two of them.
    std::vector<std::thread> threads;
    for (auto& own : made) {
      std::vector<MessagePtr> shared = own;
      threads.emplace_back([mine = std::move(own)]() mutable { mine.clear(); });
      threads.emplace_back([mine = std::move(shared)]() mutable { mine.clear(); });
    }
    for (std::thread& thread : threads) thread.join();
  }
  EXPECT_EQ(message_bytes_in_memory(), before);
}

}  // namespace
}  // namespace harrier::protocol
