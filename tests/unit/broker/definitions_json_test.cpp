// SPDX-License-Identifier: Apache-2.0
#include "broker/definitions/definitions_json.hpp"

#include <gtest/gtest.h>

namespace harrier::broker {
namespace {

std::string only_error(std::string_view json) {
  const ReadDefinitions read = read_definitions(json);
  EXPECT_EQ(read.errors.size(), 1u) << json;
  return read.errors.empty() ? "" : read.errors.front();
}

TEST(DefinitionsJson, AnEmptyFileSaysNothing) {
  const ReadDefinitions read = read_definitions(R"({"rabbit_version": "3.13.7", "queues": []})");
  EXPECT_TRUE(read.errors.empty());
  EXPECT_TRUE(read.warnings.empty());
  EXPECT_TRUE(read.definitions.queues.empty());
}

TEST(DefinitionsJson, SyntaxErrorsNameTheirLine) {
  EXPECT_NE(only_error("{\n\"users\": [,]}").find("line 2, column 11"), std::string::npos);
  EXPECT_EQ(only_error("[]"),
            "the document: expected an object with the sections of a definitions file, got an "
            "array");
}

TEST(DefinitionsJson, EveryMistakeIsToldWithItsPlace) {
  const ReadDefinitions read = read_definitions(R"({
    "users": [{"name": 5}, {"password_hash": ""}, "x"],
    "permissions": [{"user": "u", "vhost": "/", "configure": "(", "write": "", "read": ""}],
    "queues": {"name": "q"}
  })");
  const std::vector<std::string> expected{
      "/permissions/0/configure: '(' is no regular expression: missing closing parenthesis at "
      "offset 1",
      "/queues: expected an array, got an object",
      "/users/0/name: expected a text, got 5",
      "/users/1/name: is missing",
      "/users/2: expected an object, got \"x\"",
  };
  EXPECT_EQ(read.errors, expected);
}

TEST(DefinitionsJson, Users) {
  const ReadDefinitions read = read_definitions(R"({"users": [
    {"name": "a", "password_hash": "8qW5oRKNyV/HqGdJ+Ej33ck5uoeB2UH01hDBDz/iw/BPfhF4",
     "hashing_algorithm": "rabbit_password_hashing_sha256", "tags": ["administrator"],
     "limits": {"max-connections": 3, "max-channels": -1}},
    {"name": "b", "password": "clear", "tags": "x, y"},
    {"name": "c", "password_hash": "", "tags": "", "limits": []}]})");
  ASSERT_TRUE(read.errors.empty()) << read.errors.front();
  const auto& users = read.definitions.users;
  ASSERT_EQ(users.size(), 3u);
  EXPECT_TRUE(users[0].hash.verifies("guest"));
  EXPECT_EQ(users[0].tags, std::vector<std::string>{"administrator"});
  EXPECT_EQ(users[1].password, "clear");
  EXPECT_EQ(users[1].tags, (std::vector<std::string>{"x", "y"}));
  EXPECT_TRUE(users[2].hash.empty());
  ASSERT_EQ(read.definitions.user_limits.size(), 1u);
  EXPECT_EQ(read.definitions.user_limits[0].connections_max, 3);
  EXPECT_EQ(read.definitions.user_limits[0].channels_max, -1);
}

TEST(DefinitionsJson, HashesAreChecked) {
  EXPECT_NE(only_error(R"({"users": [{"name": "a", "password_hash": "abc"}]})")
                .find("/users/0/password_hash: is no base64"),
            std::string::npos);
  EXPECT_NE(only_error(R"({"users": [{"name": "a", "password_hash": "",
                           "hashing_algorithm": "rabbit_password_hashing_md5"}]})")
                .find("/users/0/hashing_algorithm: 'rabbit_password_hashing_md5' is not known"),
            std::string::npos);
}

TEST(DefinitionsJson, ArgumentsBecomeFields) {
  const ReadDefinitions read = read_definitions(R"({"queues": [{"name": "q", "vhost": "/",
    "type": "quorum", "arguments": {"i": 5, "d": 1.5, "s": "x", "b": true, "n": null,
    "a": [1, ["y", false], {"k": -1}], "o": {"p": {}}}}]})");
  ASSERT_TRUE(read.errors.empty()) << read.errors.front();
  const QueueDefinition& queue = read.definitions.queues.at(0);
  EXPECT_TRUE(queue.durable);
  EXPECT_TRUE(protocol::validate_table(queue.arguments.view().bytes()));
  EXPECT_EQ(protocol::to_text(queue.arguments.view()),
            R"({"a": [1, ["y", false], {"k": -1}], "b": true, "d": 1.5, "i": 5, "n": null, )"
            R"("o": {"p": {}}, "s": "x", "x-queue-type": "quorum"})");
}

