// SPDX-License-Identifier: Apache-2.0
#include "broker/core/publish_checks.hpp"

#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "protocol/error.hpp"

namespace harrier::broker {
namespace {

using protocol::AmqpError;
using protocol::Properties;
using protocol::PropertiesView;
using protocol::ReplyCode;
using protocol::Table;

// Runs `check` on the encoded properties and returns the explanation of its 406, or "" if it
// passes.
template <class Check>
std::string refusal(const Properties& properties, Check check) {
  const std::vector<std::uint8_t> bytes = properties.encode();
  const auto view = PropertiesView::parse(bytes);
  if (!view) {
    ADD_FAILURE() << "the properties do not parse";
    return "";
  }
  try {
    check(*view);
  } catch (const AmqpError& error) {
    EXPECT_EQ(error.code(), ReplyCode::PreconditionFailed);
    EXPECT_EQ(error.method(), protocol::MethodId{});
    return error.explanation();
  }
  return "";
}

Properties expiring(std::string text) {
  Properties properties;
  properties.expiration = std::move(text);
  return properties;
}

struct Expiration {
  std::string text;
  std::int64_t milliseconds;
};

TEST(CheckExpiration, C310_Numbers) {
  const std::vector<Expiration> good{
      {"0", 0},  {"1", 1},  {"007", 7},       {"000", 0},
      {"+1", 1}, {"-0", 0}, {"60000", 60000}, {"315360000000", 315360000000}};
  for (const auto& [text, milliseconds] : good) {
    const std::vector<std::uint8_t> bytes = expiring(text).encode();
    EXPECT_EQ(check_expiration(PropertiesView::trusted(bytes)), milliseconds) << text;
  }
  EXPECT_EQ(check_expiration(PropertiesView()), std::nullopt);
}

TEST(CheckExpiration, C310_EverythingElseIsRefusedWithItsDetail) {
  const std::vector<std::pair<std::string, std::string>> bad{
      {"", "no_integer"},
      {" 5", "no_integer"},
      {"foobar", "no_integer"},
      {"-", "no_integer"},
      {"+", "no_integer"},
      {"--5", "no_integer"},
      {"+-5", "no_integer"},
      {"5.0", "{leftover_string,\".0\"}"},
      {"12ms", "{leftover_string,\"ms\"}"},
      {"5 ", "{leftover_string,\" \"}"},
      {"-1x", "{leftover_string,\"x\"}"},
      {"5\"x\\y", "{leftover_string,\"\\\"x\\\\y\"}"},
      {"5\n\t\x1b", "{leftover_string,\"\\n\\t\\e\"}"},
      {"5\x01", "{leftover_string,[1]}"},
      {"5\x7f", "{leftover_string,[127]}"},
      {"5\xe6\x97\xa5", "{leftover_string,[230,151,165]}"},
      {"5\xc3\xa9", "{leftover_string,\"\xc3\xa9\"}"},
      {"-1", "{value_negative,-1}"},
      {"-007", "{value_negative,-7}"},
      {"315360000001", "{value_too_large,315360000001}"},
      {"99999999999999999999999999", "{value_too_large,99999999999999999999999999}"},
      {"-99999999999999999999999999", "{value_negative,-99999999999999999999999999}"}};
  for (const auto& [text, detail] : bad) {
    EXPECT_EQ(refusal(expiring(text), [](const PropertiesView& p) { check_expiration(p); }),
              "invalid expiration '" + text + "': " + detail);
  }
}

TEST(CheckSenderSelected, C312_OnlyArraysAreAccepted) {
  const auto checked = [](const Table& headers) {
    Properties properties;
    properties.headers = headers;
    return refusal(properties, check_sender_selected);
  };
  for (const std::string key : {"CC", "BCC"}) {
    const std::string prefix = "invalid message: {unacceptable_type_in_header,\"" + key + "\",";
    EXPECT_EQ(checked(Table().add(key, "a")), prefix + "longstr}");
    EXPECT_EQ(checked(Table().add_int32(key, 5)), prefix + "signedint}");
    EXPECT_EQ(checked(Table().add_void(key)), prefix + "void}");
    EXPECT_EQ(checked(Table().add_table(key, Table())), prefix + "table}");
    EXPECT_EQ(checked(Table().add_array(key, {})), "");
    const std::vector<std::uint8_t> five{0, 0, 0, 5};
    EXPECT_EQ(checked(Table().add_array(key, {{'S', protocol::as_bytes("a")}, {'I', five}})), "");
  }
  EXPECT_EQ(checked(Table().add("cc", "names are case-sensitive")), "");
  EXPECT_EQ(refusal(Properties{}, check_sender_selected), "");
}

TEST(CheckUserId, C311_MustBeTheConnectionsUser) {
  const auto checked = [](std::optional<std::string> user_id, bool impersonator) {
    Properties properties;
    properties.user_id = std::move(user_id);
    return refusal(properties,
                   [&](const PropertiesView& view) { check_user_id(view, "guest", impersonator); });
  };
  EXPECT_EQ(checked(std::nullopt, false), "");
  EXPECT_EQ(checked("guest", false), "");
  EXPECT_EQ(checked("foo", false),
            "user_id property set to 'foo' but authenticated user was 'guest'");
  EXPECT_EQ(checked("", false), "user_id property set to '' but authenticated user was 'guest'");
  EXPECT_EQ(checked("foo", true), "");
}

}  // namespace
}  // namespace harrier::broker
