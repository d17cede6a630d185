// SPDX-License-Identifier: Apache-2.0
//
// Sessions on engines that a test steps by hand: orders of events that sockets rarely produce.
#include "broker/core/session.hpp"

#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "broker/auth/builtin_authenticator.hpp"
#include "broker/core/direct_reply.hpp"
#include "broker/core/engine.hpp"

namespace harrier::broker {
namespace {

using Bytes = std::vector<std::uint8_t>;

class SessionTest : public testing::Test {
 protected:
  SessionTest() {
    for (ShardId shard = 0; shard < 2; ++shard) {
      CoreOptions options;
      options.shards = 2;
      EngineWorld world;
      world.authenticator = std::make_shared<BuiltinAuthenticator>();
      world.random = [](std::span<std::uint8_t> bytes) { std::ranges::fill(bytes, 1); };
      world.connection_count = [] { return 1u; };
      world.message_bytes = [] { return std::uint64_t{0}; };
      world.log = [](int level, const std::string& line) { EXPECT_LT(level, 3) << line; };
      engines.push_back(std::make_unique<Engine>(shard, options, std::move(world)));
    }
    exchange();
  }

  // Ends turns and moves messages until nothing is on its way.
  void exchange() {
    for (bool moved = true; moved;) {
      moved = false;
      for (auto& from : engines) {
        from->end_turn();
        for (ShardId to = 0; to < 2; ++to) {
          Outbox outbox = std::exchange(from->outbox(to), {});
          for (auto* messages : {&outbox.first, &outbox.rest}) {
            for (auto& message : *messages) {
              engines[to]->handle(std::move(message), from->self());
              moved = true;
            }
          }
        }
      }
    }
  }

  Session& open(ShardId shard) {
    Session& session = engines[shard]->open_connection({"127.0.0.1", 1, "127.0.0.1", 2});
    session.receive(protocol::kProtocolHeader);
    protocol::ConnectionStartOk start;
    start.response = std::string_view("\0guest\0guest", 12);
    protocol::ConnectionTuneOk tune;
    tune.channel_max = 10;
    tune.frame_max = 4'096;
    send(session, 0, start);
    send(session, 0, tune);
    send(session, 0, protocol::ConnectionOpen{});
    send(session, 1, protocol::ChannelOpen{});
    EXPECT_EQ(said(session).back(), "channel.open-ok");
    return session;
  }

  // On shard 0, with a consumer of "q", which lives on shard 1 because that is where it was
  // declared.
  Session& open_consuming_from_the_other_shard() {
    protocol::QueueDeclare declare;
    declare.queue = "q";
    send(open(1), 1, declare);
    exchange();
    Session& session = open(0);
    protocol::BasicConsume consume;
    consume.queue = "q";
    send(session, 1, consume);
    exchange();
    return session;
  }

  template <class M>
  static void send(Session& session, std::uint16_t channel, const M& method) {
    Bytes bytes(protocol::frame_size(method));
    protocol::encode_frame(channel, method, bytes.data());
    ASSERT_EQ(session.receive(bytes), bytes.size());
  }

  static void publish(Session& session, std::string_view routing_key) {
    protocol::BasicPublish method;
    method.routing_key = routing_key;
    send(session, 1, method);
    Bytes header(protocol::kFrameOverhead + protocol::kContentHeaderSize + 2);
    auto* at = protocol::put_frame_header(header.data(), protocol::FrameType::Header, 1,
                                          protocol::kContentHeaderSize + 2);
    at = protocol::put_content_header(at, protocol::BasicPublish::kId.class_id, 0);
    protocol::put_u8(protocol::put_u16(at, 0), protocol::kFrameEnd);
    ASSERT_EQ(session.receive(header), header.size());
  }

  static std::vector<std::string> said(Session& session) {
    std::vector<std::string> names;
    Bytes bytes;
    while (!session.output().empty()) {
      std::array<protocol::ByteView, 1> slice;
      session.output().gather(slice);
      bytes.insert(bytes.end(), slice[0].begin(), slice[0].end());
      session.output().consume(slice[0].size());
    }
    protocol::ByteView rest = bytes;
    while (!rest.empty()) {
      const auto result = protocol::read_frame(rest, 0);
      if (result.status != protocol::FrameStatus::Complete) break;
      names.emplace_back(protocol::name_of(
          protocol::peek_method(result.frame.payload).value_or(protocol::MethodId{})));
      rest = rest.subspan(result.size);
    }
    return names;
  }

  std::vector<std::unique_ptr<Engine>> engines;
};

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
