// SPDX-License-Identifier: Apache-2.0
//
// x-consistent-hash: what may be bound and declared, how keys spread over weights, and how few of
// them move. Keys and hashes are the same in every run, so the counts below never vary.
#include "routing/consistent_hash.hpp"

#include <cmath>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "protocol/error.hpp"
#include "protocol/properties.hpp"
#include "tests/unit/routing/fixture.hpp"

namespace harrier::routing_tests {
namespace {

using protocol::Properties;
using protocol::PropertiesView;
using protocol::Table;
using routing::ExchangeType;

using Weights = std::vector<std::pair<std::string, std::string>>;  // queues and binding keys

constexpr int kKeys = 20'000;

std::string refusal(const std::function<void()>& action) {
  try {
    action();
  } catch (const protocol::AmqpError& error) {
    EXPECT_EQ(error.code(), protocol::ReplyCode::PreconditionFailed);
    return error.explanation();
  }
  return "";
}

std::string key_of(int number) { return "order." + std::to_string(number); }

// An exchange "x" with queues bound to it by their weights.
struct HashBroker : Broker {
  explicit HashBroker(const Weights& weights, Table arguments = {}) {
    exchange("x", ExchangeType::ConsistentHash, {.arguments = std::move(arguments)});
    for (const auto& [name, weight] : weights) {
      queue(name);
      bind("x", name, weight);
    }
  }

