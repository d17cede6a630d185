// SPDX-License-Identifier: Apache-2.0
#include "protocol/codec.hpp"

#include <set>

#include <gtest/gtest.h>

#include "tests/unit/protocol/random_values.hpp"

namespace harrier::protocol {
namespace {

using testing::encoded;
using testing::for_each_method;
using testing::RandomValues;
using Bytes = std::vector<std::uint8_t>;

TEST(Codec, EveryMethodSurvivesTheRoundTrip) {
  RandomValues random(20240901);
  for (int round = 0; round < 200; ++round) {
    for_each_method([&]<class M>() {
      const M sent = random.method<M>();
      const Bytes bytes = encoded(sent);
      ASSERT_EQ(bytes.size(), encoded_size(sent)) << M::kName;
      Method received;
      ASSERT_EQ(decode_method(bytes, received), DecodeStatus::Ok) << M::kName;
      ASSERT_TRUE(received == Method(sent)) << print(received) << "\n" << print(Method(sent));
      M direct;
      ASSERT_EQ(decode_as(bytes, direct), DecodeStatus::Ok);
      ASSERT_TRUE(direct == sent);
      ASSERT_EQ(encoded(received), bytes);
    });
  }
}

TEST(Codec, EveryShorterOrLongerPayloadIsMalformed) {  // C-084, C-404
  RandomValues random(7);
  for_each_method([&]<class M>() {
    Bytes bytes = encoded(random.method<M>());
    Method out;
    for (std::size_t size = 0; size < bytes.size(); ++size) {
      ASSERT_EQ(decode_method(ByteView(bytes).first(size), out), DecodeStatus::Malformed)
          << M::kName << " cut to " << size;
    }
    bytes.push_back(0);
    ASSERT_EQ(decode_method(bytes, out), DecodeStatus::Malformed) << M::kName;
  });
}

TEST(Codec, BitsShareAnOctetFromTheLeastSignificant) {  // C-403
  QueueDeclare declare;
  declare.queue = "q";
  declare.durable = true;
  declare.nowait = true;
  EXPECT_EQ(encoded(declare), (Bytes{0, 50, 0, 10, 0, 0, 1, 'q', 0b10010, 0, 0, 0, 0}));
  BasicDeliver deliver;
  deliver.consumer_tag = "c";
  deliver.delivery_tag = 2;
  deliver.redelivered = true;
  deliver.exchange = "e";
  EXPECT_EQ(encoded(deliver), (Bytes{0, 60, 0, 60, 1, 'c', 0, 0, 0, 0, 0, 0, 0, 2, 1, 1, 'e', 0}));
}

TEST(Codec, UnusedBitsAreIgnored) {
  BasicAck ack;
  ASSERT_EQ(decode_as(Bytes{0, 60, 0, 80, 0, 0, 0, 0, 0, 0, 0, 9, 0xFF}, ack), DecodeStatus::Ok);
  EXPECT_EQ(ack.delivery_tag, 9u);
  EXPECT_TRUE(ack.multiple);
  ASSERT_EQ(decode_as(Bytes{0, 60, 0, 80, 0, 0, 0, 0, 0, 0, 0, 9, 0xFE}, ack), DecodeStatus::Ok);
  EXPECT_FALSE(ack.multiple);
}

TEST(Codec, UnknownMethods) {  // C-086
  Method out;
  for (const Bytes& payload :
       {Bytes{0, 60, 0, 41}, Bytes{0, 61, 0, 40}, Bytes{0, 0, 0, 0}, Bytes{0, 95, 0, 10},
        Bytes{0xFF, 0xFF, 0xFF, 0xFF}, Bytes{0, 60, 0, 128}, Bytes{0, 62, 0, 10}}) {
    EXPECT_EQ(decode_method(payload, out), DecodeStatus::UnknownMethod);
    EXPECT_EQ(name_of(*peek_method(payload)), "");
    EXPECT_FALSE(has_content(*peek_method(payload)));
  }
  EXPECT_FALSE(peek_method(Bytes{0, 60, 0}).has_value());
  BasicAck ack;
  EXPECT_EQ(decode_as(Bytes{0, 60, 0, 90}, ack), DecodeStatus::UnknownMethod);
}

TEST(Codec, EveryIdIsFoundAgain) {
  std::set<std::uint32_t> seen;
  for_each_method([&]<class M>() {
    EXPECT_EQ(name_of(M::kId), M::kName);
    EXPECT_EQ(has_content(M::kId), M::kContent);
    EXPECT_EQ(id_of(Method(M{})), M::kId);
    EXPECT_EQ(name_of(Method(M{})), M::kName);
    EXPECT_TRUE(seen.insert(M::kId.packed()).second) << M::kName;
  });
  EXPECT_EQ(name_of(MethodId{40, 51}), "exchange.unbind-ok");
  EXPECT_EQ(name_of(MethodId{60, 120}), "basic.nack");
}

TEST(Codec, OnlyTheContentMethodsHaveContent) {
  std::set<std::string_view> names;
  for_each_method([&]<class M>() {
    if (M::kContent) names.insert(M::kName);
  });
  EXPECT_EQ(names, (std::set<std::string_view>{"basic.publish", "basic.return", "basic.deliver",
                                               "basic.get-ok"}));
}

template <class M>
DecodeStatus decode_with_key(std::string_view M::*member) {
  M method;
  method.*member = "bad \xFF";
  Method out;
  return decode_method(encoded(method), out);
}

TEST(Codec, ShortStringsAreUtf8ExceptBesideContent) {  // C-085
  EXPECT_EQ(decode_with_key(&QueueDeclare::queue), DecodeStatus::BadUtf8);
  EXPECT_EQ(decode_with_key(&QueueBind::routing_key), DecodeStatus::BadUtf8);
  EXPECT_EQ(decode_with_key(&BasicConsume::consumer_tag), DecodeStatus::BadUtf8);
  EXPECT_EQ(decode_with_key(&BasicPublish::routing_key), DecodeStatus::Ok);
  EXPECT_EQ(decode_with_key(&BasicPublish::exchange), DecodeStatus::Ok);
  EXPECT_EQ(decode_with_key(&BasicDeliver::routing_key), DecodeStatus::Ok);
  EXPECT_EQ(decode_with_key(&BasicReturn::routing_key), DecodeStatus::Ok);
  EXPECT_EQ(decode_with_key(&BasicGetOk::routing_key), DecodeStatus::Ok);
  EXPECT_EQ(decode_with_key(&ConnectionStartOk::response), DecodeStatus::Ok);  // a long string
}

TEST(Codec, BrokenTablesAreMalformed) {  // C-408
  for (const std::string_view table :
       {std::string_view("\x01kU\x00\x01", 5), std::string_view("\x05k", 2),
        std::string_view("\x01kS\x00\x00\x00\x09x", 8)}) {
    QueueDeclare declare;
    declare.arguments = TableView(as_bytes(table));
    Method out;
    EXPECT_EQ(decode_method(encoded(declare), out), DecodeStatus::Malformed);
  }
}

TEST(Codec, ErrorTexts) {  // C-084, C-085, C-086
  const Bytes qos{0, 60, 0, 10, 0, 0, 0, 0, 0, 1, 0, 0};
  EXPECT_EQ(decode_error_text(DecodeStatus::Malformed, qos), "cannot decode <<0,0,0,0,0,1,0,0>>");
  EXPECT_EQ(decode_error_text(DecodeStatus::Malformed, Bytes{1}), "cannot decode <<>>");
  EXPECT_EQ(decode_error_text(DecodeStatus::BadUtf8, qos), "Malformed UTF-8 in shortstr");
  EXPECT_EQ(decode_error_text(DecodeStatus::UnknownMethod, qos), "unimplemented method");
  const Bytes large(100000, 255);
  EXPECT_LT(decode_error_text(DecodeStatus::Malformed, large).size(), 1000u);
}

TEST(Codec, DefaultsComeFromTheDefinition) {
  EXPECT_EQ(ConnectionOpen().virtual_host, "/");
  EXPECT_EQ(ExchangeDeclare().type, "direct");
  EXPECT_TRUE(BasicReject().requeue);
  EXPECT_TRUE(BasicNack().requeue);
  EXPECT_FALSE(BasicRecover().requeue);
  EXPECT_EQ(AccessRequestOk().ticket, 1);
  EXPECT_EQ(ConnectionStart().version_minor, 9);
}

TEST(Codec, WholeFrames) {
  BasicAck ack;
  ack.delivery_tag = 3;
  Bytes bytes(frame_size(ack));
  ASSERT_EQ(encode_frame(5, ack, bytes.data()), bytes.data() + bytes.size());
  EXPECT_EQ(bytes, (Bytes{1, 0, 5, 0, 0, 0, 13, 0, 60, 0, 80, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0xCE}));
  const Method any = ack;
  Bytes again(frame_size(any));
  encode_frame(5, any, again.data());
  EXPECT_EQ(again, bytes);
}

TEST(CodecDeathTest, ALongShortStringIsACallersBug) {
  BasicCancel cancel;
  const std::string tag(256, 'x');
  cancel.consumer_tag = tag;
  std::vector<std::uint8_t> out(600);
  EXPECT_DEATH(encode(cancel, out.data()), "internal check failed");
}

}  // namespace
}  // namespace harrier::protocol
