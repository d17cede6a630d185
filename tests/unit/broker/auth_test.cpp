// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include "broker/auth/builtin_authenticator.hpp"
#include "broker/auth/sha256.hpp"
#include "broker/auth/static_authenticator.hpp"

namespace harrier::broker {
namespace {

constexpr std::string_view kLocal = "127.0.0.1";
constexpr std::string_view kRemote = "192.0.2.7";

TEST(IsLoopback, C036) {
  for (const char* address :
       {"127.0.0.1", "127.255.255.254", "::1", "::ffff:127.0.0.1", "::FFFF:127.1.2.3", ""}) {
    EXPECT_TRUE(is_loopback(address)) << address;
  }
  for (const char* address :
       {"128.0.0.1", "10.127.0.1", "::", "::2", "::ffff:10.0.0.1", "::ffff:", "127.0.0", "127.0.0.",
        "127.0.0.1.2", "127.0.0.256", "127.0.0.1x", "127.0.0.0001", "127", "127.-1.0.1",
        "127.evil.example", "fe80::1", "localhost"}) {
    EXPECT_FALSE(is_loopback(address)) << address;
  }
}

TEST(Sha256, IsThatOfTheStandard) {
  const auto hash = sha256("abc");
  EXPECT_EQ(hash.front(), 0xba);
  EXPECT_EQ(hash[1], 0x78);
  EXPECT_EQ(hash.back(), 0xad);
  EXPECT_NE(sha256(""), hash);
}

TEST(EqualInConstantTime, IsEquality) {
  EXPECT_TRUE(equal_in_constant_time("", ""));
  EXPECT_TRUE(equal_in_constant_time("guest", "guest"));
  EXPECT_FALSE(equal_in_constant_time("guest", "guesT"));
  EXPECT_FALSE(equal_in_constant_time("Guest", "guest"));
  EXPECT_FALSE(equal_in_constant_time("guestguest", "guest"));
  EXPECT_FALSE(equal_in_constant_time("gue", "guest"));
  EXPECT_FALSE(equal_in_constant_time("", "guest"));
  EXPECT_FALSE(equal_in_constant_time("guest", ""));
  EXPECT_FALSE(equal_in_constant_time(std::string_view("\0", 1), ""));
}

TEST(BuiltinAuthenticator, KnowsGuestOnly) {
  const BuiltinAuthenticator authenticator;
  const auto user = authenticator.log_in({"guest", "guest"}, kLocal);
  ASSERT_TRUE(user);
  EXPECT_EQ(user->name, "guest");
  EXPECT_TRUE(user->has_tag(kAdministratorTag));
  EXPECT_FALSE(user->has_tag(kImpersonatorTag));
  EXPECT_TRUE(authenticator.may_access_vhost(*user, "any"));
  EXPECT_FALSE(authenticator.may_access_vhost(User{"other", {}}, "any"));

  EXPECT_FALSE(authenticator.log_in({"guest", "Guest"}, kLocal));
  EXPECT_FALSE(authenticator.log_in({"guest", ""}, kLocal));
  EXPECT_FALSE(authenticator.log_in({"admin", "guest"}, kLocal));
  EXPECT_FALSE(authenticator.log_in({"", ""}, kLocal));
}

TEST(BuiltinAuthenticator, C036_GuestComesFromLoopbackOnlyUnlessThatIsLifted) {
  EXPECT_FALSE(BuiltinAuthenticator().log_in({"guest", "guest"}, kRemote));
  BuiltinUserSettings settings;
  settings.loopback_users = {"somebody"};
  EXPECT_TRUE(BuiltinAuthenticator(settings).log_in({"guest", "guest"}, kRemote));
  settings.loopback_users.clear();
  EXPECT_TRUE(BuiltinAuthenticator(settings).log_in({"guest", "guest"}, kRemote));
}

TEST(BuiltinAuthenticator, C026_AnEmptyPasswordIsRefusedEvenIfConfigured) {
  BuiltinUserSettings settings;
  settings.credentials.password = "";
  EXPECT_FALSE(BuiltinAuthenticator(settings).log_in({"guest", ""}, kLocal));
}

class StaticAuthenticatorTest : public testing::Test {
 protected:
  const StaticAuthenticator authenticator_{
      {{.name = "ann", .password = "a1", .tags = {"impersonator"}, .vhost_patterns = {"/"}},
       {.name = "bob",
        .password = "b1",
        .vhost_patterns = {"dev-*", "*.test"},
        .loopback_only = true},
       {.name = "eve", .password = "", .vhost_patterns = {}},
       {.name = "ann", .password = "a2"}}};
};

TEST_F(StaticAuthenticatorTest, LogsInWithTheFirstEntryOfAName) {
  const auto ann = authenticator_.log_in({"ann", "a1"}, kRemote);
  ASSERT_TRUE(ann);
  EXPECT_EQ(*ann, (User{"ann", {"impersonator"}}));
  EXPECT_FALSE(authenticator_.log_in({"ann", "a2"}, kRemote));
  EXPECT_FALSE(authenticator_.log_in({"ann", "b1"}, kRemote));
  EXPECT_FALSE(authenticator_.log_in({"nobody", "nobody"}, kRemote));
  EXPECT_FALSE(authenticator_.log_in({"eve", ""}, kRemote));
}

TEST_F(StaticAuthenticatorTest, RestrictsToLoopback) {
  EXPECT_TRUE(authenticator_.log_in({"bob", "b1"}, "::1"));
  EXPECT_FALSE(authenticator_.log_in({"bob", "b1"}, kRemote));
}

TEST_F(StaticAuthenticatorTest, VhostsMatchByPattern) {
  const auto may = [&](const char* user, std::string_view vhost) {
    return authenticator_.may_access_vhost(User{user, {}}, vhost);
  };
  EXPECT_TRUE(may("ann", "/"));
  EXPECT_FALSE(may("ann", "//"));
  EXPECT_FALSE(may("ann", ""));
  EXPECT_TRUE(may("bob", "dev-"));
  EXPECT_TRUE(may("bob", "dev-1"));
  EXPECT_TRUE(may("bob", "a.test.test"));
  EXPECT_FALSE(may("bob", "dev"));
  EXPECT_FALSE(may("bob", "a.test.b"));
  EXPECT_FALSE(may("eve", "/"));
  EXPECT_FALSE(may("nobody", "/"));
}

TEST(StaticAuthenticatorPatterns, ManyStarsStayCheap) {
  std::string pattern;
  for (int i = 0; i < 100; ++i) pattern += "*a";
  const StaticAuthenticator authenticator(
      {{.name = "u", .password = "p", .vhost_patterns = {pattern + "b"}}});
  // Exponential matching would not come back within a lifetime.
  EXPECT_FALSE(authenticator.may_access_vhost(User{"u", {}}, std::string(255, 'a')));
  EXPECT_TRUE(authenticator.may_access_vhost(User{"u", {}}, std::string(254, 'a') + 'b'));
}

}  // namespace
}  // namespace harrier::broker
