// SPDX-License-Identifier: Apache-2.0
#include "tests/contract/store_contract.hpp"

#include <algorithm>
#include <atomic>
#include <future>
#include <memory>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include "tests/contract/store_model.hpp"

namespace harrier::store_tests {

using namespace harrier::persistence;

namespace {

constexpr std::size_t kAll = std::numeric_limits<std::size_t>::max();

std::vector<Seq> seqs(const std::vector<StoredMessage>& messages) {
  std::vector<Seq> out;
  for (const StoredMessage& message : messages) out.push_back(message.seq);
  return out;
}

using Seqs = std::vector<Seq>;

}  // namespace

void StoreContract::commit(WriteBatch batch) {
  const auto done = std::make_shared<std::promise<Status>>();
  store().commit(std::move(batch), [done](const Status& status) { done->set_value(status); });
  const Status status = done->get_future().get();
  ASSERT_TRUE(status.ok()) << status.error();
}

void StoreContract::page_out(std::uint64_t queue, std::vector<StoredMessage> messages) {
  const auto done = std::make_shared<std::promise<Status>>();
  store().page_out(QueueId{queue}, std::move(messages),
                   [done](const Status& status) { done->set_value(status); });
  const Status status = done->get_future().get();
  ASSERT_TRUE(status.ok()) << status.error();
}

Fetched StoreContract::fetch(std::uint64_t queue, Seq from, std::size_t bytes_max) {
  return fetch_page(store(), QueueId{queue}, from, bytes_max);
}

TEST_P(StoreContract, StartsEmpty) {
  Recovery recovery;
  ASSERT_TRUE(store().recover(recovery).ok());
  EXPECT_TRUE(recovery.definitions.empty());
  EXPECT_TRUE(recovery.queues.empty());
  const Fetched page = fetch(7, 0, kAll);
  EXPECT_TRUE(page.status.ok());
  EXPECT_TRUE(page.messages.empty());
  EXPECT_EQ(page.next, std::nullopt);
}

TEST_P(StoreContract, KeepsEveryFieldOfAMessage) {
  Enqueue record{QueueId{1}, 5, make_message("body", "key", "exchange"), 1234, 5678};
  commit(batch_of({record}));
  reopen();
  const Contents contents = contents_of(store(), kAll, kAll);
  const StoredMessage expected{5, record.message, 1234, 5678, 0};
  EXPECT_EQ(contents.queues.at(1), std::vector{to_text(expected)});
  const Fetched page = fetch(1, 0, kAll);
  ASSERT_EQ(page.messages.size(), 1u);
  EXPECT_EQ(to_text(page.messages[0]), to_text(expected));
}

TEST_P(StoreContract, PositionsMakeTheOrder) {
  commit(batch_of({enqueue(1, 10, "b"), enqueue(1, 20, "c"), enqueue(2, 15, "other")}));
  commit(batch_of({enqueue(1, 5, "a"), enqueue(1, 30, "d")}));
  EXPECT_EQ(seqs(fetch(1, 0, kAll).messages), (Seqs{5, 10, 20, 30}));
  EXPECT_EQ(seqs(fetch(1, 20, kAll).messages), (Seqs{20, 30}));
  EXPECT_EQ(seqs(fetch(1, 21, kAll).messages), Seqs{30});
  EXPECT_EQ(seqs(fetch(1, 31, kAll).messages), Seqs{});
  EXPECT_EQ(seqs(fetch(2, 0, kAll).messages), Seqs{15});
}

TEST_P(StoreContract, RecordsOfABatchApplyInOrder) {
  commit(batch_of({enqueue(1, 1, "a"), Settle{QueueId{1}, 1}, enqueue(1, 2, "b"),
                   DropQueue{QueueId{1}}, enqueue(1, 3, "c")}));
  EXPECT_EQ(seqs(fetch(1, 0, kAll).messages), Seqs{3});
}

TEST_P(StoreContract, SettledMessagesAreGone) {
  for (Seq seq = 1; seq <= 5; ++seq) commit(batch_of({enqueue(1, seq, "x")}));
  commit(batch_of({Settle{QueueId{1}, 3}, Settle{QueueId{1}, 1}, Settle{QueueId{1}, 3},
                   Settle{QueueId{1}, 99}, Settle{QueueId{9}, 1}}));
  EXPECT_EQ(seqs(fetch(1, 0, kAll).messages), (Seqs{2, 4, 5}));
  reopen();
  const Contents contents = contents_of(store(), kAll, kAll);
  EXPECT_EQ(contents.queues.at(1).size(), 3u);
  EXPECT_EQ(contents.queues.count(9), 0u);  // a settle makes no queue
}

TEST_P(StoreContract, RequeueKeepsThePositionAndTheCount) {
  commit(batch_of({enqueue(1, 1, "a"), enqueue(1, 2, "b")}));
  commit(
      batch_of({Requeue{QueueId{1}, 1, 3}, Requeue{QueueId{1}, 9, 1}, Requeue{QueueId{9}, 1, 1}}));
  reopen();
  Recovery recovery;
  ASSERT_TRUE(store().recover(recovery).ok());
  ASSERT_EQ(recovery.queues.size(), 1u);
  ASSERT_EQ(seqs(recovery.queues[0].head), (Seqs{1, 2}));
  EXPECT_EQ(recovery.queues[0].head[0].delivery_count, 3u);
  EXPECT_EQ(recovery.queues[0].head[1].delivery_count, 0u);
}

TEST_P(StoreContract, PurgeIsInclusiveAndKeepsTheCounter) {
  commit(
      batch_of({enqueue(1, 1, "a"), enqueue(1, 2, "b"), enqueue(1, 3, "c"), enqueue(2, 1, "d")}));
  commit(batch_of({Purge{QueueId{1}, 0, 2}, Purge{QueueId{9}, 0, 2}}));
  EXPECT_EQ(seqs(fetch(1, 0, kAll).messages), Seqs{3});
  commit(batch_of({Purge{QueueId{1}, 0, 100}}));
  reopen();
  const Contents contents = contents_of(store(), kAll, kAll);
  EXPECT_EQ(contents.queues.at(1), std::vector<std::string>{});
  EXPECT_EQ(contents.seq_max.at(1), 3u);
  EXPECT_EQ(contents.queues.at(2).size(), 1u);
  EXPECT_EQ(contents.queues.size(), 2u);
}

TEST_P(StoreContract, PurgeTakesNothingOutsideItsRange) {
  commit(batch_of({enqueue(1, 1, "a"), enqueue(1, 2, "b"), enqueue(1, 3, "c")}));
  reopen();
  commit(batch_of({enqueue(1, 4, "d"), enqueue(1, 5, "e"), Purge{QueueId{1}, 2, 4}}));
  EXPECT_EQ(seqs(fetch(1, 0, kAll).messages), (Seqs{1, 5}));
  reopen();
  EXPECT_EQ(seqs(fetch(1, 0, kAll).messages), (Seqs{1, 5}));
}

TEST_P(StoreContract, PagedOutMessagesComeBackInOrderAndAreGoneAfterARestart) {
  commit(batch_of({enqueue(1, 2, "two"), enqueue(1, 4, "four")}));
  page_out(1, {{1, make_message("one"), 11, 12, 3}, {3, make_message("three"), 0, {}, 0}});
  page_out(1, {{5, make_message("five"), 0, {}, 0}});
  const Fetched all = fetch(1, 0, kAll);
  EXPECT_EQ(seqs(all.messages), (Seqs{1, 2, 3, 4, 5}));
  EXPECT_EQ(to_text(all.messages[0]), to_text({1, make_message("one"), 11, 12, 3}));
  const Fetched page = fetch(1, 2, 1);
  EXPECT_EQ(seqs(page.messages), Seqs{2});
  EXPECT_EQ(page.next, 3u);
  const Fetched last = fetch(1, 3, 2 * content_size(*all.messages[2].message));
  EXPECT_EQ(seqs(last.messages), (Seqs{3, 4}));
  EXPECT_EQ(last.next, 5u);
  store().drop_paged(QueueId{1}, 1, 3);
  store().drop_paged(QueueId{7}, 1, 3);
  EXPECT_EQ(seqs(fetch(1, 0, kAll).messages), (Seqs{2, 4, 5}));
  EXPECT_EQ(store().stats().messages, 2u);
  reopen();
  EXPECT_EQ(contents_of(store(), kAll, kAll).queues.at(1).size(), 2u);
}

TEST_P(StoreContract, DropTakesTheWholeQueue) {
  commit(batch_of({enqueue(1, 1, "a"), enqueue(2, 1, "b")}));
  commit(batch_of({DropQueue{QueueId{1}}, DropQueue{QueueId{9}}}));
  reopen();
  const Contents contents = contents_of(store(), kAll, kAll);
  EXPECT_EQ(contents.queues.size(), 1u);
  EXPECT_EQ(contents.queues.count(2), 1u);
}

TEST_P(StoreContract, DefinitionsComeBackByKind) {
  const std::string long_name(3000, 'n');
  commit(batch_of({Define{Kind::Binding, "/", long_name + "b", {3}},
                   Define{Kind::Binding, "/", long_name + "a", {4}},
                   Define{Kind::Queue, "/", "q", {2}}, Define{Kind::Vhost, "", "/", {}},
                   Define{Kind::Exchange, "/", "q", {1}}, Define{Kind::Exchange, "v", "q", {7}},
                   Define{Kind::Exchange, "/", "gone", {9}}}));
  commit(batch_of({Define{Kind::Queue, "/", "q", {5, 6}}, Forget{Kind::Exchange, "/", "gone"},
                   Forget{Kind::Exchange, "/", "never"}}));
  reopen();
  Recovery recovery;
  ASSERT_TRUE(store().recover(recovery).ok());
  const std::vector<Define> expected{{Kind::Vhost, "", "/", {}},
                                     {Kind::Exchange, "/", "q", {1}},
                                     {Kind::Exchange, "v", "q", {7}},
                                     {Kind::Queue, "/", "q", {5, 6}},
                                     {Kind::Binding, "/", long_name + "a", {4}},
                                     {Kind::Binding, "/", long_name + "b", {3}}};
  EXPECT_EQ(recovery.definitions, expected);
}

TEST_P(StoreContract, FetchFillsAPageAndSaysWhereTheNextBegins) {
  // 10 bytes of body each; exchange, routing key and properties count too.
  for (Seq seq = 1; seq <= 6; ++seq) commit(batch_of({enqueue(1, seq * 2, "0123456789")}));
  const std::size_t each = content_size(*make_message("0123456789"));
  Fetched page = fetch(1, 0, 2 * each);
  EXPECT_EQ(seqs(page.messages), (Seqs{2, 4}));
  EXPECT_EQ(page.next, Seq{6});
  page = fetch(1, 5, 3 * each - 1);
  EXPECT_EQ(seqs(page.messages), (Seqs{6, 8}));
  EXPECT_EQ(page.next, Seq{10});
  page = fetch(1, 8, 0);  // at least one
  EXPECT_EQ(seqs(page.messages), Seqs{8});
  EXPECT_EQ(page.next, Seq{10});
  page = fetch(1, 10, 2 * each);
  EXPECT_EQ(seqs(page.messages), (Seqs{10, 12}));
  EXPECT_EQ(page.next, std::nullopt);
}

TEST_P(StoreContract, RecoveryBringsAsMuchHeadAsAskedFor) {
  for (Seq seq = 1; seq <= 3; ++seq) commit(batch_of({enqueue(1, seq, "0123456789")}));
  commit(batch_of({enqueue(2, 1, "x")}));
  commit(batch_of({Settle{QueueId{2}, 1}}));
  reopen();
  Recovery recovery;
  recovery.head_bytes_max = 1;
  ASSERT_TRUE(store().recover(recovery).ok());
  ASSERT_EQ(recovery.queues.size(), 2u);
  EXPECT_EQ(seqs(recovery.queues[0].head), Seqs{1});
  EXPECT_EQ(recovery.queues[0].next, Seq{2});
  EXPECT_EQ(recovery.queues[0].messages, 3u);
  EXPECT_EQ(recovery.queues[1].next, std::nullopt);
  EXPECT_EQ(recovery.queues[1].messages, 0u);
}

TEST_P(StoreContract, RecoveryWithoutHeadsSaysWhereToFetch) {
  commit(batch_of({enqueue(1, 4, "a"), enqueue(1, 5, "b"), Settle{QueueId{1}, 4}}));
  reopen();
  Recovery recovery;
  recovery.head_bytes_max = 0;
  ASSERT_TRUE(store().recover(recovery).ok());
  ASSERT_EQ(recovery.queues.size(), 1u);
  EXPECT_TRUE(recovery.queues[0].head.empty());
  ASSERT_TRUE(recovery.queues[0].next);
  EXPECT_LE(*recovery.queues[0].next, Seq{5});
  EXPECT_EQ(recovery.queues[0].messages, 1u);
}

TEST_P(StoreContract, EqualsTheModelUnderRandomBatches) {
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    const std::unique_ptr<StoreHarness> harness = GetParam().make();
    BatchDice dice(seed);
    StoreModel model;
    for (int round = 0; round < 6; ++round) {
      const auto last = std::make_shared<std::promise<void>>();
      for (std::uint64_t left = dice.below(60);; --left) {
        WriteBatch batch = dice.roll();
        model.apply(batch);
        harness->store().commit(std::move(batch), [last, left](const Status& status) {
          EXPECT_TRUE(status.ok()) << status.error();
          if (left == 0) last->set_value();
        });
        if (left == 0) break;
      }
      last->get_future().get();
      harness->reopen();
      const Contents held = contents_of(harness->store(), dice.below(300), 1 + dice.below(200));
      ASSERT_EQ(to_text(known_for_certain(held)), to_text(known_for_certain(model.contents())));
      for (const auto& [queue, seq_max] : held.seq_max) {
        EXPECT_LE(seq_max, model.contents().seq_max.at(queue));
      }
    }
  }
}

