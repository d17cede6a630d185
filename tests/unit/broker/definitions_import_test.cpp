// SPDX-License-Identifier: Apache-2.0
//
// Importing definitions beside what there is, on engines that are stepped by hand: what it tells,
// what it changes, and that clients meet it.
#include "broker/core/definitions_import.hpp"

#include "broker/core/control.hpp"
#include "broker/definitions/definitions_json.hpp"
#include "tests/unit/broker/session_fixture.hpp"

namespace harrier::broker {
namespace {

constexpr std::string_view kFile = R"({
  "vhosts": [{"name": "/"}, {"name": "shop"}],
  "users": [{"name": "guest", "password": "guest", "tags": ["administrator"]}],
  "permissions": [{"user": "guest", "vhost": "/", "configure": ".*", "write": ".*", "read": ".*"}],
  "policies": [{"vhost": "/", "name": "short", "pattern": "^q", "apply-to": "queues",
                "definition": {"max-length": 5}},
               {"vhost": "/", "name": "ae", "pattern": "^x$", "apply-to": "exchanges",
                "definition": {"alternate-exchange": "amq.fanout"}}],
  "parameters": [{"vhost": "/", "component": "operator_policy", "name": "ceiling",
                  "value": {"pattern": ".*", "definition": {"max-length": 9, "expires": 60000}}}],
  "exchanges": [{"vhost": "/", "name": "x", "type": "topic"}],
  "queues": [{"vhost": "/", "name": "q1", "arguments": {"x-max-length": 7}},
             {"vhost": "/", "name": "other"}],
  "bindings": [{"vhost": "/", "source": "x", "destination": "q1", "routing_key": "a.#"}]
})";

class ImportTest : public SessionFixture {
 protected:
  ImportTest() : SessionFixture(2, true) {}

  Control& control() { return *engines[0]->control(); }

  ImportReport import(std::string_view json, bool dry_run = false) {
    ReadDefinitions read = read_definitions(json);
    EXPECT_TRUE(read.errors.empty()) << read.errors.front();
    std::optional<ImportReport> report;
    engines[0]->handle(
        ImportDefinitions{std::make_shared<const Definitions>(std::move(read.definitions)), dry_run,
                          [&](const ImportReport& done) { report = done; }},
        0);
    settle();
    EXPECT_TRUE(report) << "nobody was told";
    return report.value_or(ImportReport());
  }

  QueueInfo queue(const std::string& name) {
    for (const auto& engine : engines) {
      for (QueueInfo& info : engine->queue_infos()) {
        if (info.name == name) return info;
      }
    }
    ADD_FAILURE() << "no queue " << name;
    return {};
  }

  routing::TopologyPtr topology(const std::string& vhost = "/") {
    const VhostView* view = engines[1]->find_vhost(vhost);
    return view == nullptr ? nullptr : view->topology;
  }
};

TEST_F(ImportTest, MakesWhatTheFileSays) {
  const ImportReport report = import(kFile);
  EXPECT_TRUE(report.errors.empty());
  // Of the vhosts one is there already.
  EXPECT_EQ(report.created, 1u + 1 + 1 + 2 + 1 + 1 + 2 + 1);
  EXPECT_EQ(report.updated, 0u);
  EXPECT_EQ(report.unchanged, 1u);
  EXPECT_EQ(report.changes.size(), report.created);
  EXPECT_EQ(report.changes.back(),
            "created binding from exchange 'x' to queue 'q1' with key 'a.#' in vhost '/'");
  ASSERT_NE(topology("shop"), nullptr);
  ASSERT_NE(topology()->find_queue("q1"), nullptr);
  EXPECT_TRUE(topology()->find_queue("q1")->durable);
}

TEST_F(ImportTest, TwiceIsOnce) {
  const std::uint64_t all = import(kFile).created + 1;
  const ImportReport again = import(kFile);
  EXPECT_EQ(again.created + again.updated, 0u);
  EXPECT_EQ(again.unchanged, all);
  EXPECT_TRUE(again.changes.empty());
  EXPECT_TRUE(again.warnings.empty());
}

