// SPDX-License-Identifier: Apache-2.0
#include "protocol/uri_grammar.hpp"

#include <gtest/gtest.h>

namespace harrier::protocol {
namespace {

AmqpUri uri(std::string_view text) {
  const auto result = parse_uri(text);
  if (const auto* error = std::get_if<UriError>(&result)) {
    ADD_FAILURE() << describe(*error, text);
    return {};
  }
  return std::get<AmqpUri>(result);
}

// "<position>: <message>"
std::string error(std::string_view text) {
  const auto result = parse_uri(text);
  const auto* failure = std::get_if<UriError>(&result);
  if (failure == nullptr) return "accepted";
  return std::to_string(failure->position) + ": " + failure->message;
}

TEST(UriGrammar, AllParts) {
  const AmqpUri parsed = uri("amqps://user:pass@host.example:10000/vhost?heartbeat=10&x=a%26b");
  EXPECT_TRUE(parsed.tls);
  EXPECT_EQ(parsed.user, "user");
  EXPECT_EQ(parsed.password, "pass");
  EXPECT_EQ(parsed.host, "host.example");
  EXPECT_EQ(parsed.port, 10000);
  EXPECT_EQ(parsed.vhost, "vhost");
  ASSERT_EQ(parsed.query.size(), 2u);
  EXPECT_EQ(parsed.query[0], (std::pair<std::string, std::string>("heartbeat", "10")));
  EXPECT_EQ(parsed.query[1], (std::pair<std::string, std::string>("x", "a&b")));
}

TEST(UriGrammar, PercentEncoding) {
  const AmqpUri parsed = uri("amqp://us%61r:p%40%3ass@h%6fst/v%2Fhost");
  EXPECT_EQ(parsed.user, "usar");
  EXPECT_EQ(parsed.password, "p@:ss");
  EXPECT_EQ(parsed.host, "host");
  EXPECT_EQ(parsed.vhost, "v/host");
  EXPECT_EQ(uri("amqp://%c3%bc@h").user, "\xC3\xBC");
}

TEST(UriGrammar, AbsentAndEmptyParts) {
  EXPECT_EQ(uri("amqp://"), AmqpUri());
  EXPECT_EQ(uri("amqp://:@/").user, "");
  EXPECT_EQ(uri("amqp://:@/").password, "");
  EXPECT_EQ(uri("amqp://:@/").vhost, "");
  EXPECT_EQ(uri("amqp://user@").user, "user");
  EXPECT_FALSE(uri("amqp://user@").password.has_value());
  EXPECT_EQ(uri("amqp://user:pass@").password, "pass");
  EXPECT_EQ(uri("amqp://user:pass@").host, "");
  EXPECT_EQ(uri("amqp://host").host, "host");
  EXPECT_FALSE(uri("amqp://host").user.has_value());
  EXPECT_FALSE(uri("amqp://host").vhost.has_value());
  EXPECT_EQ(uri("amqp://:10000").port, 10000);
  EXPECT_EQ(uri("amqp:///vhost").vhost, "vhost");
  EXPECT_EQ(uri("amqp://host/").vhost, "");
  EXPECT_EQ(uri("amqp://host/%2f").vhost, "/");
  EXPECT_TRUE(uri("amqp://host?").query.empty());
}

TEST(UriGrammar, DefaultPorts) {
  EXPECT_EQ(uri("amqp://h").port_or_default(), 5672);
  EXPECT_EQ(uri("amqps://h").port_or_default(), 5671);
  EXPECT_EQ(uri("amqps://h:5672").port_or_default(), 5672);
  EXPECT_TRUE(uri("AMQPS://h").tls);
}

TEST(UriGrammar, Ipv6) {
  EXPECT_EQ(uri("amqp://[::1]").host, "::1");
  EXPECT_EQ(uri("amqp://[::]:5673/v").port, 5673);
  EXPECT_EQ(uri("amqp://u:p@[2001:db8:0:1:1:1:1:1]").host, "2001:db8:0:1:1:1:1:1");
  EXPECT_EQ(uri("amqp://[fe80::1:2]").host, "fe80::1:2");
  EXPECT_EQ(uri("amqp://[::ffff:127.0.0.1]").host, "::ffff:127.0.0.1");
  EXPECT_EQ(uri("amqp://[1:2:3:4:5:6:7::]").host, "1:2:3:4:5:6:7::");
  EXPECT_EQ(error("amqp://[::1"), "11: expected ']' after the IPv6 address");
  for (const std::string_view bad :
       {"amqp://[]", "amqp://[1:2:3]", "amqp://[1::2::3]", "amqp://[:1]", "amqp://[12345::]",
        "amqp://[1:2:3:4:5:6:7:8:9]", "amqp://[::256.0.0.1]", "amqp://[1:2:3:4:5:6:7:8::]",
        "amqp://[1.2.3.4::]", "amqp://[::1:]"}) {
    EXPECT_EQ(error(bad), "8: expected an IPv6 address") << bad;
  }
}

TEST(UriGrammar, ErrorsPointAtTheCharacter) {
  EXPECT_EQ(error(""), "0: expected amqp:// or amqps://");
  EXPECT_EQ(error("http://h"), "0: expected amqp:// or amqps://");
  EXPECT_EQ(error("amqp:/h"), "4: expected '://'");
  EXPECT_EQ(error("amqpx://h"), "4: expected '://'");
  EXPECT_EQ(error("amqp://h:port"), "9: expected a port between 1 and 65535");
  EXPECT_EQ(error("amqp://h:0"), "9: expected a port between 1 and 65535");
  EXPECT_EQ(error("amqp://h:65536"), "9: expected a port between 1 and 65535");
  EXPECT_EQ(error("amqp://h/%2"), "10: expected two hex digits after '%'");
  EXPECT_EQ(error("amqp://u%zz@h"), "9: expected two hex digits after '%'");
  EXPECT_EQ(error("amqp://h ost"), "8: expected the end, or one of ':', '/', '?' where it fits");
  EXPECT_EQ(error("amqp://h/a/b"), "10: expected the end, or one of ':', '/', '?' where it fits");
  EXPECT_EQ(error("amqp://h?key"), "12: expected '=' and a value");
}

TEST(UriGrammar, DescribeShowsThePlace) {
  EXPECT_EQ(describe(std::get<UriError>(parse_uri("amqp://h:x")), "amqp://h:x"),
            "amqp://h:x\n         ^ expected a port between 1 and 65535");
}

}  // namespace
}  // namespace harrier::protocol