// Two shards whose transactions cross: each has the first part of its own and the second of the
// other's. Neither may wait for the other in vain.
TEST_P(StoreContract, TransactionsThatCrossAreDone) {
  constexpr std::uint64_t kRounds = 200;
  constexpr std::uint64_t kCallers = 2;
  std::mutex mutex;
  std::vector<std::vector<std::uint64_t>> seen(kCallers);
  std::promise<void> all_done;
  std::size_t left = kRounds * kCallers * 2;
  const auto commit_part = [&](std::uint64_t caller, std::uint64_t number, std::uint64_t owner) {
    WriteBatch batch = batch_of({enqueue(1 + caller, 1 + number, "x")});
    batch.join({owner << 48 | number / 2, kCallers});
    if (number % 3 == 0) batch.add(enqueue(11 + caller, 1 + number, "alone"));
    store().commit(std::move(batch), [&, caller, number](const Status& status) {
      EXPECT_TRUE(status.ok()) << status.error();
      const std::lock_guard lock(mutex);
      seen[caller].push_back(number);
      if (--left == 0) all_done.set_value();
    });
  };
  std::vector<std::thread> callers;
  for (std::uint64_t caller = 0; caller < kCallers; ++caller) {
    callers.emplace_back([&, caller] {
      for (std::uint64_t round = 0; round < kRounds; ++round) {
        commit_part(caller, 2 * round, caller);
        commit_part(caller, 2 * round + 1, 1 - caller);
      }
    });
  }
  for (std::thread& caller : callers) caller.join();
  all_done.get_future().get();
  reopen();
  for (std::uint64_t caller = 0; caller < kCallers; ++caller) {
    EXPECT_TRUE(std::ranges::is_sorted(seen[caller]));
    EXPECT_EQ(seen[caller].size(), 2 * kRounds);
    EXPECT_EQ(fetch(1 + caller, 0, kAll).messages.size(), 2 * kRounds);
  }
}

