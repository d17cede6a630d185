// SPDX-License-Identifier: Apache-2.0
//
// Policies: which one an object gets, and what several make together.
#include <gtest/gtest.h>

#include "broker/core/effective_policy.hpp"
#include "broker/core/policy_book.hpp"

namespace harrier::broker {
namespace {

using protocol::Table;

Policy policy(std::string name, std::string_view pattern, Table definition,
              std::int64_t priority = 0, ApplyTo apply_to = ApplyTo::All) {
  Policy made;
  made.name = std::move(name);
  made.pattern = std::get<NamePattern>(NamePattern::parse(pattern));
  made.definition = std::move(definition);
  made.priority = priority;
  made.apply_to = apply_to;
  return made;
}

std::string matched(const PolicyBook& book, std::string_view queue,
                    QueueType type = QueueType::Classic) {
  const EffectivePolicyPtr found = book.of_queue(queue, type);
  return found ? found->policy + "/" + found->operator_policy : "none";
}

TEST(PolicyBook, C518_TheHighestPriorityThatMatchesWins) {
  PolicyBook book;
  book.set(policy("low", "^q", {}, 1), false);
  book.set(policy("high", "^q1", {}, 5), false);
  book.set(policy("negative", ".*", {}, -1), false);
  book.set(policy("ceiling", "1$", {}), true);
  EXPECT_EQ(matched(book, "q1"), "high/ceiling");
  EXPECT_EQ(matched(book, "q2"), "low/");
  EXPECT_EQ(matched(book, "x"), "negative/");
  EXPECT_TRUE(book.clear("negative", false));
  EXPECT_FALSE(book.clear("negative", false));
  EXPECT_FALSE(book.clear("ceiling", false)) << "that is an operator's";
  EXPECT_EQ(matched(book, "x"), "none");
}

TEST(PolicyBook, AmongEqualsTheFirstByNameWins) {
  PolicyBook book;
  book.set(policy("b", ".*", {}), false);
  book.set(policy("a", ".*", {}), false);
  EXPECT_EQ(matched(book, "q"), "a/");
}

TEST(PolicyBook, C518_ApplyTo) {
  PolicyBook book;
  book.set(policy("p", ".*", {}, 0, ApplyTo::Streams), false);
  EXPECT_EQ(matched(book, "q"), "none");
  EXPECT_EQ(matched(book, "q", QueueType::Stream), "p/");
  EXPECT_EQ(book.of_exchange("x"), nullptr);
  book.set(policy("p", ".*", {}, 0, ApplyTo::QuorumQueues), false);
  EXPECT_EQ(matched(book, "q", QueueType::Stream), "none");
  EXPECT_EQ(matched(book, "q", QueueType::Quorum), "p/");
  book.set(policy("p", ".*", {}, 0, ApplyTo::ClassicQueues), false);
  EXPECT_EQ(matched(book, "q", QueueType::Quorum), "none");
  EXPECT_EQ(matched(book, "q"), "p/");
  book.set(policy("p", ".*", {}, 0, ApplyTo::Exchanges), false);
  EXPECT_EQ(matched(book, "q"), "none");
  EXPECT_NE(book.of_exchange("x"), nullptr);
  book.set(policy("p", ".*", {}, 0, ApplyTo::Queues), false);
  EXPECT_EQ(matched(book, "q", QueueType::Stream), "p/");
  EXPECT_EQ(book.of_exchange("x"), nullptr);
}

TEST(PolicyBook, TellsWhetherAnythingChanged) {
  PolicyBook book;
  EXPECT_TRUE(book.set(policy("p", ".*", Table().add_int64("a", 1).add_int64("b", 2)), false));
  EXPECT_FALSE(book.set(policy("p", ".*", Table().add_int64("b", 2).add_int64("a", 1)), false));
  EXPECT_TRUE(book.set(policy("p", ".*", Table().add_int64("b", 2)), false));
  EXPECT_TRUE(book.set(policy("p", ".*", Table().add_int64("b", 2)), true));
}

TEST(EffectivePolicy, C519_OperatorsBoundNumbersAndOverrideTheRest) {
  const Policy own = policy("p", "",
                            Table()
                                .add_int64("max-length", 5)
                                .add_int64("message-ttl", 900)
                                .add("overflow", "drop-head")
                                .add("dead-letter-exchange", "dlx"));
  const Policy ceiling = policy("o", "",
                                Table()
                                    .add_int64("max-length", 9)
                                    .add_int64("message-ttl", 100)
                                    .add("overflow", "reject-publish")
                                    .add_int64("expires", 7));
  const EffectivePolicyPtr merged = merge_policies(&own, &ceiling);
  EXPECT_EQ(merged->policy, "p");
  EXPECT_EQ(merged->operator_policy, "o");
  const auto value = [&](std::string_view key) {
    return protocol::to_text(*merged->definition.view().find(key));
  };
  EXPECT_EQ(value("max-length"), "5");
  EXPECT_EQ(value("message-ttl"), "100");
  EXPECT_EQ(value("overflow"), "\"reject-publish\"");
  EXPECT_EQ(value("dead-letter-exchange"), "\"dlx\"");
  EXPECT_EQ(value("expires"), "7");
}

TEST(EffectivePolicy, OneAloneIsItself) {
  const Policy one = policy("p", "", Table().add_int64("max-length", 5));
  EXPECT_EQ(merge_policies(nullptr, nullptr), nullptr);
  EXPECT_EQ(merge_policies(&one, nullptr)->definition, one.definition);
  EXPECT_EQ(merge_policies(nullptr, &one)->definition, one.definition);
  EXPECT_EQ(merge_policies(nullptr, &one)->operator_policy, "p");
}

Table effective(const Table& arguments, const Table& definition) {
  const Policy one = policy("p", "", definition);
  return effective_arguments(arguments, merge_policies(&one, nullptr).get());
}

std::string value_of(const Table& table, std::string_view key) {
  const auto value = table.view().find(key);
  return value ? protocol::to_text(*value) : "none";
}

TEST(EffectiveArguments, C519_OfNumbersTheSmaller) {
  const Table arguments = Table().add_int32("x-max-length", 5).add_int32("x-expires", 500);
  const Table both =
      effective(arguments, Table().add_int64("max-length", 9).add_int64("expires", 100));
  EXPECT_EQ(value_of(both, "x-max-length"), "5");
  EXPECT_EQ(value_of(both, "x-expires"), "100");
}

TEST(EffectiveArguments, C519_OfNamesTheArgument) {
  const Table arguments = Table().add("x-dead-letter-exchange", "mine").add("x-unknown", "kept");
  const Table both = effective(
      arguments,
      Table().add("dead-letter-exchange", "theirs").add("dead-letter-routing-key", "key"));
  EXPECT_EQ(value_of(both, "x-dead-letter-exchange"), "\"mine\"");
  EXPECT_EQ(value_of(both, "x-dead-letter-routing-key"), "\"key\"");
  EXPECT_EQ(value_of(both, "x-unknown"), "\"kept\"");
}

TEST(EffectiveArguments, ADeadLetterRoutingKeyNeedsAnExchange) {
  const Table key = Table().add("dead-letter-routing-key", "key");
  EXPECT_TRUE(effective({}, key).empty());
  const Table both = effective(Table().add("x-dead-letter-exchange", ""), key);
  EXPECT_EQ(value_of(both, "x-dead-letter-routing-key"), "\"key\"");
}

// What a queue reads is never refused: a policy cannot stop a shard.
TEST(EffectiveArguments, CanBeReadAsSettings) {
  const Table definition = Table()
                               .add("dead-letter-routing-key", "key")
                               .add_int64("delivery-limit", -1)
                               .add_int64("message-ttl", 0)
                               .add_int64("expires", 1)
                               .add_int64("max-length", 0)
                               .add_int64("max-length-bytes", 0)
                               .add("overflow", "reject-publish-dlx")
                               .add("dead-letter-strategy", "at-least-once")
                               .add("max-age", "7D");
  ASSERT_TRUE(check_policy_definition(definition, false).empty());
  for (const char* type : {"classic", "quorum", "stream"}) {
    EXPECT_NO_THROW(read_queue_settings(effective(Table().add("x-queue-type", type), definition)))
        << type;
  }
}

// Nor one that an earlier version has checked by other rules.
TEST(EffectiveArguments, WhatItsKeyDoesNotAcceptIsLeftOut) {
  const Table old = Table().add_bool("delayed-retry-jitter", true).add_int64("max-length", 5);
  const Table arguments = effective({}, old);
  EXPECT_EQ(value_of(arguments, "x-max-length"), "5");
  EXPECT_FALSE(arguments.view().find("x-delayed-retry-jitter"));
  EXPECT_NO_THROW(read_queue_settings(arguments));
}

TEST(EffectiveArguments, ANegativeDeliveryLimitIsNoLimit) {
  const auto limit = [](std::int64_t argument, std::int64_t by_policy) {
    return value_of(effective(Table().add_int64("x-delivery-limit", argument),
                              Table().add_int64("delivery-limit", by_policy)),
                    "x-delivery-limit");
  };
  EXPECT_EQ(limit(-1, 5), "5");
  EXPECT_EQ(limit(5, -1), "5");
  EXPECT_EQ(limit(0, 5), "0");
  EXPECT_EQ(limit(-1, -1), "-1");
}

TEST(EffectiveArguments, AConsumerTimeoutOfZeroIsNone) {
  const auto timeout = [](std::int64_t argument, std::int64_t by_policy) {
    return value_of(effective(Table().add_int64("x-consumer-timeout", argument),
                              Table().add_int64("consumer-timeout", by_policy)),
                    "x-consumer-timeout");
  };
  EXPECT_EQ(timeout(0, 5), "5");
  EXPECT_EQ(timeout(5, 0), "5");
  EXPECT_EQ(timeout(3, 5), "3");
  EXPECT_EQ(timeout(0, 0), "0");
}

TEST(PolicyDefinition, CapsAreAtLeastOneAndGroupsHaveAName) {
  for (const char* key :
       {"max-unacked", "delivery-rate", "group-max-unacked", "group-delivery-rate"}) {
    EXPECT_TRUE(check_policy_definition(Table().add_int64(key, 1), true).empty());
    EXPECT_EQ(check_policy_definition(Table().add_int64(key, 0), true).size(), 1u);
  }
  EXPECT_EQ(check_policy_definition(Table().add("message-group-header", ""), false).size(), 1u);
  EXPECT_TRUE(check_policy_definition(Table().add("message-group-header", "h"), false).empty());
}

TEST(EffectiveArguments, WhatIsForExchangesIsLeftOut) {
  const Table both =
      effective({}, Table().add("alternate-exchange", "ae").add_bool("delayed", true));
  EXPECT_TRUE(both.empty());
  const Table arguments = Table().add("x-queue-type", "classic");
  EXPECT_EQ(effective_arguments(arguments, nullptr), arguments);
}

TEST(PolicyKeys, C519_HaveTypesAndRanges) {
  const auto good = [](const Table& definition, bool by_operator = false) {
    return check_policy_definition(definition, by_operator).empty();
  };
  EXPECT_TRUE(good(Table().add_int64("message-ttl", 0)));
  EXPECT_FALSE(good(Table().add_int64("message-ttl", -1)));
  EXPECT_FALSE(good(Table().add_int64("message-ttl", 315'360'000'001)));
  EXPECT_FALSE(good(Table().add_int64("expires", 0)));
  EXPECT_TRUE(good(Table().add_int64("delivery-limit", -1)));
  EXPECT_FALSE(good(Table().add_double("max-length", 1.0)));
  EXPECT_TRUE(good(Table().add("max-age", "7D")));
  EXPECT_FALSE(good(Table().add("max-age", "D")));
  EXPECT_FALSE(good(Table().add("max-age", "7d")));
  EXPECT_FALSE(good(Table().add("delayed", "true")));
  EXPECT_TRUE(good(Table().add_bool("delayed", true)));
  EXPECT_FALSE(good(Table().add_int64("alternate-exchange", 5)));
  EXPECT_FALSE(good(Table().add("alternate-exchange", std::string(256, 'x'))));
  EXPECT_TRUE(good(Table().add_int64("max-length", 5), true));
  EXPECT_FALSE(good(Table().add("max-age", "7D"), true));
  EXPECT_FALSE(good(Table().add_int64("max-priority", 5)));  // C-460
  EXPECT_TRUE(good(Table().add_int64("priority-ageing-ms", 0)));
  EXPECT_FALSE(good(Table().add_int64("priority-ageing-ms", 315'360'000'001)));
}

}  // namespace
}  // namespace harrier::broker