TEST_F(ImportTest, ADryRunTellsTheSameAndChangesNothing) {
  const ImportReport told = import(kFile, true);
  EXPECT_EQ(topology("shop"), nullptr);
  EXPECT_EQ(topology()->find_queue("q1"), nullptr);
  EXPECT_TRUE(control().users().users.empty());
  const ImportReport done = import(kFile);
  EXPECT_EQ(told.changes, done.changes);
  EXPECT_EQ(told.warnings, done.warnings);
}

TEST_F(ImportTest, OneErrorIsEnoughToChangeNothing) {
  const ImportReport report = import(R"({
    "users": [{"name": "u", "password": "p"}],
    "permissions": [{"user": "nobody", "vhost": "/", "configure": "", "write": "", "read": ""},
                    {"user": "u", "vhost": "nowhere", "configure": "", "write": "", "read": ""}],
    "exchanges": [{"vhost": "/", "name": "x", "type": "teleport"},
                  {"vhost": "/", "name": "amq.mine", "type": "topic"},
                  {"vhost": "/", "name": "t", "type": "topic"}],
    "queues": [{"vhost": "/", "name": "q", "arguments": {"x-message-ttl": -1}}],
    "bindings": [{"vhost": "/", "source": "amq.headers", "destination": "t",
                  "destination_type": "exchange", "routing_key": "",
                  "arguments": {"x-match": "perhaps"}}]})");
  const std::vector<std::string> expected{
      "/permissions/0: there is no user 'nobody', neither here nor in the file",
      "/permissions/1: there is no vhost 'nowhere', neither here nor in the file",
      "/exchanges/0/type: unknown exchange type 'teleport'",
      "/exchanges/1/name: 'amq.mine' contains reserved prefix 'amq.*'",
      "/queues/0: invalid arg 'x-message-ttl' for queue 'q' in vhost '/': {value_negative,-1}",
      "/bindings/0: Invalid x-match field value <<\"perhaps\">>; expected all, any, all-with-x, or "
      "any-with-x"};
  EXPECT_EQ(report.errors, expected);
  EXPECT_TRUE(report.changes.empty());
  EXPECT_TRUE(control().users().users.empty());
  EXPECT_EQ(topology()->find_exchange("t"), nullptr);
}

TEST_F(ImportTest, ABindingWithoutAnEndIsLeftOut) {
  const ImportReport report = import(R"({
    "bindings": [{"vhost": "/", "source": "internal", "destination": "q", "routing_key": ""}]})");
  EXPECT_TRUE(report.errors.empty());
  EXPECT_EQ(report.warnings.size(), 1u);
  EXPECT_EQ(report.created, 0u);
}

TEST_F(ImportTest, WhatIsThereOtherwiseStays) {
  import(kFile);
  const ImportReport report = import(R"({
    "exchanges": [{"vhost": "/", "name": "x", "type": "direct"}],
    "queues": [{"vhost": "/", "name": "q1", "arguments": {"x-max-length": 8}}]})");
  EXPECT_TRUE(report.errors.empty());
  EXPECT_EQ(report.unchanged, 2u);
  EXPECT_EQ(report.warnings.size(), 2u);
  EXPECT_EQ(topology()->find_exchange("x")->type, routing::ExchangeType::Topic);
}

TEST_F(ImportTest, C520_PoliciesReachQueuesThatAreThereAndThoseToCome) {
  send(open(1), 1, [] {
    protocol::QueueDeclare declare;
    declare.queue = "q0";
    return declare;
  }());
  settle();
  import(kFile);
  for (const char* name : {"q0", "q1"}) {
    EXPECT_EQ(queue(name).policy, "short") << name;
    EXPECT_EQ(queue(name).operator_policy, "ceiling") << name;
  }
  EXPECT_EQ(queue("q0").effective_arguments.view().find("x-max-length")->as_integer(), 5);
  EXPECT_EQ(queue("q0").effective_arguments.view().find("x-expires")->as_integer(), 60'000);
  EXPECT_EQ(queue("other").policy, "");
  EXPECT_EQ(queue("other").operator_policy, "ceiling");

  EXPECT_TRUE(control().clear_policy("/", "short", false));
  EXPECT_TRUE(control().clear_policy("/", "ceiling", true));
  settle();
  EXPECT_EQ(queue("q1").policy, "");
  EXPECT_EQ(queue("q1").operator_policy, "");
  EXPECT_EQ(queue("q1").effective_arguments.view().find("x-max-length")->as_integer(), 7);
  EXPECT_FALSE(queue("q1").effective_arguments.view().find("x-expires"));
}

TEST_F(ImportTest, C520_AnAlternateExchangeByPolicyIsInForceAtOnce) {
  import(kFile);
  EXPECT_EQ(topology()->find_exchange("x")->alternate, "amq.fanout");
  EXPECT_TRUE(topology()->find_exchange("x")->arguments.empty());
  import(R"({"policies": [{"vhost": "/", "name": "ae", "pattern": "^x$", "apply-to": "exchanges",
             "definition": {"alternate-exchange": "amq.topic"}}]})");
  EXPECT_EQ(topology()->find_exchange("x")->alternate, "amq.topic");
  EXPECT_TRUE(control().clear_policy("/", "ae", false));
  settle();
  EXPECT_EQ(topology()->find_exchange("x")->alternate, std::nullopt);
}