// A part may have nothing of its own to keep, and a batch may be part of many.
TEST_P(StoreContract, APartMayBeEmptyAndABatchPartOfMany) {
  std::promise<void> first;
  WriteBatch empty;
  empty.join({1, 2});
  empty.join({2, 2});
  store().commit(std::move(empty), [&first](const Status& status) {
    EXPECT_TRUE(status.ok());
    first.set_value();
  });
  WriteBatch other = batch_of({enqueue(1, 1, "a")});
  other.join({2, 2});
  other.join({1, 2});
  commit(std::move(other));
  first.get_future().get();
  EXPECT_EQ(seqs(fetch(1, 0, kAll).messages), Seqs{1});
}

TEST_P(StoreContract, EmptyBatchesAreDoneToo) {
  commit(WriteBatch());
  EXPECT_EQ(store().stats().batches, 1u);
  EXPECT_EQ(store().stats().records, 0u);
}

TEST_P(StoreContract, StatsCount) {
  const std::uint64_t each = content_size(*make_message("x"));
  commit(batch_of({enqueue(1, 1, "x"), enqueue(1, 2, "x"), Define{Kind::Queue, "/", "q", {1}}}));
  commit(batch_of({Settle{QueueId{1}, 1}}));
  const StoreStats stats = store().stats();
  EXPECT_EQ(stats.batches, 2u);
  EXPECT_EQ(stats.records, 4u);
  EXPECT_EQ(stats.enqueued_bytes, 2 * each);
  EXPECT_EQ(stats.queues, 1u);
  EXPECT_EQ(stats.messages, 1u);
  EXPECT_EQ(stats.message_bytes, each);
  EXPECT_EQ(stats.definitions, 1u);
  EXPECT_TRUE(stats.failure.ok());
}

