// SPDX-License-Identifier: Apache-2.0
//
// What concerns all connections of a broker: alarms and the shutdown.
#include <gtest/gtest.h>

#include "tests/unit/broker/session_fixture.hpp"

namespace harrier::broker {
namespace {

using Texts = std::vector<std::string>;

class AlarmTest : public SessionFixture {
 protected:
  static CoreOptions limited() {
    CoreOptions options;
    options.memory_limit_bytes = 1'000;
    return options;
  }
  AlarmTest() : SessionFixture(2, false, limited()) {
    for (auto& engine : engines) engine->set_now(1'000);
  }

  void disk(bool low) {
    engines[kControlShard]->handle(DiskCrossed{low, "100 bytes are free"}, kControlShard);
    exchange();
  }
  // Every shard looks at the memory again.
  void memory(std::uint64_t bytes) {
    message_bytes = bytes;
    now += 1'000;
    for (auto& engine : engines) engine->set_now(now);
    exchange();
  }
  // What a publisher of each shard is told by its next message.
  bool blocks(Session& session) {
    protocol::BasicPublish method;
    method.routing_key = "nowhere";
    send(session, 1, method);
    const Bytes header = content_header(false);
    const bool taken = session.receive(header) == header.size();
    EXPECT_EQ(session.wants_input(), taken);
    return !taken;
  }

  Millis now = 1'000;
};

TEST_F(AlarmTest, TheDiskAlarmBlocksPublishersOfEveryShardUntilItIsOver) {
  std::vector<Session*> sessions = {&open_blockable(0), &open_blockable(1)};
  disk(true);
  for (Session* session : sessions) {
    EXPECT_EQ(said(*session), Texts{});  // nothing before it publishes
    EXPECT_TRUE(blocks(*session));
    EXPECT_EQ(said(*session), Texts{"connection.blocked"});
  }
  disk(true);  // said twice, it is still one alarm
  disk(false);
  disk(false);
  for (Session* session : sessions) {
    EXPECT_EQ(said(*session), Texts{"connection.unblocked"});
    EXPECT_TRUE(session->wants_input());
  }
  EXPECT_EQ(warnings, (Texts{"disk alarm: 100 bytes are free; publishers are blocked",
                             "disk alarm is over; publishers go on"}));
}

TEST_F(AlarmTest, PublishersWaitUntilBothAlarmsAreOver) {
  for (const bool disk_first : {true, false}) {
    Session& session = open_blockable(1);
    disk(true);
    EXPECT_TRUE(blocks(session));
    memory(2'000);
    EXPECT_TRUE(engines[1]->alarm().memory && engines[1]->alarm().disk);
    said(session);
    disk_first ? disk(false) : memory(0);
    EXPECT_EQ(said(session), Texts{});
    EXPECT_FALSE(session.wants_input());
    disk_first ? memory(0) : disk(false);
    EXPECT_EQ(said(session), Texts{"connection.unblocked"});
    EXPECT_TRUE(session.wants_input());
  }
}

class ShutdownTest : public SessionFixture {
 protected:
  ShutdownTest() : SessionFixture(2, true) {}
};

// Else a clean stop would look like a crash to whoever gets the message next, or worse: not at all.
TEST_F(ShutdownTest, UnacknowledgedMessagesReturnInTheStoreToo) {
  protocol::QueueDeclare declare;
  declare.queue = "q";
  declare.durable = true;
  send(open(1), 1, declare);
  settle();
  Session& session = open(0);
  publish(session, "q", true);
  protocol::BasicConsume consume;
  consume.queue = "q";
  send(session, 1, consume);
  settle();
  EXPECT_EQ(said(session), (Texts{"basic.consume-ok", "basic.deliver", ""}));  // and its header
  for (auto& engine : engines) engine->shut_down("shutdown");
  exchange();
  EXPECT_EQ(said(session), Texts{"connection.close"});
  ASSERT_EQ(waiting.size(), 1u);
  ASSERT_EQ(waiting[0].batch.size(), 1u);
  const auto* requeue = std::get_if<persistence::Requeue>(&waiting[0].batch.records()[0]);
  ASSERT_NE(requeue, nullptr);
  EXPECT_EQ(requeue->delivery_count, 1u);
}

}  // namespace
}  // namespace harrier::broker
