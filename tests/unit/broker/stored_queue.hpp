// SPDX-License-Identifier: Apache-2.0
//
// One queue over a store whose answers come when the test says so: what all tests of paging queues
// have in common. Tests derive from it, open the queue, and see what it delivers.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "broker/core/queue.hpp"
#include "persistence/memory_store.hpp"

namespace harrier::broker {

class StoredQueueTest : public testing::Test, protected Outlet {
 protected:
  void record(persistence::Record record) override { batch.add(std::move(record)); }
  void fetch(StoreId part, const FetchRequest& request) override {
    fetches.emplace_back(part, request);
  }
  void page_out(StoreId part, std::vector<persistence::StoredMessage> messages,
                std::uint64_t token) override {
    pieces.push_back({{part, token}, std::move(messages)});
  }
  void drop_paged(StoreId part, Seq from, Seq up_to) override {
    paged.drop_paged(part, from, up_to);
  }
  std::uint64_t current_batch() const override { return durable + 1; }
  std::uint64_t durable_through() const override { return durable; }

  void make_durable() {
    store.commit(std::exchange(batch, {}), nullptr);
    ++durable;
    for (const QueueId id : std::exchange(residents.waiting, {})) {
      ASSERT_EQ(id, QueueId{1});
      queue->store_moved(*this);
    }
  }
  // The store answers the oldest fetch.
  void answer() {
    ASSERT_FALSE(fetches.empty());
    const auto [part, request] = fetches.front();
    fetches.pop_front();
    persistence::Fetched a;
    persistence::Fetched b;
    store.fetch(part, request.from, request.bytes_max, [&](auto page) { a = std::move(page); });
    paged.fetch(part, request.from, request.bytes_max, [&](auto page) { b = std::move(page); });
    auto page = persistence::merge(std::move(a), std::move(b), request.bytes_max);
    Fetched fetched{part, request.token, std::move(page.messages), page.next};
    queue->fetched(fetched, *this);
  }
  void answer_all(int most) {
    for (int i = 0; i < most && !fetches.empty(); ++i) answer();
    EXPECT_TRUE(fetches.empty());
  }
  void store_piece() {
    ASSERT_FALSE(pieces.empty());
    auto [stored, messages] = std::move(pieces.front());
    pieces.pop_front();
    paged.page_out(stored.part, std::move(messages), [](const persistence::Status&) {});
    queue->paged_out(stored, *this);
  }
  static std::size_t in_store(persistence::MemoryStore& which) {
    std::size_t count = 0;
    which.fetch(kStored, 0, ~std::size_t{0}, [&](auto page) { count = page.messages.size(); });
    return count;
  }

  static constexpr persistence::QueueId kStored{1};
  persistence::MemoryStore store;
  persistence::MemoryStore paged;
  persistence::WriteBatch batch;
  std::uint64_t durable = 0;
  std::deque<std::pair<StoreId, FetchRequest>> fetches;
  std::deque<std::pair<PagedOut, std::vector<persistence::StoredMessage>>> pieces;
  Residents residents;
  std::unique_ptr<Queue> queue;
};

}  // namespace harrier::broker
