// SPDX-License-Identifier: Apache-2.0
#include "broker/core/arguments.hpp"

#include <functional>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "protocol/error.hpp"

namespace harrier::broker {
namespace {

using protocol::AmqpError;
using protocol::ReplyCode;
using protocol::Table;

// The explanation of the 406 that `action` throws; empty if it passes. Any other error fails the
// test.
std::string refusal(const std::function<void()>& action) {
  try {
    action();
  } catch (const AmqpError& error) {
    EXPECT_EQ(error.code(), ReplyCode::PreconditionFailed);
    EXPECT_EQ(error.method(), protocol::MethodId{});
    return error.explanation();
  }
  return "";
}

std::string queue_refusal(const Table& arguments) {
  return refusal([&] { check_queue_arguments("q", "/", true, false, false, arguments); });
}

QueueSettings accepted(const Table& arguments) {
  return check_queue_arguments("q", "/", true, false, false, arguments);
}

std::string invalid(std::string_view key, std::string_view detail) {
  return "invalid arg '" + std::string(key) +
         "' for queue 'q' in vhost '/': " + std::string(detail);
}

Table typed(const char* type) { return Table().add("x-queue-type", type); }

TEST(QueueArguments, NothingGivenIsAClassicQueueWithoutLimits) {
  EXPECT_EQ(accepted({}), QueueSettings{});
}

TEST(QueueArguments, ReadsEverythingThatAClassicQueueKnows) {
  const Table arguments = Table()
                              .add("x-queue-type", "classic")
                              .add_int32("x-message-ttl", 0)
                              .add_int64("x-expires", kMillisecondsMax)
                              .add_int32("x-max-length", 10)
                              .add_int64("x-max-length-bytes", std::int64_t{1} << 40)
                              .add("x-overflow", "reject-publish-dlx")
                              .add("x-dead-letter-routing-key", "dead")
                              .add("x-dead-letter-exchange", "")
                              .add_int32("x-max-priority", 255)
                              .add_bool("x-single-active-consumer", true)
                              .add_int32("x-delivery-limit", -1)
                              .add("x-queue-mode", "lazy")
                              .add_int32("x-queue-version", 2)
                              .add("x-queue-leader-locator", "balanced")
                              .add("x-queue-master-locator", "min-masters");
  QueueSettings expected;
  expected.message_ttl_ms = 0;
  expected.expires_ms = kMillisecondsMax;
  expected.max_length = 10;
  expected.max_length_bytes = std::int64_t{1} << 40;
  expected.overflow = Overflow::RejectPublishDlx;
  expected.dead_letter_exchange = "";
  expected.dead_letter_routing_key = "dead";
  expected.max_priority = 255;
  expected.single_active_consumer = true;
  expected.delivery_limit = -1;
  expected.lazy = true;
  expected.queue_version = 2;
  expected.leader_locator = LeaderLocator::Balanced;
  EXPECT_EQ(accepted(arguments), expected);
  EXPECT_EQ(read_queue_settings(arguments), expected);
}

TEST(QueueArguments, ReadsWhatOnlyAQuorumQueueKnows) {
  const Table arguments = typed("quorum")
                              .add("x-dead-letter-exchange", "dlx")
                              .add("x-dead-letter-strategy", "at-least-once")
                              .add("x-overflow", "reject-publish")
                              .add_int32("x-delivery-limit", 3)
                              .add_int32("x-quorum-initial-group-size", 1)
                              .add_int32("x-max-in-memory-length", 0)
                              .add_int32("x-max-in-memory-bytes", 5)
                              .add_int32("x-consumer-timeout", 60000)
                              .add_int32("x-consumer-disconnected-timeout", 7)
                              .add("x-delayed-retry-type", "returned")
                              .add_int32("x-delayed-retry-min", 100)
                              .add_int32("x-delayed-retry-max", 200);
  QueueSettings expected;
  expected.type = QueueType::Quorum;
  expected.dead_letter_exchange = "dlx";
  expected.dead_letter_strategy = DeadLetterStrategy::AtLeastOnce;
  expected.overflow = Overflow::RejectPublish;
  expected.delivery_limit = 3;
  expected.replicas_initial = 1;
  expected.max_in_memory_length = 0;
  expected.max_in_memory_bytes = 5;
  expected.consumer_timeout_ms = 60000;
  expected.consumer_disconnected_timeout_ms = 7;
  expected.delayed_retry = DelayedRetry::Returned;
  expected.delayed_retry_min_ms = 100;
  expected.delayed_retry_max_ms = 200;
  EXPECT_EQ(accepted(arguments), expected);
}

TEST(QueueArguments, ReadsWhatOnlyAStreamKnows) {
  const Table arguments = typed("stream")
                              .add("x-max-age", "2h")
                              .add_int64("x-stream-max-segment-size-bytes", kStreamSegmentBytesMax)
                              .add_int32("x-stream-filter-size-bytes", 16)
                              .add_int32("x-initial-cluster-size", 3)
                              .add_int32("x-max-length-bytes", 1000);
  QueueSettings expected;
  expected.type = QueueType::Stream;
  expected.max_age_s = 7200;
  expected.stream_segment_bytes_max = kStreamSegmentBytesMax;
  expected.stream_filter_bytes = 16;
  expected.replicas_initial = 3;
  expected.max_length_bytes = 1000;
  EXPECT_EQ(accepted(arguments), expected);
}

TEST(QueueArguments, QuorumQueuesTakeRejectPublishDlxForDropHead) {
  const QueueSettings settings = accepted(typed("quorum").add("x-overflow", "reject-publish-dlx"));
  EXPECT_EQ(settings.overflow, Overflow::DropHead);
}

TEST(QueueArguments, C229_EveryIntegerTypeIsAnInteger) {
  const std::vector<std::pair<char, std::vector<std::uint8_t>>> encodings{
      {'b', {7}},
      {'B', {7}},
      {'s', {0, 7}},
      {'u', {0, 7}},
      {'I', {0, 0, 0, 7}},
      {'i', {0, 0, 0, 7}},
      {'l', {0, 0, 0, 0, 0, 0, 0, 7}},
      {'L', {0, 0, 0, 0, 0, 0, 0, 7}}};
  for (const auto& [tag, payload] : encodings) {
    const Table arguments = Table().add_value("x-expires", {tag, payload});
    EXPECT_EQ(accepted(arguments).expires_ms, 7) << tag;
  }
}

TEST(QueueArguments, C229_NothingElseIsAnInteger) {
  const std::string expires = "x-expires";
  EXPECT_EQ(queue_refusal(Table().add(expires, "10000")),
            invalid(expires, "\"expected integer, got longstr\""));
  EXPECT_EQ(queue_refusal(Table().add_bool(expires, true)),
            invalid(expires, "\"expected integer, got bool\""));
  EXPECT_EQ(queue_refusal(Table().add_double(expires, 5.0)),
            invalid(expires, "\"expected integer, got double\""));
  EXPECT_EQ(queue_refusal(Table().add_void(expires)),
            invalid(expires, "\"expected integer, got void\""));
  EXPECT_EQ(queue_refusal(Table().add_timestamp(expires, 5)),
            invalid(expires, "\"expected integer, got timestamp\""));
  EXPECT_EQ(queue_refusal(Table().add_table(expires, Table())),
            invalid(expires, "\"expected integer, got table\""));
  EXPECT_EQ(queue_refusal(Table().add_array(expires, {})),
            invalid(expires, "\"expected integer, got array\""));
  for (const char* key : {"x-message-ttl", "x-max-length", "x-max-length-bytes", "x-max-priority",
                          "x-delivery-limit", "x-queue-version"}) {
    EXPECT_EQ(queue_refusal(Table().add(key, "5")),
              invalid(key, "\"expected integer, got longstr\""));
  }
}

TEST(QueueArguments, C236_NumbersOutOfRange) {
  for (const char* key : {"x-message-ttl", "x-expires", "x-max-length", "x-max-length-bytes",
                          "x-max-priority", "x-queue-version"}) {
    EXPECT_EQ(queue_refusal(Table().add_int32(key, -1)), invalid(key, "{value_negative,-1}"));
  }
  EXPECT_EQ(queue_refusal(Table().add_int32("x-expires", 0)),
            invalid("x-expires", "{value_zero,0}"));
  for (const char* key : {"x-message-ttl", "x-expires"}) {
    EXPECT_EQ(queue_refusal(Table().add_int64(key, kMillisecondsMax + 1)),
              invalid(key, "{value_too_large,315360000001}"));
  }
  EXPECT_EQ(queue_refusal(Table().add_int32("x-max-priority", 256)),
            invalid("x-max-priority", "{max_value_exceeded,256}"));  // C-238
  EXPECT_EQ(queue_refusal(Table().add_int32("x-queue-version", 3)),
            invalid("x-queue-version", "\"unsupported queue version '3'\""));
  EXPECT_EQ(queue_refusal(typed("quorum").add_int32("x-quorum-initial-group-size", 0)),
            invalid("x-quorum-initial-group-size", "{value_zero,0}"));
  EXPECT_EQ(queue_refusal(typed("stream").add_int32("x-stream-filter-size-bytes", 15)),
            invalid("x-stream-filter-size-bytes", "{value_too_small,15}"));
  EXPECT_EQ(
      queue_refusal(typed("stream").add_int64("x-stream-max-segment-size-bytes", 3'000'000'001)),
      invalid("x-stream-max-segment-size-bytes", "{max_value_exceeded,3000000001}"));
}

TEST(QueueArguments, C241_WordsThatAreNotKnown) {
  EXPECT_EQ(queue_refusal(Table().add("x-overflow", "foo")),
            invalid("x-overflow", "invalid_overflow"));
  EXPECT_EQ(queue_refusal(Table().add("x-queue-mode", "foo")),
            invalid("x-queue-mode", "\"unsupported queue mode 'foo'\""));
  EXPECT_EQ(queue_refusal(typed("quorum").add("x-dead-letter-strategy", "foo")),
            invalid("x-dead-letter-strategy", "invalid_dlx_strategy"));
  for (const char* key : {"x-queue-leader-locator", "x-queue-master-locator"}) {
    EXPECT_EQ(queue_refusal(Table().add(key, "foo")), invalid(key, "invalid_queue_locator_arg"));
    EXPECT_EQ(queue_refusal(Table().add_int32(key, 1)),
              invalid(key, "{unacceptable_type,signedint}"));
  }
  for (const char* age : {"", "5", "h", "5x", "5 h", "-5h", "+5h", "h5", "99999999999999999999s"}) {
    EXPECT_EQ(queue_refusal(typed("stream").add("x-max-age", age)),
              invalid("x-max-age", "invalid_max_age"))
        << age;
  }
}

TEST(QueueArguments, AgesInEveryUnit) {
  const std::vector<std::pair<const char*, std::int64_t>> ages{
      {"0s", 0},     {"3s", 3},       {"3m", 180},     {"2h", 7200},
      {"1D", 86400}, {"1M", 2592000}, {"1Y", 31536000}};
  for (const auto& [text, seconds] : ages) {
    EXPECT_EQ(accepted(typed("stream").add("x-max-age", text)).max_age_s, seconds) << text;
  }
}

TEST(QueueArguments, WhatDecidesAboutDeliveriesIsKnownToClassicAndQuorumQueues) {
  const auto with_all = [](Table table) {
    return table.add_int32("x-consumer-timeout", 60'000)
        .add("x-message-group-header", "customer")
        .add_int32("x-group-max-unacked", 1)
        .add_int32("x-group-delivery-rate", 2)
        .add_bool("x-fair-share", true)
        .add_int32("x-max-unacked", 5)
        .add_int64("x-delivery-rate", 100);
  };
  QueueSettings expected;
  expected.consumer_timeout_ms = 60'000;
  expected.message_group_header = "customer";
  expected.group_max_unacked = 1;
  expected.group_delivery_rate = 2;
  expected.fair_share = true;
  expected.max_unacked = 5;
  expected.delivery_rate = 100;
  EXPECT_EQ(accepted(with_all(Table())), expected);
  expected.type = QueueType::Quorum;
  EXPECT_EQ(accepted(with_all(typed("quorum"))), expected);
  for (const char* key :
       {"x-group-max-unacked", "x-group-delivery-rate", "x-max-unacked", "x-delivery-rate"})
    EXPECT_EQ(queue_refusal(Table().add_int32(key, 0)), invalid(key, "{value_zero,0}"));
  EXPECT_EQ(queue_refusal(Table().add_int32("x-consumer-timeout", -1)),
            invalid("x-consumer-timeout", "{value_negative,-1}"));
  EXPECT_EQ(queue_refusal(Table().add("x-message-group-header", "")),
            invalid("x-message-group-header", "invalid_length"));
  EXPECT_EQ(queue_refusal(Table().add("x-message-group-header", std::string(256, 'h'))),
            invalid("x-message-group-header", "invalid_length"));
}

TEST(QueueArguments, TextsAndFlagsOfTheWrongType) {
  for (const char* key : {"x-overflow", "x-queue-mode", "x-queue-type", "x-dead-letter-routing-key",
                          "x-single-active-consumer"}) {
    EXPECT_EQ(queue_refusal(Table().add_int32(key, 5)),
              invalid(key, "{unacceptable_type,signedint}"));
  }
  EXPECT_EQ(queue_refusal(Table().add("x-single-active-consumer", "true")),
            invalid("x-single-active-consumer", "{unacceptable_type,longstr}"));
}

TEST(QueueArguments, C239_DeadLetterExchangeHasItsOwnText) {
  EXPECT_EQ(queue_refusal(Table().add_int32("x-dead-letter-exchange", 5)),
            "invalid type 'signedint' for arg 'x-dead-letter-exchange' in queue 'q' in vhost '/'");
  EXPECT_EQ(queue_refusal(Table().add("x-dead-letter-routing-key", "k")),
            invalid("x-dead-letter-routing-key", "routing_key_but_no_dlx_defined"));
}

TEST(QueueArguments, C240_UnknownQueueType) {
  EXPECT_EQ(queue_refusal(typed("foo")),
            invalid("x-queue-type", "\"unsupported queue type 'foo'\""));
}

TEST(QueueArguments, C231_UnknownArgumentsAreAccepted) {
  EXPECT_EQ(accepted(Table().add("x-whatever", "a").add_void("other")), QueueSettings{});
}

TEST(QueueArguments, C232_ArgumentsOfAnotherQueueType) {
  const auto unsupported = [](std::string key, std::string module) {
    return "invalid arg '" + key + "' for queue 'q' in vhost '/' of queue type " + module;
  };
  EXPECT_EQ(queue_refusal(Table().add("x-max-age", "1h")),
            unsupported("x-max-age", "rabbit_classic_queue"));
  EXPECT_EQ(queue_refusal(typed("quorum").add_int32("x-max-priority", 5)),
            unsupported("x-max-priority", "rabbit_quorum_queue"));
  for (const char* key : {"x-message-ttl", "x-expires", "x-max-length", "x-max-priority",
                          "x-overflow", "x-dead-letter-exchange", "x-single-active-consumer"}) {
    EXPECT_EQ(queue_refusal(typed("stream").add_int32(key, 5)),
              unsupported(key, "rabbit_stream_queue"));
  }
}

TEST(QueueArguments, OfSeveralFaultsTheFirstInTheOrderOfRulesIsReported) {
  const std::string zero = invalid("x-expires", "{value_zero,0}");
  EXPECT_EQ(queue_refusal(Table().add_int32("x-message-ttl", -1).add_int32("x-expires", 0)), zero);
  EXPECT_EQ(queue_refusal(Table().add("x-max-age", "1h").add_int32("x-expires", 0)), zero);
}

TEST(QueueArguments, C243_PropertiesThatQuorumQueuesAndStreamsCannotHave) {
  const auto declared = [](bool durable, bool exclusive, bool auto_delete, const Table& arguments) {
    return refusal(
        [&] { check_queue_arguments("q", "v", durable, exclusive, auto_delete, arguments); });
  };
  for (const char* type : {"quorum", "stream"}) {
    EXPECT_EQ(declared(true, true, false, typed(type)),
              "invalid property 'exclusive-owner' for queue 'q' in vhost 'v'");
    EXPECT_EQ(declared(true, false, true, typed(type)),
              "invalid property 'auto-delete' for queue 'q' in vhost 'v'");
    EXPECT_EQ(declared(false, false, false, typed(type)),
              "invalid property 'non-durable' for queue 'q' in vhost 'v'");
    EXPECT_EQ(declared(true, false, false, typed(type)), "");
  }
  EXPECT_EQ(declared(false, true, true, typed("classic")), "");
}

TEST(QueueArguments, C235_StoredArgumentsShowTheType) {
  EXPECT_EQ(stored_queue_arguments(Table()), typed("classic"));
  const Table quorum = Table().add_int32("x-a", 1).add("x-queue-type", "quorum");
  EXPECT_EQ(stored_queue_arguments(quorum), quorum);
  EXPECT_EQ(stored_queue_arguments(Table().add_int32("x-a", 1)),
            Table().add_int32("x-a", 1).add("x-queue-type", "classic"));
}

class QueueEquivalence : public testing::Test {
 protected:
  std::string redeclared(const Table& arguments) {
    return refusal([&] {
      check_queue_equivalence(existing_, "/", existing_.durable, existing_.auto_delete, arguments);
    });
  }
  void holds(const Table& arguments) { existing_.arguments = stored_queue_arguments(arguments); }

  static std::string inequivalent(std::string_view key, std::string_view rest) {
    return "inequivalent arg '" + std::string(key) + "' for queue 'q' in vhost '/': received " +
           std::string(rest);
  }

  routing::QueueEntry existing_{.name = "q", .durable = true, .arguments = typed("classic")};
};

TEST_F(QueueEquivalence, C221_Flags) {
  const auto with = [&](bool durable, bool auto_delete) {
    return refusal([&] { check_queue_equivalence(existing_, "/", durable, auto_delete, {}); });
  };
  EXPECT_EQ(with(true, false), "");
  EXPECT_EQ(with(false, false), inequivalent("durable", "'false' but current is 'true'"));
  EXPECT_EQ(with(true, true), inequivalent("auto_delete", "'true' but current is 'false'"));
  // C-217: durable is compared before auto_delete, and flags before arguments.
  EXPECT_EQ(with(false, true), inequivalent("durable", "'false' but current is 'true'"));
}

TEST_F(QueueEquivalence, C234_TheThreeTexts) {
  holds(Table().add_int32("x-message-ttl", 5));
  EXPECT_EQ(redeclared(Table().add_int32("x-message-ttl", 6)),
            inequivalent("x-message-ttl", "'6' but current is '5'"));
  EXPECT_EQ(redeclared({}),
            inequivalent("x-message-ttl", "none but current is the value '5' of type 'signedint'"));
  EXPECT_EQ(redeclared(Table().add_int32("x-message-ttl", 5).add("x-dead-letter-exchange", "d")),
            inequivalent("x-dead-letter-exchange",
                         "the value 'd' of type 'longstr' but current is none"));
  EXPECT_EQ(redeclared(Table().add("x-message-ttl", "a")),
            inequivalent("x-message-ttl", "'a' but current is '5'"));
}

TEST_F(QueueEquivalence, ValuesOfOtherTypesAreShownWithTheirType) {
  EXPECT_EQ(redeclared(Table().add_bool("x-single-active-consumer", false)),
            inequivalent("x-single-active-consumer",
                         "the value 'false' of type 'bool' but current is none"));
  EXPECT_EQ(
      redeclared(Table().add_void("x-message-ttl")),
      inequivalent("x-message-ttl", "the value 'undefined' of type 'void' but current is none"));
  EXPECT_EQ(redeclared(Table().add_timestamp("x-message-ttl", 1577836800)),
            inequivalent("x-message-ttl",
                         "the value '1577836800' of type 'timestamp' but current is none"));
  EXPECT_EQ(redeclared(Table().add_int64("x-message-ttl", 5)),
            inequivalent("x-message-ttl", "the value '5' of type 'long' but current is none"));
}

TEST_F(QueueEquivalence, C233_IntegersCompareByValueButNotWithDoubles) {
  holds(Table().add_int32("x-max-length", 5));
  EXPECT_EQ(redeclared(Table().add_int64("x-max-length", 5)), "");
  EXPECT_NE(redeclared(Table().add_double("x-max-length", 5.0)), "");
}

TEST_F(QueueEquivalence, C233_OnlyArgumentsThatTheTypeKnowsAreCompared) {
  holds(Table().add("x-own", "a"));
  EXPECT_EQ(redeclared(Table().add("x-own", "b").add("x-max-age", "1h")), "");
  existing_.arguments = typed("quorum");
  EXPECT_EQ(redeclared(typed("quorum").add_int32("x-max-priority", 5)), "");
  EXPECT_NE(redeclared(typed("quorum").add_int32("x-delivery-limit", 5)), "");
}

TEST_F(QueueEquivalence, C235_AMissingTypeIsClassic) {
  EXPECT_EQ(redeclared({}), "");
  EXPECT_EQ(redeclared(typed("classic")), "");
  EXPECT_EQ(redeclared(typed("quorum")),
            inequivalent("x-queue-type", "'quorum' but current is 'classic'"));
  EXPECT_EQ(redeclared(typed("foo")),
            inequivalent("x-queue-type", "'foo' but current is 'classic'"));
  existing_.arguments = typed("stream");
  EXPECT_EQ(
      redeclared({}),
      inequivalent("x-queue-type", "none but current is the value 'stream' of type 'longstr'"));
  existing_.arguments = Table();
  EXPECT_EQ(redeclared(typed("classic")), "");
}

TEST(ExchangeArguments, C166_AlternateExchange) {
  EXPECT_EQ(check_exchange_arguments("x", "/", Table()), std::nullopt);
  EXPECT_EQ(check_exchange_arguments("x", "/", Table().add("other", "a")), std::nullopt);
  EXPECT_EQ(check_exchange_arguments("x", "/", Table().add("alternate-exchange", "")), "");
  EXPECT_EQ(check_exchange_arguments("x", "/", Table().add("alternate-exchange", "ae")), "ae");
  EXPECT_EQ(refusal([] {
              check_exchange_arguments("x", "/", Table().add_int32("alternate-exchange", 5));
            }),
            "invalid type 'signedint' for arg 'alternate-exchange' in exchange 'x' in vhost '/'");
}

TEST(ExchangeEquivalence, C159_C160_C161) {
  routing::Exchange existing;
  existing.name = "x";
  const auto inequivalent = [](std::string_view what, std::string_view rest) {
    return "inequivalent arg '" + std::string(what) + "' for exchange 'x' in vhost '/': received " +
           std::string(rest);
  };
  const auto declared = [&](const char* type, bool durable, bool auto_delete, bool internal,
                            const Table& arguments) {
    return refusal([&] {
      check_exchange_equivalence(existing, "/", type, durable, auto_delete, internal, arguments);
    });
  };
  const Table alternate_a = Table().add("alternate-exchange", "a");
  EXPECT_EQ(declared("direct", false, false, false, Table().add("own", "a")), "");
  EXPECT_EQ(declared("fanout", true, true, true, {}),
            inequivalent("type", "'fanout' but current is 'direct'"));
  EXPECT_EQ(declared("direct", true, true, true, {}),
            inequivalent("durable", "'true' but current is 'false'"));
  EXPECT_EQ(declared("direct", false, true, true, {}),
            inequivalent("auto_delete", "'true' but current is 'false'"));
  EXPECT_EQ(declared("direct", false, false, true, alternate_a),
            inequivalent("internal", "'true' but current is 'false'"));
  EXPECT_EQ(
      declared("direct", false, false, false, alternate_a),
      inequivalent("alternate-exchange", "the value 'a' of type 'longstr' but current is none"));
  existing.arguments = alternate_a;
  EXPECT_EQ(declared("direct", false, false, false, alternate_a), "");
  EXPECT_EQ(
      declared("direct", false, false, false, {}),
      inequivalent("alternate-exchange", "none but current is the value 'a' of type 'longstr'"));
  EXPECT_EQ(declared("direct", false, false, false, Table().add("alternate-exchange", "b")),
            inequivalent("alternate-exchange", "'b' but current is 'a'"));
}

std::string consumer_refusal(QueueType type, const Table& arguments) {
  return refusal([&] { check_consumer_arguments("q", "/", type, arguments); });
}

TEST(ConsumerArguments, C288_Priority) {
  const auto priority = [](const Table& arguments) {
    return check_consumer_arguments("q", "/", QueueType::Classic, arguments).priority;
  };
  EXPECT_EQ(priority({}), 0);
  EXPECT_EQ(priority(Table().add_int32("x-priority", -5)), -5);
  EXPECT_EQ(priority(Table().add_int64("x-priority", std::int64_t{1} << 40)),
            std::int64_t{1} << 40);
  EXPECT_EQ(consumer_refusal(QueueType::Classic, Table().add("x-priority", "5")),
            invalid("x-priority", "\"expected integer, got longstr\""));
  EXPECT_EQ(consumer_refusal(QueueType::Quorum, Table().add_double("x-priority", 5)),
            invalid("x-priority", "\"expected integer, got double\""));
  EXPECT_EQ(
      consumer_refusal(QueueType::Stream, Table().add_int32("x-priority", 5)),
      "invalid arg 'x-priority' for queue 'q' in vhost '/' of queue type rabbit_stream_queue");
}

TEST(ConsumerArguments, C368_Timeout) {
  const auto timeout = [](const Table& arguments) {
    return check_consumer_arguments("q", "/", QueueType::Quorum, arguments).timeout_ms;
  };
  EXPECT_EQ(timeout({}), 0);
  EXPECT_EQ(timeout(Table().add_int32("x-consumer-timeout", 5)), 5);
  EXPECT_EQ(consumer_refusal(QueueType::Classic, Table().add_int32("x-consumer-timeout", -1)),
            invalid("x-consumer-timeout", "{value_negative,-1}"));
}

TEST(ConsumerArguments, C289_UnknownAcceptedOthersRefused) {
  EXPECT_EQ(consumer_refusal(QueueType::Classic, Table().add("x-foo", "a").add_void("b")), "");
  EXPECT_EQ(consumer_refusal(QueueType::Classic, Table().add("x-stream-offset", "first")),
            "invalid arg 'x-stream-offset' for queue 'q' in vhost '/' of queue type "
            "rabbit_classic_queue");
  EXPECT_EQ(consumer_refusal(QueueType::Quorum, Table().add_int32("x-stream-offset", 5)),
            "invalid arg 'x-stream-offset' for queue 'q' in vhost '/' of queue type "
            "rabbit_quorum_queue");
  EXPECT_EQ(consumer_refusal(QueueType::Classic, Table().add_int32("x-stream-filter", 5)), "");
}

TEST(ConsumerArguments, C290_CancelOnFailoverIsIgnored) {
  const std::string key = "x-cancel-on-ha-failover";
  EXPECT_EQ(consumer_refusal(QueueType::Classic, Table().add_bool(key, true)), "");
  EXPECT_EQ(consumer_refusal(QueueType::Classic, Table().add(key, "a")),
            invalid(key, "{unacceptable_type,longstr}"));
}

TEST(ConsumerArguments, C480_StreamOffsets) {
  const auto offset = [](const Table& arguments) {
    return check_consumer_arguments("q", "/", QueueType::Stream, arguments).stream_offset;
  };
  const std::string key = "x-stream-offset";
  EXPECT_EQ(offset({}), std::nullopt);
  EXPECT_EQ(offset(Table().add(key, "first")), StreamOffset(StreamStart::First));
  EXPECT_EQ(offset(Table().add(key, "last")), StreamOffset(StreamStart::Last));
  EXPECT_EQ(offset(Table().add_int32(key, 17)), StreamOffset(StreamPosition{17}));
  EXPECT_EQ(offset(Table().add_timestamp(key, 17)), StreamOffset(StreamTimestamp{17}));
  EXPECT_EQ(offset(Table().add(key, "5m")), StreamOffset(StreamInterval{300}));
  EXPECT_EQ(consumer_refusal(QueueType::Stream, Table().add(key, "5x")),
            invalid(key, "{invalid_stream_offset_arg,{longstr,<<\"5x\">>}}"));
  EXPECT_EQ(consumer_refusal(QueueType::Stream, Table().add_bool(key, true)),
            invalid(key, "{unacceptable_type,bool}"));
}

TEST(ConsumerArguments, C484_StreamFilters) {
  const protocol::FieldValue north{'S', protocol::as_bytes("north")};
  const protocol::FieldValue south{'S', protocol::as_bytes("south")};
  const ConsumerSettings settings =
      check_consumer_arguments("q", "/", QueueType::Stream,
                               Table()
                                   .add_array("x-stream-filter", {north, south})
                                   .add_bool("x-stream-match-unfiltered", true));
  EXPECT_EQ(settings.stream_filters, (std::vector<std::string>{"north", "south"}));
  EXPECT_TRUE(settings.stream_match_unfiltered);
  const Table one = Table().add("x-stream-filter", "north");
  EXPECT_EQ(check_consumer_arguments("q", "/", QueueType::Stream, one).stream_filters,
            std::vector<std::string>{"north"});
  EXPECT_EQ(consumer_refusal(QueueType::Stream, Table().add_int32("x-stream-filter", 5)),
            invalid("x-stream-filter", "{unacceptable_type,signedint}"));
}

}  // namespace
}  // namespace harrier::broker
