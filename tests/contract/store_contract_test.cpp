// SPDX-License-Identifier: Apache-2.0
//
// What every MessageStore must do, run over each implementation (the memory store so far).
#include <algorithm>
#include <array>
#include <map>
#include <memory>
#include <random>
#include <thread>

#include <gtest/gtest.h>

#include "persistence/memory_store.hpp"

namespace harrier::persistence {
namespace {

constexpr std::array<std::uint8_t, 2> kNoProperties = {0, 0};
constexpr QueueId kQueue{7};

protocol::MessagePtr message(std::string_view body) {
  return protocol::Message::create("", "q", kNoProperties, protocol::as_bytes(body));
}

using MakeStore = std::unique_ptr<MessageStore> (*)();

class StoreContract : public testing::TestWithParam<MakeStore> {
 protected:
  void commit(std::vector<Record> records) {
    WriteBatch batch;
    for (Record& record : records) batch.add(std::move(record));
    int calls = 0;
    store_->commit(std::move(batch), [&](const Status& status) {
      EXPECT_TRUE(status.ok()) << status.why();
      ++calls;
    });
    EXPECT_EQ(calls, 1);
  }

  std::vector<Seq> held(QueueId queue = kQueue) {
    Recovery recovery;
    EXPECT_TRUE(store_->recover(recovery).ok());
    std::vector<Seq> seqs;
    for (const StoredMessage& stored : recovery.queues[queue]) seqs.push_back(stored.seq);
    return seqs;
  }

