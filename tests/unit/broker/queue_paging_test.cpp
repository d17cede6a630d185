// SPDX-License-Identifier: Apache-2.0
//
// What a queue keeps in memory, and what it leaves to the store.
#include <algorithm>

#include "tests/unit/broker/paging_fixture.hpp"

namespace harrier::broker {
namespace {

TEST_F(QueuePagingTest, OnlyAWindowStaysInMemory) {
  const auto before = protocol::message_bytes_in_memory();
  publish(std::string(500, 'p'));
  batch = {};  // the others go with their batch
  EXPECT_EQ(queue->ready_count(), 500u);
  EXPECT_EQ(residents.bytes, residents.window_bytes);
  EXPECT_EQ(static_cast<std::uint64_t>(protocol::message_bytes_in_memory() - before),
            residents.window_bytes);
}

// 16 of them, or as many as the shard has memory for.
TEST_F(QueuePagingTest, AFewLargeMessagesStayForConsumersThatAreHere) {
  const protocol::MessagePtr large = message(true, 100'000);
  const std::uint64_t each = large->footprint();
  residents.bytes_max = 100 * each;
  publish("p");
  for (int i = 0; i < 20; ++i) queue->publish(large, *this);
  EXPECT_LT(residents.bytes, residents.window_bytes) << "nobody is here";
  queue->purge(*this);

  consume('a', 1);
  publish("p");
  for (int i = 0; i < 20; ++i) queue->publish(large, *this);
  EXPECT_EQ(residents.bytes, 16 * each);
  queue->purge(*this);
  residents.bytes_max = 8 * each;
  for (int i = 0; i < 20; ++i) queue->publish(large, *this);
  EXPECT_GE(residents.bytes, 3 * each);
  EXPECT_LE(residents.bytes, 4 * each) << "as much as is left for others";
}

TEST_F(QueuePagingTest, OrderHoldsAcrossTheBoundary) {
  publish("pppppppppp");
  make_durable();
  EXPECT_TRUE(fetches.empty()) << "nobody wants any";
  consume('a');
  EXPECT_EQ(taken(), (Texts{"a1", "a2", "a3"}));
  answer_all();
  EXPECT_EQ(taken(), (Texts{"a4", "a5", "a6", "a7", "a8", "a9", "a10"}));
  EXPECT_EQ(queue->ready_count(), 0u);
  EXPECT_EQ(residents.bytes, 0u);
  publish("p");
  EXPECT_EQ(taken(), Texts{"a11"});
  EXPECT_TRUE(fetches.empty());
}

TEST_F(QueuePagingTest, FetchesAheadBelowHalfOfTheWindow) {
  publish("pppppppppp");
  make_durable();
  consume('a', 1);
  settle(0, Outcome::Ack);
  EXPECT_EQ(taken(), (Texts{"a1", "a2"}));
  EXPECT_EQ(fetches.size(), 1u) << "one is left in memory";
  settle(1, Outcome::Ack);
  EXPECT_EQ(fetches.size(), 1u) << "one at a time";
  answer();
  EXPECT_TRUE(fetches.empty()) << "more than half a window";
  EXPECT_LE(residents.bytes, residents.window_bytes);
  EXPECT_GT(residents.bytes, residents.window_bytes / 2);
}

TEST_F(QueuePagingTest, WhatIsNotDurableIsAskedForOnceItIs) {
  publish("ppp");
  make_durable();
  publish("pp");
  consume('a');
  EXPECT_EQ(taken(), (Texts{"a1", "a2", "a3"}));
  EXPECT_TRUE(fetches.empty());
  EXPECT_EQ(residents.waiting, std::vector<QueueId>{QueueId{1}});
  queue->deliver(*this);
  EXPECT_EQ(residents.waiting.size(), 1u);
  make_durable();
  answer();
  EXPECT_EQ(taken(), (Texts{"a4", "a5"}));
}

TEST_F(QueuePagingTest, AnAnswerThatIsShortOfWhatIsPagedIsAskedForAgain) {
  publish("pppp");
  make_durable();
  publish("pp");
  consume('a');
  EXPECT_EQ(taken(), (Texts{"a1", "a2", "a3"}));
  answer();
  EXPECT_EQ(taken(), Texts{"a4"});
  EXPECT_TRUE(fetches.empty());
  make_durable();
  answer();
  EXPECT_EQ(taken(), (Texts{"a5", "a6"}));
}

TEST_F(QueuePagingTest, TransientMessagesAreMergedByPosition) {
  publish("pppptptttpt");
  make_durable();
  publish("t");
  EXPECT_EQ(queue->ready_count(), 12u);
  consume('a');
  answer_all();
  EXPECT_EQ(taken(),
            (Texts{"a1", "a2", "a3", "a4", "a5", "a6", "a7", "a8", "a9", "a10", "a11", "a12"}));
  publish("tp");
  EXPECT_EQ(taken(), (Texts{"a13", "a14"}));
}

TEST_F(QueuePagingTest, AQueueThatKeepsUpGetsPastTheStore) {
  publish("ppp");
  make_durable();
  consume('a', 1);
  publish("ppp");  // two of them are beyond the window, and the last fits the tail
  for (std::size_t i = 0; i < 6; ++i) {
    answer_all();
    settle(i, Outcome::Ack);
    if (i == 2) make_durable();
  }
  EXPECT_EQ(taken(), (Texts{"a1", "a2", "a3", "a4", "a5", "a6"}));
  EXPECT_EQ(residents.bytes, 0u);
}

TEST_F(QueuePagingTest, TheLastMessagesOfAQueueThatIsBeingConsumedNeedNoFetch) {
  consume('a', 1);
  publish("pppppp");  // 1 is out, 2 to 4 in memory, 5 in the store only, 6 is the tail
  settle(0, Outcome::Ack);
  settle(1, Outcome::Ack);
  settle(2, Outcome::Ack);
  EXPECT_EQ(taken(), (Texts{"a1", "a2", "a3", "a4"}));
  EXPECT_TRUE(fetches.empty()) << "5 is not durable";
  make_durable();
  ASSERT_EQ(fetches.size(), 1u);
  publish("p");  // replaces 6 as the tail, as far as there is room
  answer();
  settle(3, Outcome::Ack);
  settle(4, Outcome::Ack);
  answer_all();
  EXPECT_EQ(taken(), (Texts{"a5", "a6"}));
  EXPECT_TRUE(fetches.empty());
  settle(5, Outcome::Ack);
  EXPECT_EQ(taken(), Texts{"a7"});
  EXPECT_EQ(durable, 1u) << "7 never had to be read";
}

TEST_F(QueuePagingTest, GetWaitsForTheStore) {
  queue->restore({kStored, 3, 3, 3 * content_bytes, {}, {}}, true);
  batch.add(persistence::Enqueue{kStored, 1, message(true), 0, {}});
  batch.add(persistence::Enqueue{kStored, 2, message(true), 0, {}});
  batch.add(persistence::Enqueue{kStored, 3, message(true), 0, {}});
  make_durable();
  EXPECT_EQ(get(), "later");
  EXPECT_EQ(get(), "later");
  answer();
  EXPECT_EQ(replies, (Texts{"1/2", "2/1"}));
  EXPECT_EQ(get(), "3/0");
  EXPECT_EQ(get(), "empty");
  make_durable();
  EXPECT_EQ(in_store(store), 0u);
}

TEST_F(QueuePagingTest, AGetOfAChannelThatHasGoneTakesNothing) {
  publish("pppp");
  make_durable();
  for (int i = 0; i < 3; ++i) EXPECT_NE(get('g'), "later");
  EXPECT_EQ(get('g'), "later");
  EXPECT_EQ(get('h'), "later");
  EXPECT_FALSE(queue->release(ref('g').channel, *this));
  answer();
  EXPECT_EQ(replies, Texts{"4/0"});
}

TEST_F(QueuePagingTest, APurgeAnswersWaitingGets) {
  publish("pppp");
  make_durable();
  for (int i = 0; i < 3; ++i) get();
  EXPECT_EQ(get(), "later");
  EXPECT_EQ(queue->purge(*this), 1u);
  EXPECT_EQ(replies, Texts{"empty"});
  answer();  // void
  EXPECT_EQ(replies.size(), 1u);
  EXPECT_EQ(queue->ready_count(), 0u);
}

TEST_F(QueuePagingTest, ADeletedQueueAnswersWaitingGets) {
  publish("pppp");
  make_durable();
  for (int i = 0; i < 3; ++i) get();
  EXPECT_EQ(get(), "later");
  queue->close(*this);
  EXPECT_EQ(replies, Texts{"missing"});
}

TEST_F(QueuePagingTest, AReturnedMessageAnswersAWaitingGet) {
  publish("pppp");
  make_durable();
  consume('a', 3);
  queue->cancel(ref('a'));
  EXPECT_EQ(get(), "later");
  settle(1, Outcome::Requeue);
  EXPECT_EQ(replies, Texts{"2r/1"});
  answer();
  EXPECT_EQ(replies.size(), 1u);
  EXPECT_EQ(get(), "4/0");
}

TEST_F(QueuePagingTest, PurgeIsOneRecordForAllThatIsPaged) {
  publish("pppptpp");
  make_durable();
  EXPECT_EQ(queue->purge(*this), 7u);
  EXPECT_EQ(purges, (std::vector<std::pair<Seq, Seq>>{{4, 7}}));
  EXPECT_EQ(batch.size(), 4u) << "three were in memory";
  publish("p");
  make_durable();
  EXPECT_EQ(in_store(store), 1u);
  consume('a');
  EXPECT_EQ(taken(), Texts{"a8"});
}

TEST_F(QueuePagingTest, AFetchOfBeforeAPurgeIsVoid) {
  publish("ppppp");
  make_durable();
  consume('a');
  ASSERT_EQ(fetches.size(), 1u);
  queue->purge(*this);
  publish("pppp");
  taken();
  answer();  // the store does not know of the purge yet
  EXPECT_TRUE(taken().empty());
  settle(0, Outcome::Requeue);
  EXPECT_EQ(taken(), Texts{"a1r"});
}

TEST_F(QueuePagingTest, RequeuedMessagesGoFirstAlsoWhenTheNextIsPaged) {
  publish("pppppp");
  make_durable();
  consume('a', 3);
  EXPECT_EQ(taken(), (Texts{"a1", "a2", "a3"}));
  queue->cancel(ref('a'));
  answer();
  settle(2, Outcome::Requeue);
  settle(0, Outcome::Requeue);
  consume('b');
  answer_all();
  EXPECT_EQ(taken(), (Texts{"b1r", "b3r", "b4", "b5", "b6"}));
}

TEST_F(QueuePagingTest, AutomaticAcknowledgementEmptiesTheStore) {
  publish("ppptpp");
  make_durable();
  consume('a', 0, true);
  answer_all();
  EXPECT_EQ(taken(), (Texts{"a1", "a2", "a3", "a4", "a5", "a6"}));
  make_durable();
  EXPECT_EQ(in_store(store), 0u);
}

TEST_F(QueuePagingTest, AnIdleQueueGivesUpWhatTheStoreHas) {
  publish("tpt");
  EXPECT_GT(residents.bytes, 0u);
  EXPECT_TRUE(queue->evict());
  EXPECT_EQ(residents.bytes, 0u);
  EXPECT_FALSE(queue->evict());
  EXPECT_EQ(queue->ready_count(), 3u);
  publish("p");
  make_durable();
  consume('a');
  answer_all();
  EXPECT_EQ(taken(), (Texts{"a1", "a2", "a3", "a4"}));
}

TEST_F(QueuePagingTest, EvictionVoidsAFetch) {
  publish("pppppp");
  make_durable();
  EXPECT_EQ(get(), "1/5");
  EXPECT_EQ(get(), "2/4");
  ASSERT_EQ(fetches.size(), 1u);
  EXPECT_TRUE(queue->evict());
  answer();
  EXPECT_EQ(residents.bytes, 0u);
  consume('a');
  answer_all();
  EXPECT_EQ(taken(), (Texts{"a3", "a4", "a5", "a6"}));
}

TEST_F(QueuePagingTest, AFullShardKeepsNothingForQueuesWithoutConsumers) {
  residents.bytes_max = 0;
  publish("ppp");
  EXPECT_EQ(residents.bytes, 0u);
  make_durable();
  EXPECT_FALSE(residents.wanted);
  consume('a', 1);
  answer_all();
  EXPECT_EQ(taken(), Texts{"a1"}) << "who can take one gets one";
  EXPECT_TRUE(residents.wanted);
  settle(0, Outcome::Ack);
  answer_all();
  EXPECT_EQ(taken(), Texts{"a2"});
}

TEST_F(QueuePagingTest, TransientMessagesArePagedOutBehindTheWindowAndComeBack) {
  open(false);
  publish("tttttttt");
  EXPECT_EQ(residents.unstored, std::list<QueueId>{QueueId{1}});
  EXPECT_TRUE(queue->page_out(*this));
  publish("t");
  EXPECT_TRUE(queue->page_out(*this));
  EXPECT_FALSE(queue->page_out(*this));
  consume('a');
  EXPECT_EQ(taken(), (Texts{"a1", "a2", "a3"}));
  EXPECT_TRUE(fetches.empty()) << "nothing is there yet";
  store_piece();
  answer();
  EXPECT_EQ(taken().front(), "a4");
  store_piece();
  answer_all();
  EXPECT_EQ(deliveries.back().seq, 9u);
  EXPECT_EQ(deliveries.size(), 9u);
  EXPECT_EQ(in_store(paged), 0u) << "what is back has been dropped";
}

TEST_F(QueuePagingTest, APieceThatLeavesDuringAFetchIsNotOvertaken) {
  publish("pppptpp");
  make_durable();
  consume('a');
  ASSERT_EQ(fetches.size(), 1u);
  EXPECT_TRUE(queue->page_out(*this));  // 5, while 4 and all behind it are asked for
  taken();
  answer();
  EXPECT_EQ(taken(), Texts{"a4"});
  EXPECT_TRUE(fetches.empty()) << "5 is on its way";
  store_piece();
  answer_all();
  EXPECT_EQ(taken(), (Texts{"a5", "a6", "a7"}));
}

TEST_F(QueuePagingTest, APieceThatIsPurgedOnItsWayIsDroppedWhenItArrives) {
  open(false);
  publish("tttttttt");
  EXPECT_TRUE(queue->page_out(*this));
  EXPECT_EQ(queue->purge(*this), 8u);
  store_piece();
  EXPECT_EQ(in_store(paged), 0u);
  EXPECT_TRUE(purges.empty()) << "nothing of it was ever recorded";
}

TEST_F(QueuePagingTest, AClosedQueueLeavesNothingPagedOut) {
  open(false);
  publish("tttttttt");
  EXPECT_TRUE(queue->page_out(*this));
  store_piece();
  EXPECT_GT(in_store(paged), 0u);
  queue->close(*this);
  EXPECT_EQ(in_store(paged), 0u);
}

TEST_F(QueuePagingTest, ARestoredQueueIsAllInTheStore) {
  for (const Seq seq : {2u, 5u, 9u})
    batch.add(persistence::Enqueue{kStored, seq, message(true), 0, {}});
  batch.add(persistence::Requeue{kStored, 5, 2});
  make_durable();
  queue->restore({kStored, 12, 3, 3 * content_bytes, {}, {}}, true);
  EXPECT_EQ(queue->ready_count(), 3u);
  EXPECT_TRUE(queue->may_delete(false, true));
  EXPECT_TRUE(fetches.empty());
  publish("tp");
  make_durable();
  consume('a');
  answer_all();
  EXPECT_EQ(taken(), (Texts{"a2", "a5r", "a9", "a13", "a14"}));
}

TEST_F(QueuePagingTest, AfterACrashEverythingMayHaveBeenDeliveredBefore) {
  for (const Seq seq : {1u, 2u})
    batch.add(persistence::Enqueue{kStored, seq, message(true), 0, {}});
  make_durable();
  queue->restore({kStored, 2, 2, 2 * content_bytes, {}, {}}, false);
  publish("p");
  make_durable();
  consume('a', 2);
  answer_all();
  EXPECT_EQ(taken(), (Texts{"a1r", "a2r"}));
  settle(0, Outcome::Requeue);
  const auto requeue = std::get<persistence::Requeue>(batch.records().back());
  EXPECT_EQ(requeue.delivery_count, 1u) << "it had come back never before";
  settle(1, Outcome::Ack);
  EXPECT_EQ(taken(), (Texts{"a1r", "a3"}));
}

TEST_F(QueuePagingTest, AQueueThatGoesLeavesTheShardsSum) {
  publish("ppp");
  EXPECT_GT(residents.bytes, 0u);
  publish("ptttt");
  EXPECT_EQ(residents.holders.size(), 1u);
  EXPECT_EQ(residents.unstored.size(), 1u);
  queue.reset();
  EXPECT_EQ(residents.bytes, 0u);
  EXPECT_TRUE(residents.holders.empty());
  EXPECT_TRUE(residents.unstored.empty());
}

TEST_F(QueuePagingTest, WithoutAStoreEverythingStaysInMemory) {
  routing::QueueEntry entry;
  entry.id = QueueId{1};
  entry.durable = true;
  queue = std::make_unique<Queue>(std::make_shared<const routing::QueueEntry>(entry), "/",
                                  UnsentLimits{1'000, 1'000'000});
  publish(std::string(20, 'p'));
  consume('a');
  EXPECT_EQ(taken().size(), 20u);
  EXPECT_TRUE(fetches.empty());
}

}  // namespace
}  // namespace harrier::broker
