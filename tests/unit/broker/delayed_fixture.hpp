// SPDX-License-Identifier: Apache-2.0
//
// One queue over a store whose answers and dones come when the test says so, with a clock that the
// test moves: the queue where an exchange delays, or one whose returned messages wait.
#pragma once

#include <deque>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "broker/core/queue.hpp"
#include "persistence/memory_store.hpp"

namespace harrier::broker {

using Texts = std::vector<std::string>;

inline constexpr QueueId kQueue{7};
inline constexpr std::size_t kBodySize = 100;

struct Wish {
  std::int64_t delay_ms = 0;
  bool persistent = true;
  std::string id{};
  bool cancel = false;
  bool replace = false;
  std::uint8_t priority = 0;
};

inline MessagePtr message(const std::string& text, const Wish& wish) {
  protocol::Properties properties;
  properties.headers = protocol::Table();
  if (wish.delay_ms > 0) properties.headers->add_int64("x-delay", wish.delay_ms);
  if (wish.cancel) properties.headers->add_bool("x-delay-cancel", true);
  if (wish.replace) properties.headers->add_bool("x-delay-replace", true);
  if (wish.persistent) properties.delivery_mode = std::uint8_t{2};
  if (wish.priority > 0) properties.priority = wish.priority;
  if (!wish.id.empty()) properties.message_id = wish.id;
  std::string body = text;
  if (body.size() < kBodySize) body.resize(kBodySize, ' ');
  return protocol::Message::create("x", "key", properties.encode(), protocol::as_bytes(body));
}

inline std::string text_of(const protocol::Message& message) {
  const std::string body(protocol::as_text(message.body()));
  return body.substr(0, body.find(' '));
}

class DelayedMessagesTest : public testing::Test, protected Outlet {
 protected:
  DelayedMessagesTest() {
    residents.window_bytes = 8'000;  // a dozen or two
    residents.bytes_max = 1'000'000;
  }

  void open(std::string name, protocol::Table arguments = {}, bool durable_queue = true) {
    entry.id = kQueue;
    entry.name = std::move(name);
    entry.durable = durable_queue;
    entry.arguments = std::move(arguments);
    reopen(true);
  }
  // As a restart does; after a crash what is not durable is gone.
  void reopen(bool clean) {
    queue.reset();
    batch = {};
    fetches.clear();
    alarm = kNeverDue;
    residents.waiting.clear();
    queue = std::make_unique<Queue>(std::make_shared<const routing::QueueEntry>(entry), "/",
                                    UnsentLimits{1'000, 1'000'000}, &residents);
    persistence::Recovery recovery;
    recovery.head_bytes_max = 0;
    ASSERT_TRUE(store.recover(recovery).ok());
    for (const auto& held : recovery.queues) {
      if (queue_of(held.queue) == kQueue) {
        ASSERT_TRUE(queue->restore(held, clean));
      }
    }
    for (const persistence::Define& counter : recovery.definitions) {
      if (const auto numbers = read_delayed_numbers(counter)) queue->restore(*numbers);
    }
    queue->start(*this);
  }

  // ---- Outlet ----
  void deliver(Delivery delivery) override { deliveries.push_back(std::move(delivery)); }
  void notify(ConnectionId, ShardMessage) override {}
  void record(persistence::Record record) override { batch.add(std::move(record)); }
  void dead_letter(DeadLetter letter) override {
    EXPECT_EQ(letter.delayed_by, "x");
    released.push_back(letter.message);
  }
  void wake_at(QueueId, Millis instead_of, Millis at) override {
    EXPECT_EQ(instead_of, alarm);
    alarm = at;
  }
  Millis unix_ms() const override { return now; }
  void fetch(StoreId part, const FetchRequest& request) override {
    Fetched page{part, request.token, {}, {}};
    store.fetch(part, request.from, request.bytes_max, [&](persistence::Fetched fetched) {
      page.messages = std::move(fetched.messages);
      page.next = fetched.next;
    });
    fetches.push_back(std::move(page));
  }
  std::uint64_t current_batch() const override { return durable + 1; }
  std::uint64_t durable_through() const override { return durable; }

  void commit() {
    store.commit(std::exchange(batch, {}), {});
    ++durable;
    for (const QueueId id : std::exchange(residents.waiting, {})) {
      ASSERT_EQ(id, kQueue);
      queue->store_moved(*this);
    }
  }
  void answer() {
    if (fetches.empty()) return;
    Fetched page = std::move(fetches.front());
    fetches.pop_front();
    queue->fetched(page, *this);
  }
  void wake() {
    if (alarm > now) return;
    alarm = kNeverDue;
    queue->wake(*this);
  }
  // Until nothing is left to be done at this time.
  void rest() {
    for (int turns = 0; alarm <= now || !fetches.empty() || !batch.empty(); ++turns) {
      ASSERT_LT(turns, 100'000) << "it does not come to rest";
      wake();
      answer();
      commit();
    }
  }
  void advance(Millis ms) {
    now += ms;
    rest();
  }
  Queue::Taken publish(const std::string& text, const Wish& wish) {
    return queue->publish(message(text, wish), *this);
  }
  Texts take_released() {
    Texts texts;
    for (const MessagePtr& each : std::exchange(released, {})) texts.push_back(text_of(*each));
    return texts;
  }

  persistence::MemoryStore store;
  Residents residents;
  routing::QueueEntry entry;
  persistence::WriteBatch batch;
  std::deque<Fetched> fetches;
  std::vector<Delivery> deliveries;
  std::vector<MessagePtr> released;
  Millis now = 1'700'000'000'000;
  Millis alarm = kNeverDue;
  std::uint64_t durable = 0;
  std::unique_ptr<Queue> queue;
};

class RetryTest : public DelayedMessagesTest {
 protected:
  static protocol::Table retry(std::string_view type, std::string_view strategy = "linear") {
    protocol::Table arguments;
    arguments.add("x-delayed-retry-type", type).add("x-delayed-retry-strategy", strategy);
    arguments.add_int32("x-delayed-retry-min", 100).add_int32("x-delayed-retry-max", 250);
    return arguments;
  }
  void consume(std::uint32_t prefetch = 3) {
    Consume request;
    request.queue = kQueue;
    request.consumer.consumer = 1;
    request.prefetch = prefetch;
    ASSERT_FALSE(queue->consume(request));
    queue->deliver(*this);
    rest();  // what is in the store only has to be fetched
  }
  Texts take_delivered() {
    Texts texts;
    for (const Delivery& each : deliveries) texts.push_back(text_of(*each.message));
    last = std::move(deliveries);
    deliveries.clear();
    return texts;
  }
  void settle(const Delivery& delivery, Outcome outcome) {
    queue->settle({kQueue, delivery.seq, delivery.slot, outcome, false}, *this);
  }
  std::vector<Delivery> last;
};

}  // namespace harrier::broker