  // Where each of many keys goes; always exactly one queue.
  std::vector<std::string> placed() {
    std::vector<std::string> queues;
    for (int i = 0; i < kKeys; ++i) {
      const Names names = route("x", key_of(i));
      EXPECT_EQ(names.size(), 1U);
      queues.push_back(names.empty() ? "" : names.front());
    }
    return queues;
  }
};

std::map<std::string, int> counted(const std::vector<std::string>& placed) {
  std::map<std::string, int> counts;
  for (const std::string& queue : placed) ++counts[queue];
  return counts;
}

// Within four standard deviations of the share.
void expect_share(int count, double share) {
  const double expected = kKeys * share;
  EXPECT_NEAR(count, expected, 4 * std::sqrt(expected * (1 - share)));
}

TEST(ConsistentHash, BindingKeysAreWeights) {  // C-499
  const auto error = [](std::string key) {
    return refusal([&] { HashBroker broker(Weights{{"q", key}}); });
  };
  for (const char* key : {"1", "10000", "007", "+5"}) EXPECT_EQ(error(key), "") << key;
  EXPECT_EQ(error(""), "The binding key must be an integer: <<>>");
  EXPECT_EQ(error("a"), "The binding key must be an integer: <<\"a\">>");
  EXPECT_EQ(error("1.5"), "The binding key must be an integer: <<\"1.5\">>");
  EXPECT_EQ(error("-"), "The binding key must be an integer: <<\"-\">>");
  EXPECT_EQ(error(" 1"), "The binding key must be an integer: <<\" 1\">>");
  EXPECT_EQ(error("1\xff\n"), "The binding key must be an integer: <<49,255,10>>");
  for (const char* key : {"0", "-0", "-1", "000", "-99999999999999999999999"}) {
    EXPECT_EQ(error(key), "The binding key must be greater than 0") << key;
  }
  for (const char* key : {"10001", "4294967297", "99999999999999999999999"}) {
    EXPECT_EQ(error(key), "The binding key must not exceed 10000") << key;
  }
}

TEST(ConsistentHash, ARefusedBindingChangesNothing) {
  HashBroker broker(Weights{{"q", "1"}});
  const std::uint64_t version = broker.registry.version();
  EXPECT_NE(refusal([&] { broker.bind("x", "q", "none"); }), "");
  EXPECT_EQ(broker.registry.version(), version);
  EXPECT_EQ(broker.registry.binding_count(), 1U);
}

TEST(ConsistentHash, ArgumentsAreChecked) {  // C-502
  const auto error = [](const Table& arguments) {
    const std::string checked =
        refusal([&] { routing::check_type_arguments(ExchangeType::ConsistentHash, arguments); });
    EXPECT_EQ(refusal([&] { HashBroker broker(Weights{}, arguments); }), checked);
    return checked;
  };
  EXPECT_EQ(error(Table()), "");
  EXPECT_EQ(error(Table().add("hash-header", "h")), "");
  for (const char* property : {"correlation_id", "message_id", "timestamp"}) {
    EXPECT_EQ(error(Table().add("hash-property", property)), "");
  }
  EXPECT_EQ(error(Table().add("hash-property", "app_id")), "Unsupported property: app_id");
  EXPECT_EQ(error(Table().add("hash-property", "message_id").add("hash-header", "h")),
            "hash-header and hash-property are mutually exclusive");
  EXPECT_EQ(error(Table().add_int32("hash-header", 1)),
            "invalid type 'signedint' for arg 'hash-header': expected longstr");
  // Other types do not know them.
  routing::check_type_arguments(ExchangeType::ModulusHash, Table().add("hash-property", "app_id"));
}

TEST(ConsistentHash, EqualWeightsGetEqualShares) {  // C-501
  HashBroker broker({{"a", "1"}, {"b", "1"}, {"c", "1"}, {"d", "1"}, {"e", "1"}});
  const auto counts = counted(broker.placed());
  ASSERT_EQ(counts.size(), 5U);
  for (const auto& [name, count] : counts) expect_share(count, 0.2);
}

TEST(ConsistentHash, SharesFollowTheWeights) {
  HashBroker broker({{"a", "1"}, {"b", "2"}, {"c", "7"}, {"d", "90"}});
  auto counts = counted(broker.placed());
  expect_share(counts["a"], 0.01);
  expect_share(counts["b"], 0.02);
  expect_share(counts["c"], 0.07);
  expect_share(counts["d"], 0.90);
}

TEST(ConsistentHash, ANewQueueTakesItsShareAndNothingElseMoves) {
  HashBroker broker({{"a", "3"}, {"b", "1"}, {"c", "2"}, {"d", "2"}});
  const auto before = broker.placed();
  broker.queue("new");
  broker.bind("x", "new", "2");
  const auto after = broker.placed();
  int moved = 0;
  for (std::size_t i = 0; i < before.size(); ++i) {
    if (before[i] == after[i]) continue;
    EXPECT_EQ(after[i], "new");
    ++moved;
  }
  expect_share(moved, 0.2);
  broker.unbind("x", "new", "2");
  EXPECT_EQ(broker.placed(), before);  // and back
}

TEST(ConsistentHash, OnlyTheKeysOfAQueueThatGoesMove) {
  HashBroker broker({{"a", "1"}, {"b", "1"}, {"c", "1"}, {"d", "1"}});
  const auto before = broker.placed();
  broker.registry.remove_queue("a");  // the first of all: every later one keeps its keys
  const auto after = broker.placed();
  std::vector<std::string> moved_to;
  for (std::size_t i = 0; i < before.size(); ++i) {
    if (before[i] == "a") {
      moved_to.push_back(after[i]);
    } else {
      EXPECT_EQ(after[i], before[i]);
    }
  }
  const auto counts = counted(moved_to);
  EXPECT_EQ(counts.size(), 3U);  // all the others share them
  for (const auto& [name, count] : counts) EXPECT_GT(count * 4, static_cast<int>(moved_to.size()));
}

TEST(ConsistentHash, TheOrderOfBindingDoesNotMatter) {  // so a restart moves nothing
  HashBroker one({{"a", "1"}, {"b", "2"}, {"c", "3"}});
  HashBroker other({{"gone", "9"}, {"c", "3"}, {"b", "2"}, {"a", "1"}});
  other.unbind("x", "gone", "9");
  EXPECT_EQ(one.placed(), other.placed());
}

// Another choice after an upgrade would break the order of messages that share a key.
TEST(ConsistentHash, TheChoiceIsPinned) {
  HashBroker broker({{"a", "1"}, {"b", "1"}, {"c", "2"}, {"d", "10"}});
  std::string choices;
  for (int i = 0; i < 32; ++i) choices += broker.route("x", key_of(i)).front();
  EXPECT_EQ(choices, "ddbddadcdddddddcddddbcddddddbccd");
}

TEST(ConsistentHash, ASecondBindingOfADestinationAddsNothing) {  // C-500
  HashBroker broker({{"a", "2"}, {"b", "2"}});
  const auto before = broker.placed();
  EXPECT_TRUE(broker.bind("x", "a", "2", Table().add("second", "1")));
  EXPECT_TRUE(broker.bind("x", "a", "1"));
  EXPECT_EQ(broker.placed(), before);
  broker.unbind("x", "a", "2");
  EXPECT_EQ(broker.placed(), before);  // one of weight 2 is still there
  broker.unbind("x", "a", "2", Table().add("second", "1"));
  expect_share(counted(broker.placed())["a"], 1.0 / 3);
  broker.unbind("x", "a", "1");
  EXPECT_EQ(counted(broker.placed())["b"], kKeys);
}

TEST(ConsistentHash, ExtraKeysAreAPartOfTheValue) {
  HashBroker broker({{"a", "1"}, {"b", "1"}, {"c", "1"}, {"d", "1"}});
  int moved = 0;
  for (int i = 0; i < 100; ++i) {
    const Names with_extra = broker.route("x", key_of(i), {"cc"});
    ASSERT_EQ(with_extra.size(), 1U);  // not one per key
    if (with_extra != broker.route("x", key_of(i))) ++moved;
  }
  EXPECT_GT(moved, 50);
}

TEST(ConsistentHash, HashesAHeader) {
  HashBroker broker({{"a", "1"}, {"b", "1"}, {"c", "1"}, {"d", "1"}},
                    Table().add("hash-header", "customer"));
  std::map<std::string, int> counts;
  for (int i = 0; i < 400; ++i) {
    const Table headers = Table().add("other", key_of(i)).add("customer", std::to_string(i % 40));
    const Names names = broker.route("x", key_of(i), {}, headers);
    EXPECT_EQ(names, broker.route("x", "same", {"cc"}, headers));
    ++counts[names.front()];
  }
  EXPECT_EQ(counts.size(), 4U);
  // Without the header all are one value; integers are equal across widths.
  const Names none = broker.route("x", "1", {}, Table().add("other", "1"));
  EXPECT_EQ(none.size(), 1U);
  for (int i = 0; i < 50; ++i) EXPECT_EQ(broker.route("x", key_of(i)), none);
  for (std::int32_t i = 0; i < 50; ++i) {
    EXPECT_EQ(broker.route("x", "", {}, Table().add_int32("customer", i)),
              broker.route("x", "", {}, Table().add_int64("customer", i)));
  }
}

TEST(ConsistentHash, HashesAProperty) {
  const auto set = [](std::string_view name, int i) {
    Properties properties;
    if (name == "correlation_id") properties.correlation_id = key_of(i);
    if (name == "message_id") properties.message_id = key_of(i);
    if (name == "timestamp") properties.timestamp = static_cast<std::uint64_t>(i);
    return properties.encode();
  };
  for (const char* property : {"correlation_id", "message_id", "timestamp"}) {
    HashBroker broker({{"a", "1"}, {"b", "1"}, {"c", "1"}}, Table().add("hash-property", property));
    std::map<std::string, int> counts;
    for (int i = 0; i < 300; ++i) {
      const auto bytes = set(property, i);
      const PropertiesView view = PropertiesView::trusted(bytes);
      const Names names = broker.route("x", "key", {}, {}, view);
      ASSERT_EQ(names.size(), 1U);
      EXPECT_EQ(names, broker.route("x", key_of(i), {}, {}, view)) << property;
      ++counts[names.front()];
    }
    EXPECT_EQ(counts.size(), 3U) << property;
    const Names none = broker.route("x", "1");
    for (int i = 0; i < 50; ++i) EXPECT_EQ(broker.route("x", key_of(i)), none) << property;
  }
}

TEST(ConsistentHash, LeadsToExchangesToo) {  // C-504
  HashBroker broker(Weights{{"a", "1"}});
  broker.queue("behind");
  broker.exchange("y", ExchangeType::Fanout);
  broker.bind("y", "behind", "");
  broker.bind_exchange("x", "y", "1");
  auto counts = counted(broker.placed());
  expect_share(counts["a"], 0.5);
  expect_share(counts["behind"], 0.5);
  broker.registry.remove_exchange("y");
  EXPECT_EQ(counted(broker.placed())["a"], kKeys);
}

TEST(ConsistentHash, NothingBoundIsUnroutable) {
  HashBroker broker(Weights{});
  EXPECT_EQ(broker.route("x", "key"), Names{});
  broker.queue("q");
  broker.bind("x", "q", "5");
  EXPECT_EQ(broker.route("x", "key"), Names{"q"});
  broker.unbind("x", "q", "5");
  EXPECT_EQ(broker.route("x", "key"), Names{});
}

}  // namespace
}  // namespace harrier::routing_tests
