// SPDX-License-Identifier: Apache-2.0
//
// StoredQueueTest with a window of three messages, and short texts for what goes out.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "tests/unit/broker/stored_queue.hpp"

namespace harrier::broker {

inline protocol::MessagePtr message(bool persistent, std::size_t size = 100,
                                    std::string_view routing_key = "q") {
  protocol::Properties properties;
  if (persistent) properties.delivery_mode = std::uint8_t{2};
  const std::vector<std::uint8_t> body(size);
  return protocol::Message::create("", routing_key, properties.encode(), body);
}

// "a1" is message 1 to consumer a, "a1r" the same redelivered; from basic.get it is "1".
class QueuePagingTest : public StoredQueueTest {
 protected:
  using Texts = std::vector<std::string>;

  QueuePagingTest() {
    residents.window_bytes = 3 * message(true)->footprint();
    residents.bytes_max = 100 * residents.window_bytes;
    open(true);
  }

  void deliver(Delivery delivery) override {
    delivered.push_back(static_cast<char>('a' + delivery.consumer.consumer) +
                        std::to_string(delivery.seq) + (delivery.redelivered ? "r" : ""));
    deliveries.push_back(std::move(delivery));
  }
  void notify(ConnectionId, ShardMessage notice) override {
    auto* reply = std::get_if<Reply>(&notice);
    if (reply == nullptr) return;
    if (const auto* got = std::get_if<GetResult>(&reply->result)) replies.push_back(text_of(*got));
    if (std::holds_alternative<QueueMissing>(reply->result)) replies.emplace_back("missing");
  }
  void record(persistence::Record record) override {
    const auto* purge = std::get_if<persistence::Purge>(&record);
    if (purge != nullptr) purges.push_back({purge->from, purge->up_to});
    StoredQueueTest::record(std::move(record));
  }

  static std::string text_of(const GetResult& got) {
    if (!got.message) return "empty";
    return std::to_string(got.seq) + (got.redelivered ? "r" : "") + "/" +
           std::to_string(got.remaining);
  }
  static ConsumerRef ref(char name) {
    const auto number = static_cast<std::uint32_t>(name - 'a');
    return {{ConnectionId{1}, number, static_cast<std::uint16_t>(number + 1)}, number};
  }

  void open(bool durable_queue, const protocol::Table& arguments = {}) {
    routing::QueueEntry entry;
    entry.id = QueueId{1};
    entry.name = "q";
    entry.durable = durable_queue;
    entry.arguments = arguments;
    queue = std::make_unique<Queue>(std::make_shared<const routing::QueueEntry>(entry), "/",
                                    UnsentLimits{1'000, 1'000'000}, &residents);
  }
  void consume(char name, std::uint32_t prefetch = 0, bool no_ack = false) {
    Consume request;
    request.queue = QueueId{1};
    request.consumer = ref(name);
    request.prefetch = prefetch;
    request.no_ack = no_ack;
    ASSERT_FALSE(queue->consume(request));
    queue->deliver(*this);
  }
  // "p" is a persistent message, "t" a transient one.
  void publish(const std::string& kinds) {
    for (const char kind : kinds) queue->publish(message(kind == 'p'), *this);
  }
  void settle(std::size_t delivery, Outcome outcome) {
    const Delivery& d = deliveries.at(delivery);
    queue->settle({QueueId{1}, d.seq, d.slot, outcome}, *this);
  }
  // "later" if the answer is still to come.
  std::string get(char name = 'g', bool no_ack = true) {
    const auto result = queue->get({QueueId{1}, ref(name).channel, no_ack, {{}, 1}}, *this);
    return result ? text_of(*result) : "later";
  }
  void answer_all() { StoredQueueTest::answer_all(100); }
  Texts taken() { return std::exchange(delivered, {}); }

  const std::uint64_t content_bytes = persistence::content_size(*message(true));
  std::vector<std::pair<Seq, Seq>> purges;
  Texts delivered;
  Texts replies;
  std::vector<Delivery> deliveries;
};

}  // namespace harrier::broker
