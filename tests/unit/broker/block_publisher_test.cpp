// SPDX-License-Identifier: Apache-2.0
//
// x-overflow of block-publisher: who waits, what overtakes, and what ends it. The queue is on shard
// 1, the publisher on either.
#include "tests/unit/broker/session_fixture.hpp"

namespace harrier::broker {
namespace {

using Texts = std::vector<std::string>;

class BlockPublisherTest : public SessionFixture, public testing::WithParamInterface<ShardId> {
 protected:
  BlockPublisherTest() : publisher(open_blockable(GetParam())), other(open(1)) {
    protocol::Table arguments;
    arguments.add_int32("x-max-length", 2).add("x-overflow", "block-publisher");
    declare("q", arguments);
    declare("r", {});
    send(publisher, 1, protocol::ConfirmSelect{});
    exchange();
    take_output(publisher);
  }

  void declare(std::string_view name, const protocol::Table& arguments) {
    protocol::QueueDeclare method;
    method.queue = name;
    method.arguments = arguments.view();
    send(other, 1, method);
    exchange();
    take_output(other);
  }

  void publish_and_wait(std::string_view queue = "q") {
    publish(publisher, queue);
    exchange();
  }

  std::uint64_t ready(std::string_view name) {
    for (const QueueInfo& info : engines[1]->queue_infos()) {
      if (info.name == name) return info.messages_ready;
    }
    ADD_FAILURE() << name << " is not there";
    return 0;
  }
  QueueId id(std::string_view name) {
    return engines[1]->find_vhost("/")->topology->find_queue(name)->id;
  }

  // What "q" would be with those arguments.
  routing::QueueEntryPtr declared(const protocol::Table& arguments) {
    routing::QueueEntry entry = *engines[1]->find_vhost("/")->topology->find_queue("q");
    entry.arguments = arguments;
    return std::make_shared<const routing::QueueEntry>(std::move(entry));
  }

  void get(Session& session, bool no_ack = true) {
    protocol::BasicGet method;
    method.queue = "q";
    method.no_ack = no_ack;
    send(session, 1, method);
    exchange();
  }

  static Bytes publish_bytes(bool immediate) {
    Bytes bytes;
    protocol::BasicPublish method;
    method.routing_key = "q";
    method.immediate = immediate;
    append(bytes, 1, method);
    const Bytes header = content_header(false);
    bytes.insert(bytes.end(), header.begin(), header.end());
    return bytes;
  }

  // Full, and one more is held.
  void fill() {
    for (int i = 0; i < 3; ++i) publish_and_wait();
    EXPECT_EQ(ready("q"), 2u);
    EXPECT_EQ(said(publisher), (Texts{"basic.ack", "basic.ack", "connection.blocked"}));
  }

