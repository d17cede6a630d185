// SPDX-License-Identifier: Apache-2.0
//
// One queue with consumers named a, b, c, who hold what they were given until a test settles it,
// and a clock that the test moves. Everything is in memory; what happens is kept as short texts.
#pragma once

#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "broker/core/queue.hpp"

namespace harrier::broker {

// "a1" is message 1 to consumer a, "a1r" the same redelivered.
class QueueFixture : public testing::Test, protected Outlet {
 protected:
  struct Given {
    char consumer = 0;
    Delivery delivery;
  };
  using Texts = std::vector<std::string>;

  static constexpr QueueId kQueue{1};

  void make(const protocol::Table& arguments, Residents* residents = nullptr) {
    routing::QueueEntry entry;
    entry.id = kQueue;
    entry.name = "q";
    entry.arguments = arguments;
    queue = std::make_unique<Queue>(std::make_shared<const routing::QueueEntry>(entry), "/",
                                    UnsentLimits{}, residents);
    queue->start(*this);
  }

  void deliver(Delivery delivery) override {
    const char name = static_cast<char>('a' + delivery.consumer.consumer);
    delivered.push_back(std::string(1, name) + std::to_string(delivery.seq) +
                        (delivery.redelivered ? "r" : ""));
    given.push_back({name, std::move(delivery)});
  }
  void notify(ConnectionId, ShardMessage message) override {
    notices.push_back(std::move(message));
  }
  Millis unix_ms() const override { return now; }
  void wake_at(QueueId, Millis, Millis at) override { alarm = at; }
  void dead_letter(DeadLetter letter) override { letters.push_back(std::move(letter)); }

  // Time passes; the queue is woken when it asked for it.
  void pass(Millis ms) {
    const Millis until = now + ms;
    while (alarm <= until) {
      now = std::max(now, std::exchange(alarm, kNeverDue));
      ASSERT_FALSE(queue->wake(*this));
      ASSERT_TRUE(alarm > now) << "it asks to be woken without end";
    }
    now = until;
  }

  static ConsumerRef ref(char name) {
    const auto number = static_cast<std::uint32_t>(name - 'a');
    return {{ConnectionId{1}, number, static_cast<std::uint16_t>(number + 1)}, number};
  }
  static Consume request(char name, std::uint32_t prefetch = 0, std::int64_t priority = 0) {
    Consume consume;
    consume.queue = kQueue;
    consume.consumer = ref(name);
    consume.prefetch = prefetch;
    consume.priority = priority;
    return consume;
  }
  void consume(const Consume& wanted) {
    ASSERT_FALSE(queue->consume(wanted));
    queue->deliver(*this);
  }
  void consume(char name, std::uint32_t prefetch = 0, std::int64_t priority = 0) {
    consume(request(name, prefetch, priority));
  }
  void cancel(char name) {
    queue->cancel(ref(name));
    queue->deliver(*this);
  }
  void release(char name) {
    std::erase_if(given, [&](const Given& each) { return each.consumer == name; });
    queue->release(ref(name).channel, *this);
  }

  void publish(int count = 1) {
    for (int i = 0; i < count; ++i) publish(protocol::Properties{});
  }
  // To the group of that name, by the header "group".
  void publish_to(const std::string& group) {
    protocol::Properties properties;
    protocol::Table headers;
    headers.add("group", group);
    properties.headers = headers;
    publish(properties);
  }
  void publish(const protocol::Properties& properties) {
    const std::vector<std::uint8_t> body(1);
    queue->publish(protocol::Message::create("", "q", properties.encode(), body), *this);
  }

  // What that consumer holds of that position, settled.
  void settle(char name, Seq seq, Outcome outcome = Outcome::Ack) {
    const auto at = std::ranges::find_if(given, [&](const Given& each) {
      return each.consumer == name && each.delivery.seq == seq;
    });
    ASSERT_NE(at, given.end()) << name << " does not hold " << seq;
    const Delivery delivery = std::move(at->delivery);
    given.erase(at);
    settle(delivery, outcome);
  }
  void settle(const Delivery& delivery, Outcome outcome) {
    queue->settle({kQueue, delivery.seq, delivery.slot, outcome, false,
                   static_cast<std::uint16_t>(delivery.returns)},
                  *this);
  }
  std::vector<std::string> taken() { return std::exchange(delivered, {}); }

  Millis now = 1'000;
  Millis alarm = kNeverDue;
  std::vector<Given> given;  // not settled by its consumer
  Texts delivered;
  std::vector<ShardMessage> notices;
  std::vector<DeadLetter> letters;
  std::unique_ptr<Queue> queue;
};

}  // namespace harrier::broker
