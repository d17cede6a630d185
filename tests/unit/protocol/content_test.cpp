// SPDX-License-Identifier: Apache-2.0
#include "protocol/content.hpp"

#include <gtest/gtest.h>

#include "protocol/error.hpp"
#include "protocol/private_headers.hpp"
#include "protocol/properties.hpp"
#include "tests/unit/protocol/random_values.hpp"

namespace harrier::protocol {
namespace {

using Bytes = std::vector<std::uint8_t>;
constexpr std::uint64_t kMax = 1 << 20;

Bytes header_payload(std::uint64_t body_size, const Bytes& properties = {0, 0},
                     std::uint16_t class_id = 60, std::uint16_t weight = 0) {
  Bytes out(kContentHeaderSize);
  put_content_header(out.data(), class_id, body_size);
  put_u16(out.data() + 2, weight);
  out.insert(out.end(), properties.begin(), properties.end());
  return out;
}

BasicPublish publish_to(std::string_view exchange, std::string_view key) {
  BasicPublish method;
  method.exchange = exchange;
  method.routing_key = key;
  return method;
}

class ContentTest : public ::testing::Test {
 protected:
  bool send(FrameType type, const Bytes& payload, std::uint64_t body_size_max = kMax) {
    return assembler_.on_frame({static_cast<std::uint8_t>(type), 1, payload}, body_size_max);
  }
  bool send_body(std::string_view text) {
    return send(FrameType::Body, {text.begin(), text.end()});
  }

  Publish publish(const Properties& properties) {
    assembler_.begin(publish_to("ex", "key"), false);
    EXPECT_TRUE(send(FrameType::Header, header_payload(0, properties.encode())));
    return assembler_.take();
  }

  void expect_error(FrameType type, const Bytes& payload, ReplyCode code, MethodId method,
                    std::string_view text) {
    try {
      send(type, payload);
      ADD_FAILURE() << "accepted; expected: " << text;
    } catch (const AmqpError& error) {
      EXPECT_EQ(error.code(), code);
      EXPECT_EQ(error.explanation(), text);
      EXPECT_EQ(error.method_or(QueueDeclare::kId), method);
    }
  }