TEST(DefinitionsJson, WhatAmqpCannotHaveIsRefused) {
  EXPECT_NE(only_error(R"({"queues": [{"name": "q", "vhost": "/",
                           "arguments": {"x": 18446744073709551615}}]})")
                .find("/queues/0/arguments/x: expected an integer of 64 bits"),
            std::string::npos);
  EXPECT_NE(
      only_error(R"({"queues": [{"name": ")" + std::string(256, 'q') + R"(", "vhost": "/"}]})")
          .find("/queues/0/name: has 256 bytes"),
      std::string::npos);
  std::string deep = R"({"queues": [{"name": "q", "vhost": "/", "arguments": {"x": )";
  for (int i = 0; i < 1'000; ++i) deep += "[";
  for (int i = 0; i < 1'000; ++i) deep += "]";
  EXPECT_NE(only_error(deep + "}}]}").find("nested too deeply"), std::string::npos);
}

TEST(DefinitionsJson, PoliciesAndOperatorPolicies) {
  const ReadDefinitions read = read_definitions(R"({
    "policies": [{"vhost": "/", "name": "p", "pattern": "^q", "apply-to": "classic_queues",
                  "priority": 3, "definition": {"message-ttl": 5, "ha-mode": "all"}}],
    "operator_policies": [{"vhost": "/", "name": "o1", "pattern": "", "definition": {}}],
    "parameters": [
      {"vhost": "/", "component": "operator_policy", "name": "o2",
       "value": {"pattern": ".*", "apply-to": "queues", "definition": {"max-length": 9}}},
      {"vhost": "/", "component": "vhost-limits", "name": "limits", "value": {"max-queues": 7}},
      {"vhost": "/", "component": "shovel", "name": "s", "value": {"any": ["thing"]}}]})");
  ASSERT_TRUE(read.errors.empty()) << read.errors.front();
  EXPECT_EQ(read.warnings,
            std::vector<std::string>{"/policies/0/definition/ha-mode: has no effect here"});
  const auto& policies = read.definitions.policies;
  ASSERT_EQ(policies.size(), 3u);
  const auto named = [&](std::string_view name) {
    return *std::find_if(policies.begin(), policies.end(),
                         [&](const PolicyDefinition& each) { return each.policy.name == name; });
  };
  EXPECT_EQ(named("p").policy.apply_to, ApplyTo::ClassicQueues);
  EXPECT_EQ(named("p").policy.priority, 3);
  EXPECT_FALSE(named("p").by_operator);
  EXPECT_TRUE(named("o1").by_operator);
  EXPECT_EQ(named("o2").policy.definition.view().find("max-length")->as_integer(), 9);
  EXPECT_EQ(read.definitions.vhost_limits.at(0).queues_max, 7);
  ASSERT_EQ(read.definitions.parameters.size(), 1u);
  EXPECT_EQ(read.definitions.parameters[0].component, "shovel");
}

TEST(DefinitionsJson, C521_PolicyKeysAreChecked) {
  const auto error = [](const std::string& section, const std::string& keys) {
    return only_error(R"({")" + section +
                      R"(": [{"vhost": "/", "name": "p", "pattern": "", "definition": )" + keys +
                      "}]}");
  };
  EXPECT_EQ(error("policies", R"({"message-tll": 5})"),
            "/policies/0/definition/message-tll: is not a key that policies have");
  EXPECT_EQ(error("policies", R"({"message-ttl": "5"})"),
            "/policies/0/definition/message-ttl: expected milliseconds, an integer of 0 to "
            "315360000000, got \"5\"");
  EXPECT_EQ(error("policies", R"({"overflow": "drop"})"),
            "/policies/0/definition/overflow: expected drop-head, reject-publish, "
            "reject-publish-dlx or block-publisher, got \"drop\"");
  EXPECT_EQ(error("operator_policies", R"({"dead-letter-exchange": "x"})"),
            "/operator_policies/0/definition/dead-letter-exchange: is not a key that operator "
            "policies have");
}

TEST(DefinitionsJson, NothingIsThereTwice) {
  EXPECT_EQ(only_error(R"({"vhosts": [{"name": "a"}, {"name": "b"}, {"name": "a"}]})"),
            "/vhosts/2: is in the file twice, also as /vhosts/0");
}

TEST(DefinitionsJson, BindingsOfTheDefaultExchangeGoWithoutSaying) {
  const ReadDefinitions read = read_definitions(R"({"bindings": [
    {"vhost": "/", "source": "", "destination": "q", "routing_key": "q"},
    {"vhost": "/", "source": "x", "destination": "y", "destination_type": "exchange",
     "routing_key": ""}]})");
  ASSERT_TRUE(read.errors.empty()) << read.errors.front();
  ASSERT_EQ(read.definitions.bindings.size(), 1u);
  EXPECT_TRUE(read.definitions.bindings[0].to_exchange);
}

TEST(DefinitionsJson, UnknownSectionsAreNamed) {
  const ReadDefinitions read = read_definitions(R"({"shovels": [{}], "explanation": "x"})");
  EXPECT_TRUE(read.errors.empty());
  EXPECT_EQ(read.warnings, std::vector<std::string>{"/shovels: an unknown section, not looked at"});
}

}  // namespace
}  // namespace harrier::broker
