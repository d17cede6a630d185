// SPDX-License-Identifier: Apache-2.0
#include "protocol/properties.hpp"

#include <gtest/gtest.h>

#include "tests/unit/protocol/random_values.hpp"

namespace harrier::protocol {
namespace {

using Bytes = std::vector<std::uint8_t>;

Properties random_properties(testing::RandomValues& random) {
  Properties out;
  for (auto* text :
       {&out.content_type, &out.content_encoding, &out.correlation_id, &out.reply_to,
        &out.expiration, &out.message_id, &out.type, &out.user_id, &out.app_id, &out.cluster_id}) {
    if (random.coin()) *text = random.bytes(random.coin() ? 255 : 8);
  }
  if (random.coin()) out.headers = random.table();
  if (random.coin()) out.delivery_mode = static_cast<std::uint8_t>(random.number());
  if (random.coin()) out.priority = static_cast<std::uint8_t>(random.number());
  if (random.coin()) out.timestamp = random.number();
  return out;
}

TEST(Properties, RoundTrip) {
  testing::RandomValues random(2025);
  for (int round = 0; round < 2000; ++round) {
    const Properties sent = random_properties(random);
    const Bytes bytes = sent.encode();
    const auto view = PropertiesView::parse(bytes);
    ASSERT_TRUE(view.has_value());
    ASSERT_TRUE(Properties::from(*view) == sent);
    ASSERT_EQ(Properties::from(*view).encode(), bytes);
  }
}

TEST(Properties, WireOrderAndFlags) {  // C-415, C-419
  Properties properties;
  properties.content_type = "t/p";
  properties.delivery_mode = 2;
  properties.timestamp = 1;
  properties.cluster_id = "c";
  EXPECT_EQ(properties.encode(),
            (Bytes{0x90, 0x44, 3, 't', '/', 'p', 2, 0, 0, 0, 0, 0, 0, 0, 1, 1, 'c'}));
}

TEST(Properties, AllFourteen) {
  const Bytes bytes{0xFF, 0xFC, 1, 'a', 1, 'b', 0,   0,   0,   3,   1,   'h', 'V',
                    2,    9,    1, 'c', 1, 'd', 1,   'e', 1,   'f', 0,   0,   0,
                    0,    0,    0, 1,   0, 1,   'g', 1,   'i', 1,   'j', 1,   'k'};
  const auto view = PropertiesView::parse(bytes);
  ASSERT_TRUE(view.has_value());
  EXPECT_EQ(view->text(kContentType), "a");
  EXPECT_EQ(view->text(kContentEncoding), "b");
  EXPECT_TRUE(view->headers().find("h").has_value());
  EXPECT_EQ(view->delivery_mode(), 2);
  EXPECT_TRUE(view->persistent());
  EXPECT_EQ(view->priority(), 9);
  EXPECT_EQ(view->text(kCorrelationId), "c");
  EXPECT_EQ(view->text(kReplyTo), "d");
  EXPECT_EQ(view->text(kExpiration), "e");
  EXPECT_EQ(view->text(kMessageId), "f");
  EXPECT_EQ(view->timestamp(), 256u);
  EXPECT_EQ(view->text(kType), "g");
  EXPECT_EQ(view->text(kUserId), "i");
  EXPECT_EQ(view->text(kAppId), "j");
  EXPECT_EQ(view->text(kClusterId), "k");
}

TEST(Properties, AbsentIsNotEmpty) {  // C-417
  const Bytes none{0, 0};
  EXPECT_FALSE(PropertiesView::parse(none)->text(kContentType).has_value());
  EXPECT_FALSE(Properties::from(*PropertiesView::parse(none)).headers.has_value());
  const Bytes empty{0xA0, 0, 0, 0, 0, 0, 0};
  const auto view = PropertiesView::parse(empty);
  ASSERT_TRUE(view.has_value());
  EXPECT_EQ(view->text(kContentType), "");
  EXPECT_TRUE(Properties::from(*view).headers.has_value());
  EXPECT_EQ(Properties::from(*view).encode(), empty);
}

TEST(Properties, FlagsAndValuesMustAgree) {  // C-098, C-099
  EXPECT_FALSE(PropertiesView::parse({}).has_value());
  EXPECT_FALSE(PropertiesView::parse(Bytes{0}).has_value());
  EXPECT_FALSE(PropertiesView::parse(Bytes{0, 0, 1}).has_value());          // too long
  EXPECT_FALSE(PropertiesView::parse(Bytes{0x80, 0, 3, 'a'}).has_value());  // too short
  EXPECT_FALSE(PropertiesView::parse(Bytes{0x08, 0}).has_value());          // value missing
  EXPECT_FALSE(PropertiesView::parse(Bytes{0, 1, 0, 0}).has_value());       // continuation
  EXPECT_TRUE(PropertiesView::parse(Bytes{0, 2}).has_value());              // C-416: bit 1
}

TEST(Properties, EveryCutIsRefused) {
  testing::RandomValues random(31);
  for (int round = 0; round < 100; ++round) {
    const Bytes bytes = random_properties(random).encode();
    for (std::size_t cut = 0; cut < bytes.size(); ++cut) {
      ASSERT_FALSE(PropertiesView::parse(ByteView(bytes).first(cut)).has_value());
    }
  }
}

TEST(Properties, BrokenHeadersAreRefused) {  // C-408, C-409
  EXPECT_FALSE(PropertiesView::parse(Bytes{0x20, 0, 0, 0, 0, 1, 5}).has_value());
  EXPECT_FALSE(PropertiesView::parse(Bytes{0x20, 0, 0, 0, 0, 4, 1, 'k', 'U', 0}).has_value());
  EXPECT_TRUE(PropertiesView::parse(Bytes{0x20, 0, 0, 0, 0, 0}).has_value());
}

TEST(Properties, EditsChangeOneValueAndKeepTheRest) {
  testing::RandomValues random(8);
  const Table headers = Table().add("k", "v");
  for (int round = 0; round < 500; ++round) {
    const Properties before = random_properties(random);
    const Bytes bytes = before.encode();
    const PropertiesView view = PropertiesView::trusted(bytes);
    Properties wanted = before;
    wanted.reply_to = "rewritten";
    ASSERT_EQ(view.with_text(kReplyTo, "rewritten"), wanted.encode());
    wanted = before;
    wanted.headers = headers;
    ASSERT_EQ(view.with_headers(headers), wanted.encode());
    wanted = before;
    wanted.cluster_id = "";
    ASSERT_EQ(view.with_text(kClusterId, ""), wanted.encode());
    wanted = before;
    wanted.content_type = "x";
    ASSERT_EQ(view.with_text(kContentType, "x"), wanted.encode());
  }
  EXPECT_EQ(PropertiesView().with_text(kReplyTo, "r"), (Bytes{0x02, 0, 1, 'r'}));
}

TEST(Properties, PersistentIsModeTwoOnly) {  // C-316
  for (const int mode : {0, 1, 2, 3}) {
    const Bytes bytes{0x10, 0, static_cast<std::uint8_t>(mode)};
    EXPECT_EQ(PropertiesView::parse(bytes)->persistent(), mode == 2);
  }
  EXPECT_FALSE(PropertiesView().persistent());
}

}  // namespace
}  // namespace harrier::protocol
