// SPDX-License-Identifier: Apache-2.0
//
// Sessions on engines that a test steps by hand: orders of events that sockets rarely produce.
#include "broker/core/direct_reply.hpp"
#include "tests/unit/broker/session_fixture.hpp"

namespace harrier::broker {
namespace {

using SessionTest = SessionFixture;

TEST_F(SessionTest, NothingFollowsChannelClose) {
  Session& session = open(0);
  send(session, 1, protocol::ConfirmSelect{});
  publish(session, "nowhere");  // confirmed at the end of the turn
  send(session, 1, protocol::BasicAck{99, false});
  exchange();
  EXPECT_EQ(said(session), (std::vector<std::string>{"confirm.select-ok", "channel.close"}));
}

TEST_F(SessionTest, IsReleasedAlthoughItWentInTheMiddleOfACommit) {
  Session& session = open_consuming_from_the_other_shard();
  send(session, 1, protocol::TxSelect{});
  publish(session, "q");
  send(session, 1, protocol::TxCommit{});
  EXPECT_TRUE(session.parked());
  session.peer_gone();
  exchange();
  EXPECT_TRUE(session.finished());
}

TEST_F(SessionTest, SaysNothingAfterThePeerWentAndIsReleased) {
  Session& session = open_consuming_from_the_other_shard();
  send(session, 1, protocol::ConfirmSelect{});
  publish(session, "q");
  said(session);
  session.peer_gone();
  engines[0]->end_turn();
  for (ShardMessage& message : std::exchange(engines[0]->outbox(1), {}).rest) {
    engines[1]->handle(std::move(message), 0);
  }
  engines[1]->end_turn();
  // The confirm comes before the release is complete, and finds nobody.
  for (ShardMessage& message : std::exchange(engines[1]->outbox(0), {}).rest) {
    engines[0]->handle(std::move(message), 1);
    engines[0]->end_turn();
    EXPECT_TRUE(session.output().empty());
  }
  EXPECT_TRUE(session.finished());
}

TEST_F(SessionTest, AShutdownLeavesACloseInProgressAlone) {
  Session& session = open_consuming_from_the_other_shard();
  said(session);
  send(session, 0, protocol::ConnectionClose{});
  EXPECT_TRUE(session.parked());
  session.force_close("shutdown");
  exchange();
  EXPECT_EQ(said(session), std::vector<std::string>{"connection.close-ok"});
}

TEST_F(SessionTest, DirectRepliesToWhoDoesNotReadAreLostInsteadOfKept) {
  Session& session = open(0);
  protocol::BasicConsume consume;
  consume.queue = "amq.rabbitmq.reply-to";
  consume.no_ack = true;
  send(session, 1, consume);
  const ChannelRef channel{session.id(), 1, 1};
  const std::string name = make_direct_reply_name(channel, engines[0]->random_name(""));
  ASSERT_TRUE(session.has_reply_consumer(channel, name));

  const std::array<std::uint8_t, 2> no_properties = {0, 0};
  const Bytes body(1'000);
  const auto reply = protocol::Message::create("", name, no_properties, body);
  for (int i = 0; i < 10'000; ++i) engines[0]->handle(DirectReply{channel, name, reply}, 0);
  EXPECT_LT(session.output().size(), engines[0]->options().output_high_bytes + 10 * body.size());
}

}  // namespace
}  // namespace harrier::broker
