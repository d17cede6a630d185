// SPDX-License-Identifier: Apache-2.0
//
// The oracle of the crash test against made-up histories: what it must accept, and each way to
// break a promise that it must see.
#include "tests/crash/ledger.hpp"

#include <gtest/gtest.h>

namespace harrier::crash_tests {
namespace {

class LedgerTest : public testing::Test {
 protected:
  static MessageKey key(std::uint64_t number) { return {1, number}; }
  static Seen seen(std::uint64_t number, bool redelivered = false) {
    return {key(number), redelivered};
  }
  void publish(std::uint64_t number, bool persistent = true) {
    ledger_.published(queue_, key(number), persistent);
    ledger_.confirmed(queue_, key(number));
  }
  void acknowledge(std::uint64_t number) {
    ledger_.delivered(queue_, seen(number));
    ledger_.settle_asked(queue_, key(number));
  }
  void audit(const std::vector<Seen>& all) {
    ledger_.audited(queue_, all);
    ledger_.audit_is_over();
  }
  // What the audit complains about; "" if it is content.
  std::string complaint(const std::vector<Seen>& all) {
    try {
      audit(all);
    } catch (const Violation& violation) {
      return violation.what();
    }
    return {};
  }

  Ledger ledger_;
  Queue& queue_ = ledger_.add_queue("q", "", "q");
  Queue& other_ = ledger_.add_queue("other", "", "other");
};

TEST_F(LedgerTest, AConfirmedMessageMustBeThere) {
  publish(1);
  publish(2);
  ledger_.killed();
  EXPECT_NE(complaint({seen(2)}).find("message 1 of publisher 1 in queue q is lost"),
            std::string::npos);
}

TEST_F(LedgerTest, AnUnconfirmedOneMayBeThereAndThenStays) {
  for (const std::uint64_t number : {1u, 2u}) ledger_.published(queue_, key(number), true);
  ledger_.killed();
  EXPECT_EQ(complaint({seen(2)}), "");
  ledger_.killed();
  EXPECT_NE(complaint({}).find("message 2"), std::string::npos);
}

TEST_F(LedgerTest, WhatWasMissingOnceNeverComesBack) {
  ledger_.published(queue_, key(1), true);
  ledger_.killed();
  EXPECT_EQ(complaint({}), "");
  ledger_.killed();
  EXPECT_NE(complaint({seen(1)}), "");
}

TEST_F(LedgerTest, AnAcknowledgedOneMayComeBackButOnlyRedelivered) {
  publish(1);
  publish(2);
  publish(3);
  for (const std::uint64_t number : {1u, 2u, 3u}) acknowledge(number);
  ledger_.killed();
  EXPECT_EQ(complaint({seen(2, true)}), "");
  EXPECT_EQ(ledger_.totals().came_back, 1u);
  ledger_.killed();
  EXPECT_NE(complaint({seen(2, false)}).find("without the redelivered flag"), std::string::npos);
}

TEST_F(LedgerTest, AnAcknowledgedOneIsNotBackInTheSameLife) {
  publish(1);
  acknowledge(1);
  EXPECT_THROW(ledger_.delivered(queue_, seen(1, true)), Violation);
}

TEST_F(LedgerTest, AStopInGoodOrderMakesAcksCertain) {
  publish(1);
  publish(2);
  acknowledge(1);
  ledger_.stopped_in_good_order();
  EXPECT_NE(complaint({seen(1, true), seen(2)}), "");
}

TEST_F(LedgerTest, AStopInGoodOrderSaysNothingAboutAcksBeforeAKill) {
  publish(1);
  acknowledge(1);
  ledger_.killed();
  ledger_.stopped_in_good_order();
  EXPECT_EQ(complaint({seen(1, true)}), "");
}

TEST_F(LedgerTest, Order) {
  for (const std::uint64_t number : {1u, 2u, 3u}) publish(number);
  ledger_.killed();
  EXPECT_NE(complaint({seen(1), seen(3), seen(2)}).find("out of order"), std::string::npos);
}

TEST_F(LedgerTest, Duplicates) {
  publish(1);
  ledger_.killed();
  EXPECT_NE(complaint({seen(1), seen(1, true)}).find("twice"), std::string::npos);
}

TEST_F(LedgerTest, TransientOnesEndWithTheBroker) {
  publish(1, false);
  publish(2);
  ledger_.delivered(queue_, seen(1));
  ledger_.killed();
  EXPECT_NE(complaint({seen(1, true), seen(2)}).find("outlived"), std::string::npos);
}

TEST_F(LedgerTest, ATransactionIsThereAsAWhole) {
  publish(1);
  ledger_.delivered(queue_, seen(1));
  const GroupId group = ledger_.new_group();
  ledger_.published(other_, key(2), true, group);
  ledger_.published(other_, key(3), true, group);
  ledger_.settle_asked(queue_, key(1), group);
  ledger_.killed();
  ledger_.audited(queue_, {});  // the ack is there
  EXPECT_THROW(ledger_.audited(other_, {seen(3)}), Violation);
}

TEST_F(LedgerTest, ATransactionMayBeMissingAsAWhole) {
  publish(1);
  ledger_.delivered(queue_, seen(1));
  const GroupId group = ledger_.new_group();
  ledger_.published(other_, key(2), true, group);
  ledger_.settle_asked(queue_, key(1), group);
  ledger_.killed();
  ledger_.audited(queue_, {seen(1, true)});
  ledger_.audited(other_, {});
  ledger_.audit_is_over();
  EXPECT_FALSE(ledger_.open_groups(queue_) || ledger_.open_groups(other_));
}

TEST_F(LedgerTest, ACommittedTransactionIsCertain) {
  publish(1);
  ledger_.delivered(queue_, seen(1));
  const GroupId group = ledger_.new_group();
  ledger_.published(other_, key(2), true, group);
  ledger_.settle_asked(queue_, key(1), group);
  ledger_.committed(group, {&queue_, &other_});
  ledger_.killed();
  EXPECT_THROW(ledger_.audited(other_, {}), Violation);
  EXPECT_NE(complaint({seen(1, true)}), "");
}

TEST_F(LedgerTest, APurgeIsAllOrNothing) {
  for (const std::uint64_t number : {1u, 2u, 3u}) publish(number);
  acknowledge(1);  // gone for another reason: says nothing about the purge
  ledger_.purge_asked(queue_, ledger_.new_group());
  ledger_.killed();
  EXPECT_NE(complaint({seen(3)}).find("in part"), std::string::npos);
}

TEST_F(LedgerTest, ABodyThatWasChangedIsSeen) {
  for (const std::uint32_t size : {16u, 17u, 100'000u}) {
    std::vector<std::uint8_t> body = make_body(key(7), size);
    EXPECT_EQ(read_body(body), key(7));
    body.back() ^= 1;
    EXPECT_NE(read_body(body), key(7));
    body.pop_back();
    EXPECT_EQ(read_body(body), std::nullopt);
  }
}

// A queue whose dead letters go to two others; the first of two messages was rejected in it.
struct Death {
  Death() {
    dying.dead_letters_to = {&grave, &other_grave};
    grave.died_in = other_grave.died_in = dying.name;
    for (const std::uint64_t number : {1u, 2u}) {
      ledger.published(dying, {1, number}, true);
      ledger.confirmed(dying, {1, number});
    }
    ledger.delivered(dying, fresh);
    ledger.rejected(dying, fresh.key);
  }
  // What the audit of all three complains about; "" if it is content.
  std::string complaint(const std::vector<Seen>& left, const std::vector<Seen>& buried,
                        const std::vector<Seen>& buried_too) {
    try {
      ledger.audited(dying, left);
      ledger.audited(grave, buried);
      ledger.audited(other_grave, buried_too);
      ledger.audit_is_over();
    } catch (const Violation& violation) {
      return violation.what();
    }
    return {};
  }

  const Seen fresh{{1, 1}, false};
  const Seen again{{1, 1}, true};
  const Seen second{{1, 2}, false};
  const Seen second_again{{1, 2}, true};
  Ledger ledger;
  Queue& dying = ledger.add_queue("dying", "", "dying");
  Queue& grave = ledger.add_queue("grave", "graves", "dying");
  Queue& other_grave = ledger.add_queue("other grave", "graves", "dying");
};

TEST(Death, IsInAllTheOthers) {
  Death death;
  death.ledger.killed();
  EXPECT_EQ(death.complaint({death.second}, {death.fresh}, {death.fresh}), "");
  death.ledger.killed();
  const std::string text = death.complaint({death.second_again}, {}, {death.again});
  EXPECT_NE(text.find("is lost"), std::string::npos) << text;
}

TEST(Death, OrHasNotHappenedAndMayHappenLater) {
  Death death;
  death.ledger.killed();
  EXPECT_EQ(death.complaint({death.again, death.second}, {}, {}), "");
  death.ledger.delivered(death.dying, death.again);
  death.ledger.rejected(death.dying, death.again.key);
  death.ledger.killed();
  EXPECT_EQ(death.complaint({death.second_again}, {death.fresh}, {death.fresh}), "");
}

TEST(Death, IsNeverHalfDone) {
  for (int places = 0; places < 8; ++places) {
    const bool left = places & 1, buried = places & 2, buried_too = places & 4;
    Death death;
    death.ledger.killed();
    std::vector<Seen> rest = {death.second};
    if (left) rest.insert(rest.begin(), death.again);
    const std::vector<Seen> none, there = {death.fresh};
    const std::string text =
        death.complaint(rest, buried ? there : none, buried_too ? there : none);
    EXPECT_EQ(text.empty(), buried == buried_too && buried != left) << places << text;
  }
}

TEST(Death, WhoHasItFromOneMayHaveAcknowledgedIt) {
  Death death;
  death.ledger.delivered(death.grave, death.fresh);
  death.ledger.settle_asked(death.grave, death.fresh.key);
  death.ledger.killed();
  EXPECT_EQ(death.complaint({death.second}, {}, {death.fresh}), "");
}

TEST(Death, DoesNotComeBackInTheSameLife) {
  Death death;
  EXPECT_THROW(death.ledger.delivered(death.dying, death.again), Violation);
}

TEST(Death, IsCertainAfterAStopInGoodOrder) {
  Death death;
  death.ledger.stopped_in_good_order();
  EXPECT_EQ(death.ledger.count_bounds(death.grave).first, 1u);
  const std::string text = death.complaint({death.second}, {}, {});
  EXPECT_NE(text.find("is lost"), std::string::npos) << text;
}

}  // namespace
}  // namespace harrier::crash_tests
