// SPDX-License-Identifier: Apache-2.0
//
// The oracles of delayed messages, streams and duplicates against made-up histories: what they must
// accept, and each way to break a promise that they must see.
#include <gtest/gtest.h>

#include "tests/crash/delays.hpp"
#include "tests/crash/repeats.hpp"
#include "tests/crash/stream_log.hpp"

namespace harrier::crash_tests {
namespace {

MessageKey key(std::uint64_t number) { return {1, number}; }

// ---- delayed messages ----

constexpr std::int64_t kNow = 1'000'000;
constexpr std::int64_t kDelay = 10'000;
constexpr std::int64_t kDue = kNow + kDelay;

TEST(DelaysTest, NoneComesBeforeItsTime) {
  Delays delays;
  delays.published(key(1), kDelay, kNow);
  EXPECT_THROW(delays.delivered(key(1), false, kDue - Delays::kEarlyMaxMs - 1), Violation);
  EXPECT_NO_THROW(delays.delivered(key(1), false, kDue));
}

TEST(DelaysTest, AConfirmedOneIsOwedAndAnotherMayBeThere) {
  Delays delays;
  for (const std::uint64_t number : {1u, 2u}) delays.published(key(number), kDelay, kNow);
  delays.confirmed(key(1));
  delays.killed();
  EXPECT_EQ(delays.count_bounds(), (std::pair<std::uint64_t, std::uint64_t>(1, 2)));
  EXPECT_THROW(delays.drained(), Violation);
}

TEST(DelaysTest, WhatWasMissingOnceNeverComesBack) {
  Delays delays;
  delays.published(key(1), kDelay, kNow);
  delays.killed();
  EXPECT_NO_THROW(delays.drained());
  EXPECT_THROW(delays.delay_of(key(1)), Violation);
}

TEST(DelaysTest, WhatTheQueueHasOnTheDiskComesAgainOnlyAsRedelivered) {
  Delays delays;
  delays.published(key(1), kDelay, kNow);
  delays.delivered(key(1), false, kDue);
  EXPECT_THROW(delays.delivered(key(1), true, kDue), Violation);  // somebody has it
  delays.returned(key(1));
  EXPECT_THROW(delays.delivered(key(1), false, kDue), Violation);
  delays.killed();
  EXPECT_NO_THROW(delays.delivered(key(1), false, kDue));  // it had not got to the disk
  delays.killed();
  EXPECT_NO_THROW(delays.delivered(key(1), true, kDue));
  delays.killed();
  EXPECT_THROW(delays.delivered(key(1), false, kDue), Violation);
}

TEST(DelaysTest, AStopInGoodOrderWritesWhatWasDelivered) {
  Delays delays;
  delays.published(key(1), kDelay, kNow);
  delays.delivered(key(1), false, kDue);
  delays.stopped_in_good_order();
  EXPECT_THROW(delays.delivered(key(1), false, kDue), Violation);
}

TEST(DelaysTest, WhatIsSettledMayComeBackAfterAKillOnly) {
  Delays delays;
  delays.published(key(1), kDelay, kNow);
  delays.confirmed(key(1));
  delays.delivered(key(1), false, kDue);
  delays.settle_asked(key(1));
  EXPECT_THROW(delays.delivered(key(1), true, kDue), Violation);
  delays.killed();
  EXPECT_EQ(delays.count_bounds().first, 0u);
  EXPECT_NO_THROW(delays.delivered(key(1), true, kDue));
  delays.settle_asked(key(1));
  delays.stopped_in_good_order();
  EXPECT_THROW(delays.delay_of(key(1)), Violation);
}

// ---- a stream ----

class StreamLogTest : public testing::Test {
 protected:
  StreamLogTest() {
    for (std::uint64_t number = 1; number <= 5; ++number) log_.published(key(number));
    log_.seen(0, key(1));
    log_.seen(1, key(2));
  }
  StreamLog log_;
};

TEST_F(StreamLogTest, WhatWasReadStaysWhereItIs) {
  log_.killed();
  EXPECT_NO_THROW(log_.seen(1, key(2)));
  EXPECT_THROW(log_.seen(1, key(3)), Violation);
  EXPECT_THROW(log_.seen(2, key(2)), Violation);
}

TEST_F(StreamLogTest, OffsetsHaveNoGaps) { EXPECT_THROW(log_.seen(3, key(3)), Violation); }

TEST_F(StreamLogTest, OrderOfAPublisher) {
  log_.seen(2, key(4));
  EXPECT_THROW(log_.seen(3, key(3)), Violation);
}

TEST_F(StreamLogTest, AConfirmedMessageMustBeThere) {
  log_.confirmed(key(3));
  log_.killed();
  EXPECT_THROW(log_.read_to_end(2), Violation);
  log_.seen(2, key(3));
  EXPECT_THROW(log_.read_to_end(2), Violation);
  EXPECT_NO_THROW(log_.read_to_end(3));
}

TEST_F(StreamLogTest, WhatWasMissingOnceNeverComesBack) {
  log_.killed();
  log_.read_to_end(2);
  EXPECT_THROW(log_.seen(2, key(3)), Violation);
}

TEST_F(StreamLogTest, ARememberedConsumerGoesOnWhereItWas) {
  log_.begins_at(0);
  log_.acknowledged_below(2);
  log_.stopped_in_good_order();
  EXPECT_THROW(log_.begins_at(1), Violation);
  EXPECT_THROW(log_.begins_at(3), Violation);
  EXPECT_NO_THROW(log_.begins_at(2));
}

TEST_F(StreamLogTest, AKillMayTakeAcksButNotWhereItBegan) {
  log_.begins_at(0);
  log_.acknowledged_below(2);
  log_.killed();
  EXPECT_NO_THROW(log_.begins_at(1));
  log_.killed();
  EXPECT_THROW(log_.begins_at(0), Violation);
  EXPECT_THROW(log_.begins_at(2), Violation);  // acknowledged in a life that has been lost
}

// ---- duplicates ----

class RepeatedIdsTest : public testing::Test {
 protected:
  RepeatedIdsTest() { queue_.deduplicates = true; }
  void audit(const std::vector<Seen>& all) {
    ledger_.audited(queue_, all);
    ledger_.audit_is_over();
  }
  void kill() {
    ledger_.killed();
    ids_.killed();
  }
  Ledger ledger_;
  Queue& queue_ = ledger_.add_queue("q", "", "q");
  RepeatedIds ids_{ledger_, queue_};
};

TEST_F(RepeatedIdsTest, WhatWasLostIsPublishedAgainInItsOrder) {
  for (const std::uint64_t number : {1u, 2u, 3u}) ids_.published(key(number));
  ids_.confirmed(key(1));
  kill();
  audit({{key(1), true}});
  ids_.resumed();
  EXPECT_EQ(ids_.take_lost(), key(2));
  ids_.published(key(2));
  kill();
  audit({{key(1), true}});
  ids_.resumed();
  EXPECT_EQ(ids_.take_lost(), key(2));
  EXPECT_EQ(ids_.take_lost(), key(3));
  EXPECT_EQ(ids_.take_lost(), std::nullopt);
}

TEST_F(RepeatedIdsTest, WhatAnAuditFindsHasBeenTaken) {
  ids_.published(key(1));
  kill();
  audit({{key(1), true}});
  ids_.resumed();
  EXPECT_EQ(ids_.take_lost(), std::nullopt);
  EXPECT_TRUE(queue_.ids.contains(key(1)));
}

TEST_F(RepeatedIdsTest, WhatAClientHadAndIsGoneIsLeftAlone) {
  ids_.published(key(1));
  ledger_.delivered(queue_, {key(1), false});
  ledger_.settle_asked(queue_, key(1));
  kill();
  audit({});
  ids_.resumed();
  EXPECT_EQ(ids_.take_lost(), std::nullopt);
}

TEST_F(RepeatedIdsTest, AnIdThatIsThereTwiceIsSeen) {
  ids_.published(key(1));
  ids_.confirmed(key(1));
  ids_.confirmed(key(1));
  kill();
  EXPECT_THROW(audit({{key(1), true}, {key(1), false}}), Violation);
}

TEST_F(RepeatedIdsTest, AConfirmedDuplicateIsOwed) {
  ids_.published(key(1));
  ids_.confirmed(key(1));
  kill();
  EXPECT_THROW(audit({}), Violation);
}

}  // namespace
}  // namespace harrier::crash_tests