TEST_P(StoreContract, DoneComesOnceAndInOrderForEachCaller) {
  constexpr std::size_t kCallers = 4;
  constexpr std::size_t kBatches = 500;
  std::mutex mutex;
  std::vector<std::vector<std::size_t>> seen(kCallers);
  std::size_t left = kCallers * kBatches;
  std::promise<void> all_done;
  std::vector<std::thread> callers;
  for (std::size_t caller = 0; caller < kCallers; ++caller) {
    callers.emplace_back([&, caller] {
      for (std::size_t i = 0; i < kBatches; ++i) {
        store().commit(batch_of({enqueue(1 + caller, 1 + i, "x")}),
                       [&, caller, i](const Status& s) {
                         EXPECT_TRUE(s.ok());
                         const std::lock_guard lock(mutex);
                         seen[caller].push_back(i);
                         if (--left == 0) all_done.set_value();
                       });
      }
    });
  }
  for (std::thread& caller : callers) caller.join();
  all_done.get_future().get();
  reopen();  // nothing can come late after this
  for (std::size_t caller = 0; caller < kCallers; ++caller) {
    ASSERT_EQ(seen[caller].size(), kBatches);
    for (std::size_t i = 0; i < kBatches; ++i) ASSERT_EQ(seen[caller][i], i);
    EXPECT_EQ(fetch(1 + caller, 0, kAll).messages.size(), kBatches);
  }
}

