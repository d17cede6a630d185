// SPDX-License-Identifier: Apache-2.0
//
// tx.commit over several shards: one write batch on each, joined, and commit-ok after the last one.
#include <map>
#include <set>

#include "tests/unit/broker/session_fixture.hpp"

namespace harrier::broker {
namespace {

using persistence::TransactionPart;
using Texts = std::vector<std::string>;

class TxDurabilityTest : public SessionFixture {
 protected:
  static CoreOptions small_window() {
    CoreOptions options;
    options.shard_window_bytes = 2'000;
    return options;
  }

  TxDurabilityTest() : SessionFixture(3, true, small_window()) {
    for (ShardId shard = 0; shard < 3; ++shard) {
      Session& session = open(shard);
      for (const bool durable : {true, false}) {
        protocol::QueueDeclare declare;
        const std::string name = (durable ? "d" : "t") + std::to_string(shard);
        declare.queue = name;
        declare.durable = durable;
        send(session, 1, declare);
        settle();
      }
      said(session);
    }
  }

  Session& open_transaction(ShardId shard) {
    Session& session = open(shard);
    send(session, 1, protocol::TxSelect{});
    said(session);
    return session;
  }

  void commit(Session& session) {
    send(session, 1, protocol::TxCommit{});
    exchange();
  }

  void get(Session& session, std::string_view queue) {
    protocol::BasicGet method;
    method.queue = queue;
    send(session, 1, method);
    settle();
    ASSERT_EQ(said(session).front(), "basic.get-ok");
  }

  std::map<ShardId, std::vector<TransactionPart>> parts() const {
    std::map<ShardId, std::vector<TransactionPart>> all;
    for (const Waiting& each : waiting) {
      for (const TransactionPart& part : each.batch.joined()) all[each.shard].push_back(part);
    }
    return all;
  }
};

TEST_F(TxDurabilityTest, CommitOkWaitsForEveryShard) {
  Session& session = open_transaction(0);
  for (const char* queue : {"d0", "d1", "d2", "d1"}) publish(session, queue, true);
  exchange();
  EXPECT_TRUE(waiting.empty());  // nothing before the commit
  commit(session);
  ASSERT_EQ(waiting.size(), 3u);
  for (const Waiting& each : waiting) {
    EXPECT_EQ(each.batch.size(), each.shard == 1 ? 2u : 1u);
    ASSERT_EQ(each.batch.joined().size(), 1u);
    EXPECT_EQ(each.batch.joined()[0].transaction, waiting[0].batch.joined()[0].transaction);
    EXPECT_EQ(each.batch.joined()[0].parts, 3u);
  }
  for (const ShardId shard : {ShardId{1}, ShardId{0}, ShardId{2}}) {
    EXPECT_EQ(said(session), Texts{});
    release(shard);
    exchange();
  }
  EXPECT_EQ(said(session), Texts{"tx.commit-ok"});
}

TEST_F(TxDurabilityTest, OneShardNeedsNoJoin) {
  Session& session = open_transaction(0);
  publish(session, "d1", true);
  publish(session, "d1", true);
  commit(session);
  ASSERT_EQ(waiting.size(), 1u);
  EXPECT_TRUE(waiting[0].batch.joined().empty());
  EXPECT_EQ(said(session), Texts{});
  settle();
  EXPECT_EQ(said(session), Texts{"tx.commit-ok"});
}

TEST_F(TxDurabilityTest, AcksAloneAreWaitedForToo) {
  Session& session = open_transaction(2);
  for (const char* queue : {"d0", "d1"}) publish(session, queue, true);
  commit(session);
  settle();
  said(session);
  get(session, "d0");
  get(session, "d1");
  send(session, 1, protocol::BasicAck{2, true});
  commit(session);
  EXPECT_EQ(said(session), Texts{});
  ASSERT_EQ(waiting.size(), 2u);
  for (const Waiting& each : waiting) {
    ASSERT_EQ(each.batch.size(), 1u);
    EXPECT_TRUE(std::holds_alternative<persistence::Settle>(each.batch.records()[0]));
    EXPECT_EQ(each.batch.joined().size(), 1u);
  }
  settle();
  EXPECT_EQ(said(session), Texts{"tx.commit-ok"});
}

TEST_F(TxDurabilityTest, PublishesAndAcksOfOneCommitAreJoined) {
  Session& session = open_transaction(0);
  publish(session, "d0", true);
  commit(session);
  settle();
  said(session);
  get(session, "d0");
  send(session, 1, protocol::BasicAck{1, false});
  publish(session, "d2", true);
  commit(session);
  const auto joined = parts();
  ASSERT_EQ(joined.size(), 2u);
  EXPECT_EQ(joined.at(0), joined.at(2));
  settle();
  EXPECT_EQ(said(session), Texts{"tx.commit-ok"});
}

TEST_F(TxDurabilityTest, WhatIsNotStoredNeedsNoStore) {
  Session& session = open_transaction(0);
  for (const char* queue : {"t0", "t1", "t2"}) publish(session, queue, true);
  for (const char* queue : {"d0", "d1"}) publish(session, queue, false);
  commit(session);
  EXPECT_TRUE(waiting.empty());
  EXPECT_EQ(said(session), Texts{"tx.commit-ok"});
}

TEST_F(TxDurabilityTest, ANumberIsUsedOnce) {
  std::set<std::uint64_t> seen;
  for (int round = 0; round < 3; ++round) {
    for (ShardId shard = 0; shard < 3; ++shard) {
      Session& session = open_transaction(shard);
      for (const char* queue : {"d0", "d2"}) publish(session, queue, true);
      commit(session);
      const auto joined = parts();
      ASSERT_EQ(joined.size(), 2u);
      EXPECT_TRUE(seen.insert(joined.at(0).at(0).transaction).second);
      settle();
    }
  }
}

// Two that cross, with each other's shard as their own, are in each other's batches without waiting
// for each other.
TEST_F(TxDurabilityTest, CommitsThatCross) {
  Session& left = open_transaction(0);
  Session& right = open_transaction(1);
  for (Session* session : {&left, &right}) {
    for (const char* queue : {"d0", "d1"}) publish(*session, queue, true);
  }
  send(left, 1, protocol::TxCommit{});
  send(right, 1, protocol::TxCommit{});
  exchange();
  const auto joined = parts();
  EXPECT_EQ(joined.at(0).size(), 2u);
  EXPECT_EQ(joined.at(1).size(), 2u);
  settle();
  EXPECT_EQ(said(left), Texts{"tx.commit-ok"});
  EXPECT_EQ(said(right), Texts{"tx.commit-ok"});
}

// More than the window between two shards: a commit is not cut by back-pressure.
TEST_F(TxDurabilityTest, ACommitLargerThanTheWindowIsOneBatch) {
  Session& session = open_transaction(0);
  constexpr std::size_t kMessages = 100;
  for (std::size_t i = 0; i < kMessages; ++i) publish(session, i % 2 == 0 ? "d1" : "d2", true);
  send(session, 1, protocol::TxCommit{});
  EXPECT_TRUE(engines[0]->congested(1));
  exchange();
  ASSERT_EQ(waiting.size(), 2u);
  for (const Waiting& each : waiting) EXPECT_EQ(each.batch.size(), kMessages / 2);
  settle();
  EXPECT_EQ(said(session), Texts{"tx.commit-ok"});
}

}  // namespace
}  // namespace harrier::broker
