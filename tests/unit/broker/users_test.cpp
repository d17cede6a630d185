// SPDX-License-Identifier: Apache-2.0
//
// Users that operators define: patterns, password hashes, permissions, quotas, the directory.
#include <gtest/gtest.h>

#include "broker/auth/name_pattern.hpp"
#include "broker/auth/password_hash.hpp"
#include "broker/auth/user_directory.hpp"

namespace harrier::broker {
namespace {

NamePattern pattern(std::string_view text) {
  auto parsed = NamePattern::parse(text);
  EXPECT_TRUE(std::holds_alternative<NamePattern>(parsed)) << text;
  return std::get<NamePattern>(parsed);
}

TEST(NamePattern, C558_IsSearchedUnanchored) {
  EXPECT_TRUE(pattern("configure-.*").matches("my-configure-1"));
  EXPECT_FALSE(pattern("^configure-.*").matches("my-configure-1"));
  EXPECT_TRUE(pattern("^(orders\\.|events$)").matches("events"));
  EXPECT_FALSE(pattern("^(orders\\.|events$)").matches("events2"));
  EXPECT_FALSE(pattern("a$").matches("a\n"));
}

TEST(NamePattern, C558_EmptyMatchesTheEmptyNameOnly) {
  for (const NamePattern& empty : {pattern(""), pattern("^$"), NamePattern()}) {
    EXPECT_TRUE(empty.matches(""));
    EXPECT_FALSE(empty.matches("a"));
    EXPECT_FALSE(empty.matches_all());
  }
}

TEST(NamePattern, KnowsThePatternOfEverything) {
  EXPECT_TRUE(pattern(".*").matches_all());
  EXPECT_TRUE(pattern(".*").matches(""));
  EXPECT_TRUE(pattern(".*").matches("a\nb"));
  EXPECT_FALSE(pattern("a.*").matches_all());
}

TEST(NamePattern, HasWhatOperatorsWrite) {
  EXPECT_FALSE(pattern("^(?!amq\\.).*").matches("amq.topic"));
  EXPECT_TRUE(pattern("^(?!amq\\.).*").matches("orders"));
  EXPECT_TRUE(pattern("(?i)^ORDERS").matches("orders"));
  EXPECT_TRUE(pattern("(?<=a)b").matches("ab"));
}

TEST(NamePattern, SaysWhatIsWrong) {
  const auto parsed = NamePattern::parse("a(b");
  const auto* fault = std::get_if<PatternFault>(&parsed);
  ASSERT_NE(fault, nullptr);
  EXPECT_EQ(fault->offset, 3u);
  EXPECT_NE(fault->text.find("parenthesis"), std::string::npos) << fault->text;
}

// A client chooses the name: it must not be able to hold the thread.
TEST(NamePattern, CostIsBounded) {
  EXPECT_FALSE(pattern("^(a+)+$").matches(std::string(254, 'a') + "b"));
}

constexpr std::string_view kGuestHash = "8qW5oRKNyV/HqGdJ+Ej33ck5uoeB2UH01hDBDz/iw/BPfhF4";

TEST(PasswordHash, VerifiesWhatRabbitMqStored) {
  const auto hash = PasswordHash::parse(HashAlgorithm::Sha256, kGuestHash);
  ASSERT_TRUE(hash);
  EXPECT_TRUE(hash->verifies("guest"));
  EXPECT_FALSE(hash->verifies("Guest"));
  EXPECT_FALSE(hash->verifies(""));
  EXPECT_EQ(hash->base64(), kGuestHash);
}

TEST(PasswordHash, MakesWhatItVerifies) {
  for (const HashAlgorithm algorithm : {HashAlgorithm::Sha256, HashAlgorithm::Sha512}) {
    const PasswordHash made = PasswordHash::make(algorithm, "secret", {1, 2, 3, 4});
    EXPECT_TRUE(made.verifies("secret"));
    EXPECT_FALSE(made.verifies("secret2"));
    EXPECT_EQ(PasswordHash::parse(algorithm, made.base64()), made);
    EXPECT_FALSE(made == PasswordHash::make(algorithm, "secret", {1, 2, 3, 5}));
    EXPECT_EQ(parse_hash_algorithm(name(algorithm)), algorithm);
  }
}

TEST(PasswordHash, C037_OfNoPasswordNeverVerifies) {
  const auto none = PasswordHash::parse(HashAlgorithm::Sha512, "");
  ASSERT_TRUE(none);
  EXPECT_FALSE(none->verifies(""));
  EXPECT_FALSE(none->verifies("x"));
  EXPECT_EQ(none->base64(), "");
}

TEST(PasswordHash, RefusesWhatIsNone) {
  const std::string good(kGuestHash);
  for (const std::string& bad :
       {good.substr(4), good + "AAAA", " " + good.substr(1), good.substr(0, 47) + "=",
        good.substr(0, 47) + "!", std::string("="), std::string("===="), std::string(4'000, 'A'),
        good.substr(0, 20) + "==" + good.substr(22)}) {
    EXPECT_EQ(PasswordHash::parse(HashAlgorithm::Sha256, bad), std::nullopt) << bad;
  }
  EXPECT_EQ(PasswordHash::parse(HashAlgorithm::Sha512, good), std::nullopt);
}

TEST(TopicPattern, C562_VariablesAreTakenLiterally) {
  EXPECT_EQ(expand_topic_pattern("^{vhost}.{username}-{client_id}$", "a.b", "/v"),
            "^\\/v.a\\.b-{client_id}$");
}

TEST(Quota, CountsUpToItsLimit) {
  const Quota quota{2, std::make_shared<Tally>(0)};
  auto first = quota.claim();
  auto second = quota.claim();
  ASSERT_TRUE(first && second);
  EXPECT_FALSE(quota.claim());
  first->release();
  first->release();  // once is enough
  EXPECT_TRUE(quota.claim()) << "and is given back at once";
  EXPECT_TRUE(quota.claim());
  Claim moved = *std::move(second);
  EXPECT_EQ(quota.tally->load(), 1u);
}

TEST(Quota, C059_ZeroForbidsAllAndNegativeIsNoLimit) {
  EXPECT_FALSE((Quota{limit_of(0), std::make_shared<Tally>(0)}.claim()));
  EXPECT_TRUE((Quota{limit_of(-1), std::make_shared<Tally>(7)}.claim()));
  EXPECT_TRUE(Quota{}.claim());
  EXPECT_EQ(limit_of(1LL << 40), UINT32_MAX);
}

class Directory : public testing::Test {
 protected:
  Directory() {
    table_.users["alice"] = {PasswordHash::make(HashAlgorithm::Sha256, "a", {}), {"x"}, 1, {}};
    table_.users["guest"] = {PasswordHash::make(HashAlgorithm::Sha512, "guest", {}), {}, {}, {}};
    table_.users["cert"] = {};
    table_.permissions[{"/", "alice"}] = {"^a", "^b", "^c"};
    table_.permissions[{"/", "guest"}] = {".*", ".*", ".*"};
    table_.topics[{{"/", "alice"}, "events"}] = {"^{username}\\.", ".*"};
    table_.topics[{{"other", "alice"}, "events"}] = {".*", ".*"};
  }
  UserTable table_;
};

TEST_F(Directory, LogsIn) {
  const UserDirectory users(table_, {"guest"});
  const auto alice = users.log_in({"alice", "a"}, "192.0.2.7");
  ASSERT_TRUE(alice);
  EXPECT_TRUE(alice->has_tag("x"));
  EXPECT_FALSE(users.log_in({"alice", "b"}, "127.0.0.1"));
  EXPECT_FALSE(users.log_in({"alice", ""}, "127.0.0.1"));
  EXPECT_FALSE(users.log_in({"bob", "a"}, "127.0.0.1"));
  EXPECT_FALSE(users.log_in({"cert", ""}, "127.0.0.1"));
  EXPECT_TRUE(users.log_in({"guest", "guest"}, "127.0.0.1"));
  EXPECT_FALSE(users.log_in({"guest", "guest"}, "192.0.2.7"));
}

TEST_F(Directory, KnowsPermissions) {
  const UserDirectory users(table_, {});
  const User alice{"alice", {}};
  const VhostAccess access = users.access(alice, "/");
  ASSERT_TRUE(access.allowed && access.permission);
  EXPECT_TRUE(access.permission->of(Right::Configure).matches("a1"));
  EXPECT_TRUE(access.permission->of(Right::Write).matches("b1"));
  EXPECT_TRUE(access.permission->of(Right::Read).matches("c1"));
  EXPECT_FALSE(access.permission->of(Right::Read).matches("a1"));
  const TopicPermission& topic = access.permission->topics.at("events");
  EXPECT_TRUE(topic.write.matches("alice.new"));
  EXPECT_FALSE(topic.write.matches("bob.new"));
  EXPECT_FALSE(users.access(alice, "other").allowed) << "a topic permission alone lets nobody in";
  EXPECT_FALSE(users.access(User{"bob", {}}, "/").allowed);
}

TEST_F(Directory, WhoMayDoEverythingIsNotAsked) {
  const UserDirectory users(table_, {});
  const VhostAccess access = users.access(User{"guest", {}}, "/");
  EXPECT_TRUE(access.allowed);
  EXPECT_EQ(access.permission, nullptr);
}

TEST_F(Directory, CountsGoOnInTheNextOne) {
  const UserDirectory first(table_, {});
  const User alice{"alice", {}};
  const auto claim = first.quotas(alice).connections.claim();
  ASSERT_TRUE(claim);
  EXPECT_FALSE(first.quotas(alice).connections.claim());
  table_.users["alice"].connections_max = 2;
  const UserDirectory second(table_, {}, &first);
  const auto other = second.quotas(alice).connections.claim();
  EXPECT_TRUE(other);
  EXPECT_FALSE(second.quotas(alice).connections.claim());
}

}  // namespace
}  // namespace harrier::broker
