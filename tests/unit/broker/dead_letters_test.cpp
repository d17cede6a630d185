// SPDX-License-Identifier: Apache-2.0
#include "broker/core/dead_letters.hpp"

#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "protocol/private_headers.hpp"
#include "protocol/value_text.hpp"

namespace harrier::broker {
namespace {

using protocol::Message;
using protocol::MessagePtr;
using protocol::Properties;
using protocol::Table;
using Texts = std::vector<std::string>;

MessagePtr message(const Properties& properties, std::string_view exchange = "x") {
  const std::vector<std::uint8_t> body{1, 2, 3};
  return Message::create(exchange, "key", properties.encode(), body);
}

std::string header(const Message& message, std::string_view key) {
  const auto value = message.properties().headers().find(key);
  return value ? protocol::value_text(*value, protocol::ValueText::Typed) : "none";
}

DeadLetters of(std::string queue, std::optional<std::string> key = std::nullopt) {
  return DeadLetters("/", std::move(queue), "dlx", std::move(key));
}

TEST(DeadLetters, TellsWhatHappened) {
  Properties properties;
  properties.expiration = "100";
  properties.delivery_mode = std::uint8_t{2};
  properties.message_id = "m";
  const DeadLetter letter =
      of("q").letter(*message(properties), DeathReason::Expired, 1'700'000'000'999);
  EXPECT_EQ(letter.vhost, "/");
  EXPECT_EQ(letter.message->exchange(), "dlx");
  EXPECT_EQ(letter.message->routing_key(), "key");
  EXPECT_EQ(letter.message->body().size(), 3u);
  EXPECT_TRUE(letter.message->persistent());
  EXPECT_FALSE(letter.message->properties().has(protocol::kExpiration));
  EXPECT_EQ(letter.message->properties().text(protocol::kMessageId), "m");
  EXPECT_EQ(header(*letter.message, "x-death"),
            "[{\"count\": l:1, \"reason\": \"expired\", \"queue\": \"q\", \"time\": T:1700000000, "
            "\"exchange\": \"x\", \"routing-keys\": [\"key\"], \"original-expiration\": \"100\"}]");
  for (const std::string which : {"first", "last"}) {
    EXPECT_EQ(header(*letter.message, "x-" + which + "-death-reason"), "\"expired\"");
    EXPECT_EQ(header(*letter.message, "x-" + which + "-death-queue"), "\"q\"");
    EXPECT_EQ(header(*letter.message, "x-" + which + "-death-exchange"), "\"x\"");
  }
}

TEST(DeadLetters, CountsByQueueAndReason) {
  MessagePtr dying = message({});
  for (int round = 0; round < 3; ++round) {
    dying = of("a").letter(*dying, DeathReason::Rejected, 0).message;
    dying = of("b").letter(*dying, DeathReason::MaxLength, 0).message;
  }
  dying = of("a").letter(*dying, DeathReason::Expired, 0).message;
  std::string text = header(*dying, "x-death");
  Texts seen;
  for (std::size_t at = 0; (at = text.find("\"count\": l:", at)) != std::string::npos; ++at)
    seen.push_back(text.substr(at + 11, 1));
  EXPECT_EQ(seen, (Texts{"1", "3", "3"}));
  EXPECT_LT(text.find("expired"), text.find("maxlen"));
  EXPECT_LT(text.find("maxlen"), text.find("rejected"));
  EXPECT_EQ(header(*dying, "x-first-death-reason"), "\"rejected\"");
  EXPECT_EQ(header(*dying, "x-last-death-reason"), "\"expired\"");
  EXPECT_EQ(header(*dying, "x-last-death-exchange"), "\"dlx\"");
}

TEST(DeadLetters, BelievesNoHistoryOfAClient) {
  Table headers;
  Table death;
  death.add("queue", "q").add("reason", "expired").add_int64("count", 9);
  headers.add_array("x-death", {{'F', death.view().bytes()}});
  headers.add("x-first-death-queue", "elsewhere");
  Properties properties;
  properties.headers = headers;
  const DeadLetter letter = of("q").letter(*message(properties), DeathReason::Expired, 0);
  EXPECT_NE(header(*letter.message, "x-death").find("l:1"), std::string::npos);
  EXPECT_EQ(header(*letter.message, "x-death").find("l:9"), std::string::npos);
  EXPECT_EQ(header(*letter.message, "x-first-death-queue"), "\"q\"");
}

TEST(DeadLetters, EndsCircles) {
  MessagePtr dying = message({});
  dying = of("a").letter(*dying, DeathReason::Expired, 0).message;
  EXPECT_EQ(of("b").letter(*dying, DeathReason::Expired, 0).queues_past, (Texts{"b", "a"}));
  EXPECT_EQ(of("a").letter(*dying, DeathReason::MaxLength, 0).queues_past, (Texts{"a", "a"}));
  dying = of("b").letter(*dying, DeathReason::Rejected, 0).message;
  EXPECT_EQ(of("c").letter(*dying, DeathReason::Expired, 0).queues_past, Texts{"c"});
  EXPECT_EQ(of("c").letter(*dying, DeathReason::Rejected, 0).queues_past, Texts{});
}

TEST(DeadLetters, KeepsRoutingKeysUntilTheyAreReplaced) {
  Table headers;
  headers.add_array("CC", {{'S', protocol::as_bytes(std::string_view("c1"))}});
  const auto properties = protocol::PropertiesView::trusted({});
  protocol::PrivateHeaders hidden;
  hidden.bcc = {"b1"};
  const MessagePtr copied =
      Message::create("", "key", with_private_headers(properties, headers, hidden), {});
  EXPECT_TRUE(copied->has_private_headers());

  DeadLetter letter = of("q").letter(*copied, DeathReason::Rejected, 0);
  EXPECT_EQ(letter.extra_keys, (Texts{"c1", "b1"}));
  EXPECT_EQ(of("r").letter(*letter.message, DeathReason::Rejected, 0).extra_keys,
            (Texts{"c1", "b1"}));
  EXPECT_EQ(header(*letter.message, "x-death").find("b1"), std::string::npos);

  letter = of("q", "other").letter(*copied, DeathReason::Rejected, 0);
  EXPECT_EQ(letter.message->routing_key(), "other");
  EXPECT_EQ(letter.extra_keys, Texts{});
  EXPECT_EQ(header(*letter.message, "CC"), "[\"c1\"]");
  EXPECT_EQ(of("r").letter(*letter.message, DeathReason::Rejected, 0).extra_keys, Texts{});
}

TEST(PrivateHeaders, NobodySeesThem) {
  Table headers;
  headers.add("kept", "yes");
  Properties plain;
  plain.headers = headers;
  plain.app_id = "app";
  const std::vector<std::uint8_t> encoded = plain.encode();
  const auto view = protocol::PropertiesView::trusted(encoded);
  const protocol::PrivateHeaders hidden{{"one", "two"}, true, true};
  const auto marked = with_private_headers(view, headers, hidden);
  const auto read = protocol::PropertiesView::parse(marked);
  ASSERT_TRUE(read);
  EXPECT_TRUE(has_private_headers(*read));
  EXPECT_EQ(read_private_headers(*read), hidden);
  EXPECT_EQ(visible_properties(*read, 0), encoded);
  const auto counted = visible_properties(*read, 3);
  const auto count = protocol::PropertiesView::trusted(counted).headers().find("x-delivery-count");
  ASSERT_TRUE(count);
  EXPECT_EQ(count->as_integer(), 3);
  EXPECT_EQ(count->type_name(), "long");
  // Whoever sends the mark has not got anything by that.
  EXPECT_FALSE(has_private_headers(protocol::PropertiesView::trusted(without_private_mark(*read))));
}

}  // namespace
}  // namespace harrier::broker
