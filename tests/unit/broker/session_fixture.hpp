// SPDX-License-Identifier: Apache-2.0
//
// SessionFixture: engines that a test steps by hand, and sessions on them: orders of events that
// sockets rarely produce. With `storing`, write batches wait until the test makes them durable;
// without, all is durable at once.
#pragma once

#include <algorithm>
#include <array>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "broker/auth/builtin_authenticator.hpp"
#include "broker/core/engine.hpp"

namespace harrier::broker {

using Bytes = std::vector<std::uint8_t>;

class SessionFixture : public testing::Test {
 protected:
  explicit SessionFixture(unsigned shards = 2, bool storing = false, CoreOptions options = {}) {
    options.shards = shards;
    for (unsigned id = 0; id < shards; ++id) {
      const auto shard = static_cast<ShardId>(id);
      EngineWorld world;
      world.authenticator = std::make_shared<BuiltinAuthenticator>();
      world.random = [](std::span<std::uint8_t> bytes) { std::ranges::fill(bytes, 1); };
      world.connection_count = [] { return 1u; };
      world.message_bytes = [this] { return message_bytes; };
      world.log = [this](int level, const std::string& line) {
        EXPECT_LT(level, 3) << line;
        if (level == 2) warnings.push_back(line);
      };
      if (storing) {
        world.commit = [this, shard](persistence::WriteBatch batch, std::uint64_t number) {
          waiting.push_back({shard, number, std::move(batch)});
        };
      }
      engines.push_back(std::make_unique<Engine>(shard, options, std::move(world)));
    }
    settle();
  }

  // Everything that waits for the store becomes durable, in order.
  void settle() {
    for (exchange(); !waiting.empty(); exchange()) release(waiting.front().shard);
  }

  // The oldest batch of this shard becomes durable.
  void release(ShardId shard) {
    const auto at = std::ranges::find(waiting, shard, &Waiting::shard);
    ASSERT_NE(at, waiting.end());
    const std::uint64_t number = at->number;
    waiting.erase(at);
    engines[shard]->handle(Durable{number}, shard);
  }

  // Ends turns and moves messages until nothing is on its way.
  void exchange() {
    for (bool moved = true; moved;) {
      moved = false;
      for (auto& from : engines) {
        from->end_turn();
        for (ShardId to = 0; to < engines.size(); ++to) {
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

  // Of a client that can be told connection.blocked.
  Session& open_blockable(ShardId shard) {
    protocol::Table capabilities;
    capabilities.add_bool("connection.blocked", true);
    protocol::Table properties;
    properties.add_table("capabilities", capabilities);
    return open(shard, properties);
  }

  Session& open(ShardId shard, const protocol::Table& client_properties = {}) {
    Session& session = engines[shard]->open_connection({"127.0.0.1", 1, "127.0.0.1", 2});
    session.receive(protocol::kProtocolHeader);
    protocol::ConnectionStartOk start;
    start.client_properties = client_properties.view();
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

  // Of an empty body: the whole content.
  static Bytes content_header(bool persistent, std::size_t body_size = 0) {
    protocol::Properties properties;
    if (persistent) properties.delivery_mode = std::uint8_t{2};
    const Bytes encoded = properties.encode();
    const std::size_t size = protocol::kContentHeaderSize + encoded.size();
    Bytes header(protocol::kFrameOverhead + size);
    auto* at = protocol::put_frame_header(header.data(), protocol::FrameType::Header, 1, size);
    at = protocol::put_content_header(at, protocol::BasicPublish::kId.class_id, body_size);
    protocol::put_u8(protocol::put_raw(at, encoded), protocol::kFrameEnd);
    return header;
  }

  static Bytes body_frame(protocol::ByteView payload) {
    Bytes frame(protocol::kFrameOverhead + payload.size());
    auto* at =
        protocol::put_frame_header(frame.data(), protocol::FrameType::Body, 1, payload.size());
    protocol::put_u8(protocol::put_raw(at, payload), protocol::kFrameEnd);
    return frame;
  }

  static void publish(Session& session, std::string_view routing_key, bool persistent = false) {
    protocol::BasicPublish method;
    method.routing_key = routing_key;
    send(session, 1, method);
    const Bytes header = content_header(persistent);
    ASSERT_EQ(session.receive(header), header.size());
  }

  template <class M>
  static void append(Bytes& bytes, std::uint16_t channel, const M& method) {
    const std::size_t at = bytes.size();
    bytes.resize(at + protocol::frame_size(method));
    protocol::encode_frame(channel, method, bytes.data() + at);
  }

  static Bytes take_output(Session& session) {
    Bytes bytes;
    while (!session.output().empty()) {
      std::array<protocol::ByteView, 1> slice;
      session.output().gather(slice);
      bytes.insert(bytes.end(), slice[0].begin(), slice[0].end());
      session.output().consume(slice[0].size());
    }
    return bytes;
  }

  static std::vector<std::string> said(Session& session) {
    std::vector<std::string> names;
    const Bytes bytes = take_output(session);
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

  struct Waiting {
    ShardId shard = 0;
    std::uint64_t number = 0;
    persistence::WriteBatch batch;
  };
  std::uint64_t message_bytes = 0;  // in memory, as the broker sees it
  std::vector<std::string> warnings;
  std::vector<Waiting> waiting;  // for the store, if there is one
  std::vector<std::unique_ptr<Engine>> engines;
};

}  // namespace harrier::broker