  std::unique_ptr<MessageStore> store_ = GetParam()();
};

TEST_P(StoreContract, GivesBackWhatIsNotSettledInOrder) {
  commit({Enqueue{kQueue, 1, message("a")}, Enqueue{kQueue, 3, message("c")}});
  commit({Enqueue{kQueue, 2, message("b")}, Settle{kQueue, 1}});
  EXPECT_EQ(held(), (std::vector<Seq>{2, 3}));
  EXPECT_EQ(store_->stats().messages, 2u);
}

TEST_P(StoreContract, SettlingInTheSameBatchLeavesNothing) {
  commit({Enqueue{kQueue, 1, message("a")}, Settle{kQueue, 1}});
  EXPECT_TRUE(held().empty());
  EXPECT_EQ(store_->stats().messages, 0u);
}

TEST_P(StoreContract, SettlingTheUnknownChangesNothing) {
  commit({Settle{kQueue, 9}, Requeue{kQueue, 9}, DropQueue{kQueue}});
  EXPECT_EQ(store_->stats().messages, 0u);
}

TEST_P(StoreContract, CountsReturns) {
  commit({Enqueue{kQueue, 1, message("a")}, Requeue{kQueue, 1}});
  commit({Requeue{kQueue, 1}});
  Recovery recovery;
  ASSERT_TRUE(store_->recover(recovery).ok());
  ASSERT_EQ(recovery.queues[kQueue].size(), 1u);
  EXPECT_EQ(recovery.queues[kQueue][0].returns, 2u);
  EXPECT_EQ(protocol::as_text(recovery.queues[kQueue][0].message->body()), "a");
}

TEST_P(StoreContract, DroppingAQueueLeavesTheOthers) {
  commit({Enqueue{kQueue, 1, message("a")}, Enqueue{QueueId{8}, 1, message("b")}});
  commit({DropQueue{kQueue}});
  EXPECT_TRUE(held().empty());
  EXPECT_EQ(held(QueueId{8}), (std::vector<Seq>{1}));
}

TEST_P(StoreContract, DefinitionsAreReplacedAndForgotten) {
  commit({Define{Kind::Queue, "q", "1"}, Define{Kind::Exchange, "x", "2"},
          Define{Kind::Queue, "q", "3"}, Define{Kind::Binding, "b", "4"}});
  commit({Forget{Kind::Binding, "b"}, Forget{Kind::Exchange, "unknown"}});
  Recovery recovery;
  ASSERT_TRUE(store_->recover(recovery).ok());
  EXPECT_EQ(recovery.definitions,
            (std::vector<Define>{{Kind::Exchange, "x", "2"}, {Kind::Queue, "q", "3"}}));
}

TEST_P(StoreContract, FetchesInOrderWithinTheBytesButAtLeastOne) {
  commit({Enqueue{kQueue, 1, message("aaaa")}, Enqueue{kQueue, 2, message("bbbb")},
          Enqueue{kQueue, 3, message("cccc")}});
  const auto fetched = [&](Seq from, std::size_t bytes_max) {
    std::vector<Seq> seqs;
    store_->fetch(kQueue, from, bytes_max,
                  [&](const Status& status, std::vector<StoredMessage> messages) {
                    EXPECT_TRUE(status.ok());
                    for (const StoredMessage& stored : messages) seqs.push_back(stored.seq);
                  });
    return seqs;
  };
  EXPECT_EQ(fetched(1, 1), (std::vector<Seq>{1}));
  EXPECT_EQ(fetched(1, 8), (std::vector<Seq>{1, 2}));
  EXPECT_EQ(fetched(2, 100), (std::vector<Seq>{2, 3}));
  EXPECT_TRUE(fetched(4, 100).empty());
}

TEST_P(StoreContract, AnswersOncePerBatchInOrderForEveryCaller) {
  constexpr int kThreads = 4;
  constexpr int kBatches = 200;
  std::vector<std::vector<int>> answered(kThreads);
  std::vector<std::thread> threads;
  for (int thread = 0; thread < kThreads; ++thread) {
    threads.emplace_back([&, thread] {
      const QueueId queue{static_cast<std::uint64_t>(thread + 1)};
      for (int i = 0; i < kBatches; ++i) {
        WriteBatch batch;
        batch.add(Enqueue{queue, static_cast<Seq>(i + 1), message("m")});
        store_->commit(std::move(batch), [&, thread, i](const Status& status) {
          EXPECT_TRUE(status.ok());
          answered[static_cast<std::size_t>(thread)].push_back(i);
        });
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (const std::vector<int>& order : answered) {
    ASSERT_EQ(order.size(), static_cast<std::size_t>(kBatches));
    EXPECT_TRUE(std::is_sorted(order.begin(), order.end()));
  }
  EXPECT_EQ(store_->stats().batches, static_cast<std::uint64_t>(kThreads * kBatches));
  EXPECT_EQ(store_->stats().messages, static_cast<std::uint64_t>(kThreads * kBatches));
}

TEST_P(StoreContract, RandomBatchesGiveWhatASimpleModelGives) {
  std::mt19937 random(4711);
  std::map<Seq, std::uint32_t> model;
  Seq next = 1;
  for (int round = 0; round < 500; ++round) {
    std::vector<Record> records;
    for (int i = 0; i < 5; ++i) {
      const Seq any = 1 + random() % (next + 1);
      switch (random() % 4) {
        case 0:
          model.erase(any);
          records.push_back(Settle{kQueue, any});
          break;
        case 1:
          if (const auto at = model.find(any); at != model.end()) ++at->second;
          records.push_back(Requeue{kQueue, any});
          break;
        default:
          model[next] = 0;
          records.push_back(Enqueue{kQueue, next++, message("m")});
      }
    }
    commit(std::move(records));
  }
  Recovery recovery;
  ASSERT_TRUE(store_->recover(recovery).ok());
  std::map<Seq, std::uint32_t> got;
  for (const StoredMessage& stored : recovery.queues[kQueue]) got[stored.seq] = stored.returns;
  EXPECT_EQ(got, model);
}

INSTANTIATE_TEST_SUITE_P(Memory, StoreContract, testing::Values(MakeStore([] {
                           return std::unique_ptr<MessageStore>(std::make_unique<MemoryStore>());
                         })));

}  // namespace
}  // namespace harrier::persistence
