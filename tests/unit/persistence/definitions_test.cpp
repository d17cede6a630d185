// SPDX-License-Identifier: Apache-2.0
#include "persistence/definitions.hpp"

#include <random>
#include <string>

#include <gtest/gtest.h>

namespace harrier::persistence_tests {
namespace {

using namespace harrier::persistence;
using protocol::ByteView;
using protocol::Table;

ExchangeDefinition some_exchange() {
  return {"topic", false, true, Table().add("alternate-exchange", "ae")};
}
QueueDefinition some_queue() {
  return {QueueId{0x0102030405060708}, true, false, Table().add_int64("x-max-length", 5)};
}
BindingDefinition some_binding() {
  return {"source", "destination", true, "key", Table().add_bool("b", true).add("a", "1")};
}

template <class Definition, class Decode>
void expect_total(const Definition& definition, Decode decode) {
  const Bytes bytes = encode(definition);
  ASSERT_EQ(decode(bytes), definition);
  for (std::size_t size = 0; size < bytes.size(); ++size) {
    EXPECT_EQ(decode(ByteView(bytes.data(), size)), std::nullopt) << size;
  }
  Bytes longer = bytes;
  longer.push_back(0);
  EXPECT_EQ(decode(longer), std::nullopt);
  std::mt19937 random(1);
  for (int i = 0; i < 20'000; ++i) {
    Bytes broken = bytes;
    for (auto changes = 1 + random() % 3; changes > 0; --changes) {
      broken[random() % broken.size()] = static_cast<std::uint8_t>(random());
    }
    if (const auto decoded = decode(broken)) {
      EXPECT_EQ(encode(*decoded), broken);
    }
  }
}

TEST(Definitions, ExchangeBytesAreFixed) {
  const ExchangeDefinition definition{"fanout", true, false, Table().add_bool("x", true)};
  const Bytes expected{1, 1, 6, 'f', 'a', 'n', 'o', 'u', 't', 0, 0, 0, 4, 1, 'x', 't', 1};
  EXPECT_EQ(encode(definition), expected);
}

TEST(Definitions, QueueBytesAreFixed) {
  const QueueDefinition definition{QueueId{0x0102030405060708}, false, true, {}};
  const Bytes expected{1, 2, 1, 2, 3, 4, 5, 6, 7, 8, 0, 0, 0, 0};
  EXPECT_EQ(encode(definition), expected);
}

TEST(Definitions, BindingBytesAreFixed) {
  const BindingDefinition definition{"s", "d", true, "k", {}};
  const Bytes expected{1, 1, 1, 's', 1, 'd', 1, 'k', 0, 0, 0, 0};
  EXPECT_EQ(encode(definition), expected);
}

TEST(Definitions, ExchangesAreTotal) { expect_total(some_exchange(), decode_exchange); }
TEST(Definitions, QueuesAreTotal) { expect_total(some_queue(), decode_queue); }
TEST(Definitions, BindingsAreTotal) { expect_total(some_binding(), decode_binding); }

TEST(Definitions, SettingsBytesAreFixed) {
  const SettingsDefinition definition{Table().add_bool("x", true)};
  const Bytes expected{1, 0, 0, 0, 0, 4, 1, 'x', 't', 1};
  EXPECT_EQ(encode(definition), expected);
  EXPECT_EQ(define(Kind::Policy, "v", "p", definition), (Define{Kind::Policy, "v", "p", expected}));
}

TEST(Definitions, SettingsAreTotal) {
  expect_total(SettingsDefinition{Table().add("a", "text").add_int64("b", 2)}, decode_settings);
}

TEST(Definitions, OtherFormatsAndFlagsAreRefused) {
  Bytes bytes = encode(some_queue());
  bytes[0] = 2;
  EXPECT_EQ(decode_queue(bytes), std::nullopt);
  bytes = encode(some_queue());
  bytes[1] = 4;
  EXPECT_EQ(decode_queue(bytes), std::nullopt);
  bytes = encode(some_binding());
  bytes[1] = 2;
  EXPECT_EQ(decode_binding(bytes), std::nullopt);
}

TEST(Definitions, ArgumentsMustBeATable) {
  Bytes bytes = encode(ExchangeDefinition{"t", false, false, Table().add_bool("x", true)});
  bytes[bytes.size() - 2] = '?';  // no such type
  EXPECT_EQ(decode_exchange(bytes), std::nullopt);
}

TEST(Definitions, BindingsAreNamedByTheirIdentity) {  // C-174
  BindingDefinition reordered = some_binding();
  reordered.arguments = Table().add("a", "1").add_bool("b", true);
  EXPECT_EQ(binding_name(reordered), binding_name(some_binding()));

  BindingDefinition other = some_binding();
  other.to_exchange = false;
  EXPECT_NE(binding_name(other), binding_name(some_binding()));
  other = some_binding();
  other.arguments = {};
  EXPECT_NE(binding_name(other), binding_name(some_binding()));
  // The boundaries between the parts count.
  EXPECT_NE(binding_name({"ab", "c", false, "d", {}}), binding_name({"a", "bc", false, "d", {}}));
  EXPECT_NE(binding_name({"a", "bc", false, "d", {}}), binding_name({"a", "b", false, "cd", {}}));
}

TEST(Definitions, MakeRecords) {
  EXPECT_EQ(define("/", "e", some_exchange()),
            (Define{Kind::Exchange, "/", "e", encode(some_exchange())}));
  EXPECT_EQ(define("/", "q", some_queue()), (Define{Kind::Queue, "/", "q", encode(some_queue())}));
  const Define binding = define("/", some_binding());
  EXPECT_EQ(binding.kind, Kind::Binding);
  EXPECT_EQ(decode_binding(binding.value), some_binding());
  EXPECT_EQ(forget("/", some_binding()), (Forget{binding.kind, binding.vhost, binding.name}));
}

}  // namespace
}  // namespace harrier::persistence_tests