  ContentAssembler assembler_;
};

TEST_F(ContentTest, AssemblesABodyFromItsFrames) {
  BasicPublish method = publish_to("ex", "a.b");
  method.mandatory = true;
  Properties properties;
  properties.delivery_mode = 2;
  assembler_.begin(method, false);
  EXPECT_EQ(assembler_.state(), ContentAssembler::State::Header);
  EXPECT_FALSE(send(FrameType::Header, header_payload(6, properties.encode())));
  EXPECT_EQ(assembler_.state(), ContentAssembler::State::Body);
  EXPECT_FALSE(send_body("abc"));
  EXPECT_FALSE(send_body(""));  // C-097
  EXPECT_TRUE(send_body("def"));
  EXPECT_EQ(assembler_.state(), ContentAssembler::State::Idle);
  const Publish publish = assembler_.take();
  ASSERT_TRUE(publish.message);
  EXPECT_EQ(publish.message->exchange(), "ex");
  EXPECT_EQ(publish.message->routing_key(), "a.b");
  EXPECT_EQ(as_text(publish.message->body()), "abcdef");
  EXPECT_TRUE(publish.message->persistent());
  EXPECT_EQ(publish.body_size, 6u);
  EXPECT_TRUE(publish.mandatory);
  EXPECT_FALSE(publish.immediate);
}

TEST_F(ContentTest, AnEmptyBodyIsCompleteAtTheHeader) {  // C-096
  assembler_.begin(publish_to("", "q"), false);
  EXPECT_TRUE(send(FrameType::Header, header_payload(0)));
  EXPECT_TRUE(assembler_.take().message->body().empty());
}

TEST_F(ContentTest, NothingIsLeftForTheNextMessage) {
  Properties properties;
  properties.headers = Table().add("CC", "not an array");
  EXPECT_EQ(publish(properties).bad_sender_selected_header, "CC");
  properties.headers = Table().add_array("CC", {{'S', as_bytes("k")}});
  EXPECT_EQ(publish(properties).extra_keys.size(), 1u);
  const Publish last = publish({});
  EXPECT_TRUE(last.extra_keys.empty());
  EXPECT_TRUE(last.bad_sender_selected_header.empty());
  EXPECT_FALSE(last.mandatory);
}

TEST_F(ContentTest, ContentWithoutMethod) {  // C-089
  expect_error(FrameType::Header, header_payload(0), ReplyCode::UnexpectedFrame, {},
               "expected method frame, got non method frame instead");
  expect_error(FrameType::Body, {}, ReplyCode::UnexpectedFrame, {},
               "expected method frame, got non method frame instead");
}

TEST_F(ContentTest, SomethingElseThanAHeader) {  // C-090
  const std::string_view text =
      "expected content header for class 60, got non content header frame instead";
  for (const FrameType type : {FrameType::Method, FrameType::Body, FrameType::Heartbeat}) {
    assembler_.reset();
    assembler_.begin(publish_to("", ""), false);
    expect_error(type, {0, 60, 0, 40}, ReplyCode::UnexpectedFrame, BasicPublish::kId, text);
  }
  assembler_.reset();
  assembler_.begin(publish_to("", ""), false);
  expect_error(FrameType::Header, header_payload(0, {0, 0}, 60, 1),  // C-095: weight
               ReplyCode::UnexpectedFrame, BasicPublish::kId, text);
}

TEST_F(ContentTest, HeaderOfAnotherClass) {  // C-091
  assembler_.begin(publish_to("", ""), false);
  expect_error(FrameType::Header, header_payload(0, {0, 0}, 50), ReplyCode::UnexpectedFrame,
               BasicPublish::kId,
               "expected content header for class 60, got one for class 50 instead");
}

TEST_F(ContentTest, SomethingElseThanABody) {  // C-092
  for (const FrameType type : {FrameType::Method, FrameType::Header}) {
    assembler_.reset();
    assembler_.begin(publish_to("", ""), false);
    EXPECT_FALSE(send(FrameType::Header, header_payload(5)));
    expect_error(type, {0, 60, 0, 40}, ReplyCode::UnexpectedFrame, BasicPublish::kId,
                 "expected content body, got non content body frame instead");
  }
}

TEST_F(ContentTest, SurplusBytesAtOnce) {  // C-093
  assembler_.begin(publish_to("", ""), false);
  EXPECT_FALSE(send(FrameType::Header, header_payload(5)));
  EXPECT_FALSE(send_body("abc"));
  expect_error(FrameType::Body, {1, 2, 3}, ReplyCode::FrameError, {},
               "content body frame of 3 bytes exceeds the remaining content size 2");
}

TEST_F(ContentTest, AnnouncedSizeAboveEveryLimit) {  // C-094
  assembler_.begin(publish_to("", ""), false);
  expect_error(FrameType::Header, header_payload(536870913), ReplyCode::FrameError, {},
               "content body size 536870913 exceeds maximum allowed size 536870912");
}

TEST_F(ContentTest, ShortHeader) {
  assembler_.begin(publish_to("", ""), false);
  expect_error(FrameType::Header, {0, 60, 0, 0}, ReplyCode::FrameError, {},
               "type 2, all octets = <<0,60,0,0>>: unknown_frame");
}

TEST_F(ContentTest, MalformedProperties) {  // C-098, C-099
  for (const Bytes& properties : {Bytes{}, Bytes{0x80, 0}, Bytes{0, 0, 9}, Bytes{0, 1, 0, 0},
                                  Bytes{0x20, 0, 0, 0, 0, 1, 7}}) {
    for (const bool discard : {false, true}) {
      assembler_.reset();
      assembler_.begin(publish_to("", ""), discard);
      EXPECT_THROW(send(FrameType::Header, header_payload(0, properties)), AmqpError);
    }
  }
}

TEST_F(ContentTest, ABodyOverTheLimitIsConsumedButNotKept) {  // C-307
  const std::int64_t before = message_bytes_in_memory();
  assembler_.begin(publish_to("ex", "k"), false);
  EXPECT_FALSE(send(FrameType::Header, header_payload(6), 5));
  EXPECT_FALSE(send_body("abc"));
  EXPECT_EQ(message_bytes_in_memory(), before);
  EXPECT_TRUE(send_body("def"));
  const Publish publish = assembler_.take();
  EXPECT_FALSE(publish.message);
  EXPECT_EQ(publish.body_size, 6u);
  EXPECT_EQ(publish.oversized_exchange, "ex");
  assembler_.begin(publish_to("ex", "k"), false);
  EXPECT_FALSE(send(FrameType::Header, header_payload(5), 5));  // exactly the limit
  EXPECT_TRUE(send_body("abcde"));
  EXPECT_TRUE(assembler_.take().message);
}

TEST_F(ContentTest, DiscardedContentIsStillChecked) {  // C-135
  assembler_.begin(publish_to("ex", "k"), true);
  EXPECT_FALSE(send(FrameType::Header, header_payload(3)));
  EXPECT_TRUE(send_body("abc"));
  EXPECT_TRUE(assembler_.discarding());
  EXPECT_EQ(assembler_.state(), ContentAssembler::State::Idle);
  assembler_.begin(publish_to("ex", "k"), true);
  expect_error(FrameType::Body, {}, ReplyCode::UnexpectedFrame, BasicPublish::kId,
               "expected content header for class 60, got non content header frame instead");
}

TEST_F(ContentTest, SenderSelectedKeys) {  // C-312, C-313, C-314
  const FieldValue five{'b', as_bytes("\x05")};
  const std::string too_long(256, 'x');
  Properties properties;
  properties.headers =
      Table()
          .add_array("BCC", {{'S', as_bytes("b1")}, five})
          .add("other", "stays")
          .add_array(
              "CC",
              {{'S', as_bytes("c1")}, {'S', as_bytes("c2")}, five, {'S', as_bytes(too_long)}});
  properties.correlation_id = "id";
  const Publish publish = this->publish(properties);
  EXPECT_EQ(publish.extra_keys, (std::vector<std::string>{"c1", "c2", "b1"}));
  EXPECT_TRUE(publish.bad_sender_selected_header.empty());
  const TableView headers = publish.message->properties().headers();
  EXPECT_FALSE(headers.find("BCC").has_value());
  EXPECT_TRUE(headers.find("CC").has_value());
  EXPECT_EQ(headers.find("other")->as_text(), "stays");
  EXPECT_EQ(publish.message->properties().text(kCorrelationId), "id");
}

TEST_F(ContentTest, SenderSelectedNamesAreCaseSensitive) {  // C-314
  Properties properties;
  properties.headers = Table().add("cc", "x").add("Bcc", "y");
  const Publish publish = this->publish(properties);
  EXPECT_TRUE(publish.extra_keys.empty());
  EXPECT_TRUE(publish.bad_sender_selected_header.empty());
  EXPECT_EQ(as_text(publish.message->property_bytes()), as_text(properties.encode()));
}

TEST_F(ContentTest, SenderSelectedMustBeArrays) {  // C-312
  Properties properties;
  properties.headers = Table().add("CC", "key");
  Publish publish = this->publish(properties);
  EXPECT_EQ(publish.bad_sender_selected_header, "CC");
  EXPECT_EQ(publish.bad_sender_selected_type, "longstr");
  properties.headers = Table().add_array("CC", {}).add_int32("BCC", 1);
  publish = this->publish(properties);
  EXPECT_EQ(publish.bad_sender_selected_header, "BCC");
  EXPECT_EQ(publish.bad_sender_selected_type, "signedint");
}

TEST_F(ContentTest, OnlyBccLeavesAnEmptyTable) {  // C-315
  Properties properties;
  properties.headers = Table().add_array("BCC", {{'S', as_bytes("b")}});
  const Publish publish = this->publish(properties);
  const auto visible = visible_properties(publish.message->properties(), 0);
  EXPECT_TRUE(PropertiesView::trusted(visible).has(kHeaders));
  EXPECT_TRUE(PropertiesView::trusted(visible).headers().empty());
  EXPECT_EQ(read_private_headers(publish.message->properties()).bcc, std::vector<std::string>{"b"});
}

TEST_F(ContentTest, TheBrokersMarkIsNotAClients) {  // C-416
  Properties properties;
  properties.headers = Table().add("h", "v");
  std::vector<std::uint8_t> bytes = properties.encode();
  bytes[1] |= kPrivateMark;
  assembler_.begin(publish_to("", "q"), false);
  ASSERT_TRUE(send(FrameType::Header, header_payload(0, bytes)));
  const Publish publish = assembler_.take();
  EXPECT_FALSE(publish.message->has_private_headers());
  EXPECT_EQ(to_text(publish.message->properties().headers()), R"({"h": "v"})");
}

TEST_F(ContentTest, DirectReplyTo) {  // C-490
  Properties properties;
  properties.reply_to = "amq.rabbitmq.reply-to";
  properties.message_id = "m";
  EXPECT_EQ(publish(properties).message->properties().text(kReplyTo), "amq.rabbitmq.reply-to");
  assembler_.set_reply_to("amq.rabbitmq.reply-to.g1h2");
  Publish rewritten = publish(properties);
  EXPECT_EQ(rewritten.message->properties().text(kReplyTo), "amq.rabbitmq.reply-to.g1h2");
  EXPECT_EQ(rewritten.message->properties().text(kMessageId), "m");
  // Together with the removal of BCC.
  properties.headers = Table().add_array("BCC", {{'S', as_bytes("b")}}).add("h", "v");
  rewritten = publish(properties);
  EXPECT_EQ(rewritten.message->properties().text(kReplyTo), "amq.rabbitmq.reply-to.g1h2");
  const auto visible = visible_properties(rewritten.message->properties(), 0);
  EXPECT_EQ(to_text(PropertiesView::trusted(visible).headers()), R"({"h": "v"})");
  properties.reply_to = "amq.rabbitmq.reply-to.else";
  EXPECT_EQ(publish(properties).message->properties().text(kReplyTo), "amq.rabbitmq.reply-to.else");
}

TEST_F(ContentTest, OnlyArrivedBytesCount) {
  const std::int64_t before = message_bytes_in_memory();
  assembler_.begin(publish_to("", ""), false);
  EXPECT_FALSE(send(FrameType::Header, header_payload(1000000)));
  EXPECT_LT(message_bytes_in_memory() - before, 1000);
  EXPECT_FALSE(send_body(std::string(2000, 'x')));
  EXPECT_GE(message_bytes_in_memory() - before, 2000);
  EXPECT_LT(message_bytes_in_memory() - before, 3000);
  ContentAssembler moved = std::move(assembler_);
  EXPECT_LT(message_bytes_in_memory() - before, 3000);
  moved.reset();
  EXPECT_EQ(message_bytes_in_memory(), before);
}

TEST_F(ContentTest, EverySplitGivesTheSameBody) {
  testing::RandomValues random(3);
  const std::string body = random.bytes(4000) + "tail";
  for (int round = 0; round < 200; ++round) {
    assembler_.begin(publish_to("e", "k"), false);
    EXPECT_FALSE(send(FrameType::Header, header_payload(body.size())));
    std::string_view rest = body;
    bool complete = false;
    while (!rest.empty()) {
      ASSERT_FALSE(complete);
      const std::size_t size = std::min<std::size_t>(rest.size(), random.below(700));
      complete = send_body(rest.substr(0, size));
      rest.remove_prefix(size);
    }
    ASSERT_TRUE(complete);
    ASSERT_EQ(as_text(assembler_.take().message->body()), body);
  }
}

}  // namespace
}  // namespace harrier::protocol