TEST_F(ImportTest, C519_TheArgumentOfAnExchangeIsStrongerThanThePolicy) {
  import(R"({"policies": [{"vhost": "/", "name": "ae", "pattern": "", "apply-to": "all",
             "definition": {"alternate-exchange": "amq.fanout"}}],
             "exchanges": [{"vhost": "/", "name": "y", "type": "topic",
                            "arguments": {"alternate-exchange": "amq.topic"}}]})");
  import(R"({"policies": [{"vhost": "/", "name": "ae", "pattern": ".*",
             "definition": {"alternate-exchange": "amq.fanout"}}]})");
  EXPECT_EQ(topology()->find_exchange("y")->alternate, "amq.topic");
  EXPECT_EQ(topology()->find_exchange("amq.direct")->alternate, "amq.fanout");
  EXPECT_EQ(topology()->find_exchange("")->alternate, std::nullopt);
}

TEST_F(ImportTest, NobodySeesUsersBeforeTheyAreDurable) {
  ReadDefinitions read = read_definitions(kFile);
  bool told = false;
  engines[0]->handle(
      ImportDefinitions{std::make_shared<const Definitions>(std::move(read.definitions)), false,
                        [&](const ImportReport&) { told = true; }},
      0);
  exchange();
  EXPECT_FALSE(told);
  EXPECT_EQ(topology("shop"), nullptr);
  settle();
  EXPECT_TRUE(told);
  EXPECT_NE(topology("shop"), nullptr);
}

TEST_F(ImportTest, PermissionsReachOpenConnections) {
  import(kFile);
  Session& session = open(1);
  EXPECT_FALSE(session.access().restricted());
  import(R"({"permissions": [{"user": "guest", "vhost": "/", "configure": "", "write": "",
             "read": ""}]})");
  EXPECT_TRUE(session.access().restricted());
  EXPECT_THROW(session.access().need_queue(Right::Read, "q1"), protocol::AmqpError);
}

TEST_F(ImportTest, C244_QueuesAreLimited) {
  import(R"({"vhost_limits": [{"vhost": "/", "value": {"max-queues": 1}}]})");
  Session& session = open(0);
  protocol::QueueDeclare declare;
  declare.queue = "a";
  send(session, 1, declare);
  settle();
  EXPECT_EQ(said(session), std::vector<std::string>{"queue.declare-ok"});
  send(session, 1, declare);
  settle();
  EXPECT_EQ(said(session), std::vector<std::string>{"queue.declare-ok"}) << "it is there already";
  declare.queue = "b";
  send(session, 1, declare);
  settle();
  EXPECT_EQ(said(session), std::vector<std::string>{"channel.close"});
  import(R"({"vhost_limits": [{"vhost": "/", "value": {}}]})");
  EXPECT_EQ(control().find_vhost("/")->settings.queues_max, std::nullopt);
}

TEST_F(ImportTest, C058_ConnectionsAreCountedBeforeTheLimitIsSet) {
  Session& first = open(0);
  import(R"({"vhost_limits": [{"vhost": "/", "value": {"max-connections": 1}}]})");
  EXPECT_FALSE(engines[1]->find_vhost("/")->profile->connections.claim());
  first.peer_gone();
  EXPECT_TRUE(engines[1]->find_vhost("/")->profile->connections.claim());
}

}  // namespace
}  // namespace harrier::broker