TEST_P(StoreContract, BatchesAreSeenWholeOrNotAtAll) {
  constexpr Seq kGroup = 3;
  constexpr Seq kBatches = 500;
  std::atomic<bool> stop = false;
  std::thread writer([&] {
    for (Seq first = kGroup; first < kBatches * kGroup; first += kGroup) {
      WriteBatch batch;
      for (Seq i = 0; i < kGroup; ++i) batch.add(Settle{QueueId{1}, first + i - kGroup});
      for (Seq i = 0; i < kGroup; ++i) batch.add(enqueue(1, first + i, "x"));
      commit(std::move(batch));
    }
    stop = true;
  });
  while (!stop) {
    const Seqs held = seqs(fetch(1, 0, kAll).messages);
    if (held.empty()) continue;  // before the first batch
    EXPECT_EQ(held, (Seqs{held[0], held[0] + 1, held[0] + 2}));
    EXPECT_EQ(held[0] % kGroup, 0u);
  }
  writer.join();
}

TEST_P(StoreContract, CallbacksMayCommitAndFetch) {
  const auto fetched = std::make_shared<std::promise<Fetched>>();
  MessageStore& s = store();
  s.commit(batch_of({enqueue(1, 1, "a")}), [&s, fetched](const Status&) {
    s.commit(batch_of({enqueue(1, 2, "b")}), [&s, fetched](const Status&) {
      s.fetch(QueueId{1}, 0, kAll,
              [fetched](Fetched page) { fetched->set_value(std::move(page)); });
    });
  });
  EXPECT_EQ(seqs(fetched->get_future().get().messages), (Seqs{1, 2}));
}

}  // namespace harrier::store_tests