  Session& publisher;
  Session& other;
};

TEST_P(BlockPublisherTest, TheOneThatFillsItIsTakenAndTheNextWaits) {
  publish_and_wait();
  EXPECT_EQ(said(publisher), Texts{"basic.ack"});
  publish_and_wait();
  EXPECT_EQ(said(publisher), Texts{"basic.ack"});
  EXPECT_TRUE(publisher.wants_input());
  publish_and_wait();
  EXPECT_EQ(said(publisher), Texts{"connection.blocked"});
  EXPECT_EQ(ready("q"), 2u);
  get(other);
  EXPECT_EQ(ready("q"), 2u);
  EXPECT_EQ(said(publisher), (Texts{"connection.unblocked", "basic.ack"}));
  publish_and_wait("r");  // full again: all that it publishes waits
  EXPECT_EQ(ready("r"), 0u);
  EXPECT_EQ(said(publisher), Texts{"connection.blocked"});
}

// Its body is still to come, and is the client's right to send (C-134).
TEST_P(BlockPublisherTest, AHeldOneThatFailsClosesTheChannelInTheMiddleOfTheNext) {
  protocol::ExchangeDeclare declare;
  declare.exchange = "x";
  declare.type = "fanout";
  send(other, 1, declare);
  exchange();
  fill();
  protocol::BasicPublish method;
  method.exchange = "x";
  const Bytes content = content_header(false);
  send(publisher, 1, method);
  ASSERT_EQ(publisher.receive(content), content.size());
  protocol::ExchangeDelete remove;
  remove.exchange = "x";
  send(other, 1, remove);
  exchange();

  const Bytes payload(2'000);
  const Bytes frame = body_frame(payload);
  const std::size_t half = frame.size() / 2;
  const Bytes header = content_header(false, 2 * payload.size());
  send(publisher, 1, method);
  ASSERT_EQ(publisher.receive(header), header.size());
  ASSERT_EQ(publisher.receive(protocol::ByteView(frame).first(half)), half);
  get(other);
  get(other);
  const Texts told = said(publisher);
  EXPECT_NE(std::ranges::find(told, "channel.close"), told.end());
  ASSERT_EQ(publisher.receive(protocol::ByteView(frame).subspan(half)), frame.size() - half);
  ASSERT_EQ(publisher.receive(frame), frame.size());
  exchange();
  send(publisher, 1, protocol::ChannelCloseOk{});
  send(publisher, 1, protocol::ChannelOpen{});
  exchange();
  EXPECT_EQ(said(publisher), Texts{"channel.open-ok"});
}

TEST_P(BlockPublisherTest, OtherConnectionsGoOn) {
  fill();
  publish(other, "r");
  exchange();
  EXPECT_EQ(ready("r"), 1u);
}

TEST_P(BlockPublisherTest, AcknowledgementsOvertakeAndRequeuedOnesKeepItFull) {
  publish_and_wait();
  publish_and_wait();
  get(publisher, false);
  publish_and_wait();  // there was room
  publish_and_wait();
  take_output(publisher);
  EXPECT_EQ(ready("q"), 2u);
  protocol::BasicReject back;
  back.delivery_tag = 1;
  back.requeue = true;
  send(publisher, 1, back);
  exchange();
  EXPECT_EQ(ready("q"), 3u);
  get(other);
  EXPECT_EQ(ready("q"), 2u);
  EXPECT_TRUE(said(publisher).empty());
  get(other);
  EXPECT_EQ(ready("q"), 2u);
  EXPECT_EQ(said(publisher), (Texts{"connection.unblocked", "basic.ack"}));
}

TEST_P(BlockPublisherTest, OtherMethodsOfTheChannelWaitAndOtherChannelsDoNot) {
  send(publisher, 2, protocol::ChannelOpen{});
  take_output(publisher);
  fill();
  Bytes bytes;
  append(bytes, 2, protocol::ConfirmSelect{});
  EXPECT_EQ(publisher.receive(bytes), bytes.size());
  EXPECT_EQ(said(publisher), Texts{"confirm.select-ok"});
  bytes.clear();
  append(bytes, 1, protocol::ConfirmSelect{});
  EXPECT_EQ(publisher.receive(bytes), 0u);
  EXPECT_FALSE(publisher.wants_input());
  get(other);
  EXPECT_TRUE(publisher.wants_input());
  EXPECT_EQ(said(publisher), (Texts{"connection.unblocked", "basic.ack"}));
  EXPECT_EQ(publisher.receive(bytes), bytes.size());
  EXPECT_EQ(said(publisher), Texts{"confirm.select-ok"});
}

TEST_P(BlockPublisherTest, WhatMayMakeRoomBringsThePublishesOnThatItWouldWaitFor) {
  const auto purge = [&] {
    protocol::QueuePurge method;
    method.queue = "r";
    send(publisher, 1, method);
    exchange();
  };
  fill();
  get(publisher);
  EXPECT_EQ(said(publisher), (Texts{"connection.unblocked", "basic.get-ok", "", "basic.ack"}));
  EXPECT_EQ(ready("q"), 2u);
  publish_and_wait();  // full still
  EXPECT_EQ(ready("q"), 2u);
  EXPECT_EQ(said(publisher), Texts{"connection.blocked"});
  purge();  // of another queue: nobody knows what a purge is good for
  EXPECT_EQ(said(publisher), (Texts{"connection.unblocked", "queue.purge-ok", "basic.ack"}));
  EXPECT_EQ(ready("q"), 3u);
}

// It has something that it may give back or settle behind whatever it says now.
TEST_P(BlockPublisherTest, WhoConsumesIsHeardWhateverItSays) {
  get(publisher, false);
  EXPECT_EQ(said(publisher), Texts{"basic.get-empty"});
  publish_and_wait();
  get(publisher, false);
  for (int i = 0; i < 3; ++i) publish_and_wait();
  EXPECT_EQ(ready("q"), 2u);
  take_output(publisher);
  send(publisher, 1, protocol::ChannelClose{});
  exchange();
  EXPECT_EQ(said(publisher), (Texts{"connection.unblocked", "channel.close-ok"}));
  EXPECT_EQ(ready("q"), 4u);
}

TEST_P(BlockPublisherTest, WhoConsumesIsReadHoweverManyItHasHeld) {
  publish_and_wait();
  get(publisher, false);
  const Bytes bytes = publish_bytes(false);
  for (int i = 0; i < 3'000; ++i) {
    ASSERT_EQ(publisher.receive(bytes), bytes.size()) << i;
    exchange();
  }
  EXPECT_GE(ready("q"), 2'000u);
  EXPECT_TRUE(publisher.wants_input());
}

TEST_P(BlockPublisherTest, SoManyAreHeldAndThenNothingIsRead) {
  fill();
  const Bytes bytes = publish_bytes(false);
  int held = 1;
  while (publisher.receive(bytes) == bytes.size()) ASSERT_LT(++held, 10'000);
  EXPECT_EQ(held, 1'000);
  EXPECT_FALSE(publisher.wants_input());
  for (int taken = 0; taken < held; ++taken) get(other);
  EXPECT_EQ(ready("q"), 2u);
  EXPECT_TRUE(publisher.wants_input());
}

TEST_P(BlockPublisherTest, PurgeDeletionAndAPolicyEndIt) {
  fill();
  engines[1]->handle(Purge{id("q"), {}}, 1);
  exchange();
  EXPECT_EQ(ready("q"), 1u);
  EXPECT_EQ(said(publisher), (Texts{"connection.unblocked", "basic.ack"}));

  publish_and_wait();
  publish_and_wait();
  EXPECT_EQ(said(publisher), (Texts{"basic.ack", "connection.blocked"}));
  auto policy = std::make_shared<EffectivePolicy>();
  policy->definition.add_int32("max-length", 1);
  engines[1]->handle(ApplyPolicy{id("q"), policy}, 1);  // the smaller: still full
  exchange();
  EXPECT_TRUE(said(publisher).empty());
  engines[1]->handle(ApplyPolicy{id("q"), nullptr, declared({})}, 1);
  exchange();
  EXPECT_EQ(ready("q"), 3u);
  EXPECT_EQ(said(publisher), (Texts{"connection.unblocked", "basic.ack"}));

  protocol::Table arguments;
  arguments.add_int32("x-max-length", 3).add("x-overflow", "block-publisher");
  engines[1]->handle(ApplyPolicy{id("q"), nullptr, declared(arguments)}, 1);
  publish_and_wait();  // it is told by this one
  publish_and_wait();
  EXPECT_EQ(said(publisher), (Texts{"basic.ack", "connection.blocked"}));
  protocol::QueueDelete deletion;
  deletion.queue = "q";
  send(other, 1, deletion);
  exchange();
  EXPECT_EQ(said(publisher), (Texts{"connection.unblocked", "basic.ack"}));
}

TEST_P(BlockPublisherTest, WhoWaitsForAQueueThatIsDeletedGoesOn) {
  fill();
  protocol::QueueDelete deletion;
  deletion.queue = "q";
  send(other, 1, deletion);
  exchange();
  EXPECT_EQ(said(publisher), (Texts{"connection.unblocked", "basic.ack"}));
  for (int i = 0; i < 2; ++i) publish_and_wait("r");
  EXPECT_EQ(ready("r"), 2u);
}

// What was held is published when nobody is in the middle of anything, or this would pull the
// channel away from under its own acknowledgement.
TEST_P(BlockPublisherTest, WhatWasHeldMayEndItsConnection) {
  fill();
  get(publisher, false);  // brings the one on, and the queue is full still
  take_output(publisher);
  const Bytes bytes = publish_bytes(true);
  EXPECT_EQ(publisher.receive(bytes), bytes.size());
  exchange();
  EXPECT_EQ(said(publisher), Texts{"connection.blocked"});
  protocol::BasicConsume consume;
  consume.queue = "q";
  send(other, 1, consume);
  exchange();
  const Texts all = said(publisher);
  ASSERT_FALSE(all.empty());
  EXPECT_EQ(all.back(), "connection.close");
  EXPECT_EQ(std::ranges::count(all, "connection.unblocked"), 0);
}

TEST_P(BlockPublisherTest, AnAlarmAndAFullQueueAreToldAsOne) {
  fill();
  for (const auto& engine : engines) engine->handle(Alarm{true, false}, 0);
  for (const auto& engine : engines) engine->handle(Alarm{false, false}, 0);
  EXPECT_TRUE(said(publisher).empty());
  get(other);
  EXPECT_EQ(said(publisher), (Texts{"connection.unblocked", "basic.ack"}));
}

TEST_P(BlockPublisherTest, AConnectionThatGoesLeavesNothing) {
  fill();
  publisher.peer_gone();
  exchange();
  EXPECT_TRUE(publisher.finished());
  engines[GetParam()]->forget(publisher.id());
  get(other);
  EXPECT_EQ(ready("q"), 1u);  // what was held is lost, and was never confirmed
}

TEST_P(BlockPublisherTest, AnEmptyQueueNeverBlocks) {
  protocol::Table arguments;
  arguments.add_int32("x-max-length", 0).add("x-overflow", "block-publisher");
  declare("none", arguments);
  publish_and_wait("none");
  EXPECT_EQ(ready("none"), 1u);
  publish_and_wait("none");
  EXPECT_EQ(ready("none"), 1u);
}

INSTANTIATE_TEST_SUITE_P(Publisher, BlockPublisherTest, testing::Values(ShardId{1}, ShardId{0}),
                         [](const auto& shard) {
                           return shard.param == 1 ? "OnTheQueuesShard" : "OnAnotherShard";
                         });

}  // namespace
}  // namespace harrier::broker
