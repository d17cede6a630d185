// SPDX-License-Identifier: Apache-2.0
//
// One stream over a store whose answers come when the test says so, and which a test can restart.
#pragma once

#include <deque>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "broker/core/queue.hpp"
#include "broker/core/stream.hpp"
#include "persistence/memory_store.hpp"

namespace harrier::broker {

class StreamFixture : public testing::Test, protected Outlet {
 protected:
  using Texts = std::vector<std::string>;
  using Offsets = std::vector<std::uint64_t>;
  static constexpr std::size_t kBodyBytes = 100;

  StreamFixture() {
    residents.window_bytes = 3 * message("")->footprint();
    residents.bytes_max = 100 * residents.window_bytes;
    arguments.add("x-queue-type", "stream");
  }

  static MessagePtr message(const std::string& filter, std::size_t size = kBodyBytes) {
    protocol::Properties properties;
    if (!filter.empty())
      properties.headers = protocol::Table().add("x-stream-filter-value", filter);
    const std::vector<std::uint8_t> body(size);
    return protocol::Message::create("", "s", properties.encode(), body);
  }

  // ---- Outlet ----
  void deliver(Delivery delivery) override {
    EXPECT_TRUE(delivery.shows_offset);
    EXPECT_FALSE(delivery.redelivered);
    got[delivery.consumer.consumer].push_back(delivery.seq - 1);
    deliveries.push_back(std::move(delivery));
  }
  void notify(ConnectionId, ShardMessage notice) override {
    if (std::holds_alternative<ConsumerCancelled>(notice)) ++cancelled;
  }
  void record(persistence::Record record) override {
    if (const auto* purge = std::get_if<persistence::Purge>(&record))
      purges.push_back({purge->from, purge->up_to});
    batch.add(std::move(record));
  }
  void fetch(StoreId, const FetchRequest& request) override {
    fetches.push_back(request);
    ++fetch_count;
  }
  void before_commit(QueueId) override { ++late_writes; }
  Millis unix_ms() const override { return now; }
  void wake_at(QueueId, Millis, Millis at) override { alarm = at; }
  std::uint64_t current_batch() const override { return committed + 1; }
  std::uint64_t durable_through() const override { return durable; }

  void open() {
    routing::QueueEntry entry;
    entry.id = QueueId{1};
    entry.name = "s";
    entry.durable = true;
    entry.arguments = arguments;
    queue = std::make_unique<Queue>(std::make_shared<const routing::QueueEntry>(entry), "/",
                                    UnsentLimits{100'000, 100'000'000}, &residents);
  }
  // The process ends; what is durable is what the next one finds.
  void restart() {
    queue.reset();
    batch = {};
    waiting.clear();
    fetches.clear();
    deliveries.clear();
    residents.waiting.clear();
    committed = durable;
    open();
    persistence::Recovery recovery;
    recovery.head_bytes_max = 0;
    ASSERT_TRUE(store.recover(recovery).ok());
    for (const auto& held : recovery.queues) ASSERT_TRUE(queue->restore(held, false));
    for (const auto& definition : recovery.definitions) {
      auto name = StreamOffsets::parse_name(definition.name);
      ASSERT_TRUE(name) << definition.name;
      ASSERT_TRUE(queue->restore_stream_offset(std::move(name->tag), definition.value));
    }
    queue->start(*this);
  }

  void publish(std::size_t count = 1, const std::string& filter = "") {
    for (std::size_t i = 0; i < count; ++i) queue->publish(message(filter), *this);
  }
  // The turn ends: its batch is on its way.
  void commit() {
    if (late_writes > 0) queue->write_late(*this);
    late_writes = 0;
    if (batch.empty()) return;
    waiting.push_back(std::exchange(batch, {}));
    ++committed;
  }
  void make_durable() {
    commit();
    while (!waiting.empty()) {
      store.commit(std::move(waiting.front()), nullptr);
      waiting.pop_front();
      ++durable;
      wake_waiting();
    }
  }
  void wake_waiting() {
    for (const QueueId id : std::exchange(residents.waiting, {})) {
      ASSERT_EQ(id, QueueId{1});
      queue->store_moved(*this);
    }
  }
  void write(std::size_t count, const std::string& filter = "") {
    publish(count, filter);
    make_durable();
  }

  void consume(std::uint32_t number, StreamSubscription wish, std::uint32_t prefetch = 100) {
    Consume request;
    request.queue = QueueId{1};
    request.consumer = ref(number);
    request.prefetch = prefetch;
    request.stream = std::make_shared<const StreamSubscription>(std::move(wish));
    ASSERT_FALSE(queue->consume(request));
    queue->deliver(*this);
  }
  static StreamSubscription from(StreamOffset offset) {
    StreamSubscription wish;
    wish.offset = offset;
    return wish;
  }
  static StreamSubscription tracked(const std::string& tag) {
    StreamSubscription wish;
    wish.tag = tag;
    return wish;
  }
  static ConsumerRef ref(std::uint32_t number) {
    return {{ConnectionId{1}, number, static_cast<std::uint16_t>(number + 1)}, number};
  }
  void settle(const Delivery& delivery, Outcome outcome = Outcome::Ack, bool more = false) {
    queue->settle({QueueId{1}, delivery.seq, delivery.slot, outcome, more}, *this);
  }
  // Everything that was delivered is acknowledged.
  void settle_all() {
    for (const Delivery& delivery : std::exchange(deliveries, {})) settle(delivery);
  }

  // The store answers the oldest fetch.
  void answer() {
    ASSERT_FALSE(fetches.empty());
    const FetchRequest request = fetches.front();
    fetches.pop_front();
    persistence::Fetched page;
    store.fetch(persistence::QueueId{1}, request.from, request.bytes_max,
                [&](auto found) { page = std::move(found); });
    Fetched fetched{StoreId{1}, request.token, std::move(page.messages), page.next};
    queue->fetched(fetched, *this);
  }
  void answer_all() {
    for (int i = 0; i < 10'000 && !fetches.empty(); ++i) answer();
    EXPECT_TRUE(fetches.empty());
  }
  void settle_down() {
    for (int i = 0; i < 10'000; ++i) {
      make_durable();
      answer_all();
      if (deliveries.empty() && batch.empty()) return;
      settle_all();
    }
    FAIL() << "it never comes to rest";
  }
  Offsets taken(std::uint32_t number) { return std::exchange(got[number], {}); }
  static Offsets range(std::uint64_t first, std::uint64_t last) {
    Offsets offsets;
    for (std::uint64_t at = first; at <= last; ++at) offsets.push_back(at);
    return offsets;
  }
  std::size_t in_store() {
    std::size_t count = 0;
    store.fetch(persistence::QueueId{1}, 0, ~std::size_t{0},
                [&](const auto& page) { count = page.messages.size(); });
    return count;
  }

  persistence::MemoryStore store;
  Residents residents;
  protocol::Table arguments;
  std::unique_ptr<Queue> queue;
  persistence::WriteBatch batch;
  std::deque<persistence::WriteBatch> waiting;
  std::uint64_t committed = 0;
  std::uint64_t durable = 0;
  std::deque<FetchRequest> fetches;
  std::size_t fetch_count = 0;
  std::vector<Delivery> deliveries;
  std::map<std::uint32_t, Offsets> got;
  std::vector<SeqRange> purges;
  std::size_t cancelled = 0;
  std::size_t late_writes = 0;
  Millis now = 1'000'000;
  Millis alarm = 0;
};

}  // namespace harrier::broker
