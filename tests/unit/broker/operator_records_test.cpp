// SPDX-License-Identifier: Apache-2.0
#include "broker/core/operator_records.hpp"

#include <set>

#include <gtest/gtest.h>

#include "persistence/definitions.hpp"

namespace harrier::broker {
namespace {

using protocol::Table;

std::vector<OperatorRecord> one_of_each() {
  std::vector<OperatorRecord> all;
  all.emplace_back(VhostRecord{"v", {"about it", {"a", ""}, "quorum", true, 5, -1}});
  all.emplace_back(VhostRecord{"plain", {}});
  const PasswordHash hash = PasswordHash::make(HashAlgorithm::Sha512, "secret", {1, 2, 3, 4});
  all.emplace_back(UserRecord{"u", {hash, {"administrator"}, 3, 0}});
  all.emplace_back(UserRecord{"nobody", {}});
  all.emplace_back(PermissionRecord{{"v", "u"}, {".*", "", "^r"}});
  all.emplace_back(TopicPermissionRecord{{"v", "u"}, "events", {"w", "r"}});
  Policy policy;
  policy.name = "p";
  policy.pattern = std::get<NamePattern>(NamePattern::parse("^q"));
  policy.apply_to = ApplyTo::QuorumQueues;
  policy.priority = -7;
  policy.definition = Table().add_int64("max-length", 5);
  all.emplace_back(PolicyRecord{"v", true, policy});
  all.emplace_back(PolicyRecord{"v", false, policy});
  all.emplace_back(ParameterRecord{"v", "shovel", "s", Table().add("value", "x")});
  all.emplace_back(ParameterRecord{"", "", "cluster_name", Table().add("value", "x")});
  return all;
}

TEST(OperatorRecords, ComeBackAsTheyWere) {
  std::set<std::pair<std::string, std::string>> keys;
  for (const OperatorRecord& record : one_of_each()) {
    const persistence::Define stored = define(record);
    const auto read = read_operator_record(stored);
    ASSERT_TRUE(read) << describe(record);
    EXPECT_EQ(define(*read), stored) << describe(record);
    EXPECT_EQ(describe(*read), describe(record));
    const auto kind = std::to_string(static_cast<unsigned>(stored.kind));
    EXPECT_TRUE(keys.emplace(kind + stored.vhost, stored.name).second) << describe(record);
  }
}

TEST(OperatorRecords, WhatLacksAFieldIsRefused) {
  for (const OperatorRecord& record : one_of_each()) {
    const persistence::Define stored = define(record);
    const Table fields = persistence::decode_settings(stored.value)->fields;
    fields.view().for_each([&](std::string_view key, const protocol::FieldValue&) {
      if (key.starts_with("max-") || key == "exchange") return true;  // may be absent
      Table fewer = fields;
      fewer.remove(key);
      persistence::Define broken = stored;
      broken.value = persistence::encode(persistence::SettingsDefinition{fewer});
      EXPECT_FALSE(read_operator_record(broken)) << describe(record) << " without " << key;
      return true;
    });
    persistence::Define broken = stored;
    broken.value.pop_back();
    EXPECT_FALSE(read_operator_record(broken));
  }
}

TEST(OperatorRecords, AForgottenPolicyIsTheOneThatWasDefined) {
  for (const OperatorRecord& record : one_of_each()) {
    const auto* policy = std::get_if<PolicyRecord>(&record);
    if (policy == nullptr) continue;
    const persistence::Define stored = define(record);
    const auto forgotten = forget_policy(policy->vhost, policy->policy.name, policy->by_operator);
    EXPECT_EQ(forgotten, (persistence::Forget{stored.kind, stored.vhost, stored.name}));
  }
}

}  // namespace
}  // namespace harrier::broker
