// SPDX-License-Identifier: Apache-2.0
#include "broker/bench/message_properties.hpp"

#include <set>

#include <gtest/gtest.h>

#include "protocol/properties.hpp"

namespace harrier::bench {
namespace {

using protocol::Properties;
using protocol::PropertiesView;

Properties decoded(protocol::ByteView bytes) {
  const auto view = PropertiesView::parse(bytes);
  EXPECT_TRUE(view.has_value());
  return Properties::from(view.value_or(PropertiesView()));
}

TEST(MessageProperties, HaveTheDeliveryModeAlone) {
  Workload workload;
  MessageProperties properties(workload);
  Properties expected;
  expected.delivery_mode = 1;
  EXPECT_EQ(decoded(properties.of({}, 0)), expected);
  workload.persistent = true;
  expected.delivery_mode = 2;
  EXPECT_EQ(decoded(MessageProperties(workload).of({}, 0)), expected);
}

TEST(MessageProperties, AreAllThatWasAskedFor) {
  Workload workload;
  workload.message.expiration = "60000";
  workload.message.headers.add_int64("x-delay", 5);
  const Properties found = decoded(MessageProperties(workload).of({}, 0));
  EXPECT_EQ(found.expiration, "60000");
  EXPECT_EQ(found.headers, workload.message.headers);
  EXPECT_FALSE(found.priority.has_value());
  EXPECT_FALSE(found.message_id.has_value());
}

TEST(MessageProperties, EachMessageHasItsOwnId) {
  Workload workload;
  workload.message.message_id = true;
  workload.message.priorities = 3;
  MessageProperties properties(workload);
  std::set<std::string> seen;
  for (std::uint32_t stream = 0; stream < 3; ++stream) {
    for (std::uint64_t sequence = 0; sequence < 100; ++sequence) {
      const BodyHeader header{stream, sequence, 0};
      const Properties found = decoded(properties.of(header, 0));
      ASSERT_TRUE(found.message_id.has_value());
      EXPECT_TRUE(seen.insert(*found.message_id).second) << *found.message_id;
      EXPECT_EQ(found.priority, class_of(header, 3));
    }
  }
  EXPECT_EQ(decoded(properties.of({0xABCDEF, kSequenceMask, 0}, 0)).message_id, "abcdefffffffffff");
}

TEST(MessageProperties, AllGroupsAndPrioritiesOccur) {
  Workload workload;
  workload.message.group_header = "customer";
  workload.message.groups = 5;
  MessageProperties properties(workload);
  std::set<std::string> groups;
  for (std::uint64_t sequence = 0; sequence < 200; ++sequence) {
    const Properties found = decoded(properties.of({0, sequence, 0}, 0));
    groups.insert(std::string(
        found.headers.value_or(protocol::Table()).view().find("customer")->as_text().value()));
  }
  EXPECT_EQ(groups, (std::set<std::string>{"g0", "g1", "g2", "g3", "g4"}));
}

TEST(MessageProperties, OfAHeadersExchangeNameTheBinding) {
  Workload workload;
  workload.exchange_type = "headers";
  workload.message.headers.add("kind", "test");
  MessageProperties properties(workload);
  for (const std::int32_t binding : {0, 7, 3}) {
    const Properties found = decoded(properties.of({}, static_cast<std::uint32_t>(binding)));
    protocol::Table expected;
    expected.add("kind", "test").add_int32("binding", binding);
    EXPECT_EQ(found.headers, expected);
  }
}

TEST(MessageProperties, PendingOnesAreDelayedForAnHour) {
  Workload workload;
  workload.exchange_type = "x-delayed-message";
  workload.pending = 1;
  workload.message.headers.add_int64("x-delay", 1);
  const Properties found = decoded(MessageProperties(workload).pending());
  EXPECT_EQ(to_text(found.headers.value_or(protocol::Table()).view()), R"({"x-delay": 3600000})");
}

TEST(Classes, AreSpreadEvenly) {
  std::vector<int> counts(10);
  for (std::uint64_t sequence = 0; sequence < 10'000; ++sequence) {
    ++counts.at(class_of({5, sequence, 0}, 10));
  }
  for (const int count : counts) {
    EXPECT_GT(count, 850);
    EXPECT_LT(count, 1150);
  }
  EXPECT_EQ(class_of({5, 17, 0}, 1), 0u);
}

}  // namespace
}  // namespace harrier::bench
