// SPDX-License-Identifier: Apache-2.0
#include "broker/auth/sasl.hpp"

#include <gtest/gtest.h>

#include "protocol/bytes.hpp"
#include "protocol/field_table.hpp"

namespace harrier::broker {
namespace {

using namespace std::string_literals;
using namespace std::string_view_literals;
using protocol::Table;

const SaslSettings kDefaults;

std::optional<Credentials> plain(std::string_view response) {
  return read_sasl_response(SaslMechanism::Plain, response, kDefaults);
}

std::optional<Credentials> amqplain(const Table& table) {
  return read_sasl_response(SaslMechanism::Amqplain, protocol::as_text(table.view().bytes()),
                            kDefaults);
}

TEST(SaslMechanisms, OfferedInOneList) {
  EXPECT_EQ(sasl_mechanisms(kDefaults), "PLAIN AMQPLAIN ANONYMOUS");
  EXPECT_EQ(sasl_mechanisms(SaslSettings{.anonymous_login = std::nullopt}), "PLAIN AMQPLAIN");
}

TEST(SaslMechanisms, FoundByExactName) {
  EXPECT_EQ(find_sasl_mechanism("PLAIN", kDefaults), SaslMechanism::Plain);
  EXPECT_EQ(find_sasl_mechanism("AMQPLAIN", kDefaults), SaslMechanism::Amqplain);
  EXPECT_EQ(find_sasl_mechanism("ANONYMOUS", kDefaults), SaslMechanism::Anonymous);
  const SaslSettings without{.anonymous_login = std::nullopt};
  EXPECT_EQ(find_sasl_mechanism("ANONYMOUS", without), std::nullopt);
  for (const auto name : {""sv, "plain"sv, "EXTERNAL"sv, "PLAIN "sv, "PLAIN\0"sv, "PLAI"sv}) {
    EXPECT_EQ(find_sasl_mechanism(name, kDefaults), std::nullopt) << name;
  }
}

TEST(SaslPlain, C026_UserAndPasswordMayBeAnyBytesButNul) {
  EXPECT_EQ(plain("\0guest\0secret"sv), (Credentials{"guest", "secret"}));
  EXPECT_EQ(plain("\0J\xc3\xb6rg\0\xff\x01 "sv), (Credentials{"J\xc3\xb6rg", "\xff\x01 "}));
  EXPECT_EQ(plain("\0guest\0"sv), (Credentials{"guest", ""}));
  EXPECT_EQ(plain("\0\0"sv), (Credentials{"", ""}));
}

TEST(SaslPlain, C026_AnythingElseIsMalformed) {
  for (const auto response : {""sv, "\0"sv, "\0guest"sv, "guest\0secret"sv,
                              "other\0guest\0secret"sv, "\0guest\0secret\0"sv, "\0a\0b\0c"sv}) {
    EXPECT_EQ(plain(response), std::nullopt);
  }
}

TEST(SaslAmqplain, C027_StringsAndByteArrays) {
  const Credentials expected{"guest", "secret"};
  EXPECT_EQ(amqplain(Table().add("LOGIN", "guest").add("PASSWORD", "secret")), expected);
  EXPECT_EQ(amqplain(Table().add("PASSWORD", "secret").add("LOGIN", "guest").add("x", "y")),
            expected);
  EXPECT_EQ(amqplain(Table()
                         .add_value("LOGIN", {'x', protocol::as_bytes("guest")})
                         .add_value("PASSWORD", {'x', protocol::as_bytes("secret")})),
            expected);
}

TEST(SaslAmqplain, C027_MissingKeysAndWrongTypesAreMalformed) {
  EXPECT_EQ(amqplain(Table()), std::nullopt);
  EXPECT_EQ(amqplain(Table().add("LOGIN", "guest")), std::nullopt);
  EXPECT_EQ(amqplain(Table().add("PASSWORD", "secret")), std::nullopt);
  EXPECT_EQ(amqplain(Table().add("login", "guest").add("password", "secret")), std::nullopt);
  EXPECT_EQ(amqplain(Table().add("LOGIN", "guest").add_int32("PASSWORD", 5)), std::nullopt);
}

TEST(SaslAmqplain, BrokenTablesAreMalformed) {
  const auto read = [](std::string_view bytes) {
    return read_sasl_response(SaslMechanism::Amqplain, bytes, kDefaults);
  };
  const Table whole = Table().add("LOGIN", "guest").add("PASSWORD", "secret");
  const std::string_view bytes = protocol::as_text(whole.view().bytes());
  for (std::size_t size = 0; size < bytes.size(); ++size) {
    EXPECT_EQ(read(bytes.substr(0, size)), std::nullopt) << size;
  }
  // A client that sends the length in front of the table sends something else.
  EXPECT_EQ(read("\0\0\0\x1f"s + std::string(bytes)), std::nullopt);
  EXPECT_EQ(read(std::string(bytes) + "\x01k?"), std::nullopt);
}

TEST(SaslAnonymous, C028_TheResponseIsIgnored) {
  const SaslSettings settings{.anonymous_login = Credentials{"anna", "pw"}};
  for (const auto response : {""sv, "anything\0at all"sv}) {
    EXPECT_EQ(read_sasl_response(SaslMechanism::Anonymous, response, settings),
              (Credentials{"anna", "pw"}));
  }
}

}  // namespace
}  // namespace harrier::broker
