// SPDX-License-Identifier: Apache-2.0
//
// PipelineFixture: clients that send more than their session takes, and what they are answered: for
// pipelined changes of definitions. Two shards with a store; the definitions are on shard 0.
#pragma once

#include <string>
#include <vector>

#include "tests/unit/broker/session_fixture.hpp"

namespace harrier::broker {

using Texts = std::vector<std::string>;

class PipelineFixture : public SessionFixture {
 protected:
  PipelineFixture() : SessionFixture(2, true) {}

  // Keeps what the session does not take yet, as a connection does.
  struct Client {
    Session& session;
    Bytes unsent{};

    void offer() {
      const std::size_t used = session.receive(unsent);
      unsent.erase(unsent.begin(), unsent.begin() + static_cast<std::ptrdiff_t>(used));
    }
  };

  static protocol::QueueDeclare durable(std::string_view name) {
    protocol::QueueDeclare declare;
    declare.queue = name;
    declare.durable = true;
    return declare;
  }

  static void declare(Client& client, std::string_view name) {
    append(client.unsent, 1, durable(name));
    client.offer();
  }

  // Until all that the client sent is handled; how many write batches that took.
  std::size_t finish(Client& client) {
    std::size_t batches = 0;
    for (exchange();; exchange()) {
      batches += waiting.size();
      while (!waiting.empty()) release(waiting.front().shard);
      exchange();
      client.offer();
      exchange();
      if (client.unsent.empty() && waiting.empty()) return batches;
    }
  }

  // Answers, those to declares with name and messages.
  static Texts answers(Session& session) {
    Texts all;
    const Bytes bytes = take_output(session);
    protocol::ByteView rest = bytes;
    while (!rest.empty()) {
      const auto result = protocol::read_frame(rest, 0);
      EXPECT_EQ(result.status, protocol::FrameStatus::Complete);
      if (result.status != protocol::FrameStatus::Complete) break;
      rest = rest.subspan(result.size);
      protocol::QueueDeclareOk ok;
      if (protocol::decode_as(result.frame.payload, ok) == protocol::DecodeStatus::Ok) {
        all.push_back(std::string(ok.queue) + " " + std::to_string(ok.message_count));
      } else {
        const auto id = protocol::peek_method(result.frame.payload);
        all.emplace_back(protocol::name_of(id.value_or(protocol::MethodId{})));
      }
    }
    return all;
  }

  bool exists(ShardId shard, std::string_view name) const {
    return engines[shard]->find_vhost("/")->topology->find_queue(name) != nullptr;
  }

  void delete_queue(Session& session, std::string_view name) {
    protocol::QueueDelete method;
    method.queue = name;
    send(session, 1, method);
    settle();
  }
};

}  // namespace harrier::broker
