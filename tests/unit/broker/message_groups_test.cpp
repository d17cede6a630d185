// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <map>
#include <random>
#include <set>

#include "tests/unit/broker/queue_fixture.hpp"

namespace harrier::broker {
namespace {

class MessageGroupsTest : public QueueFixture {
 protected:
  static protocol::Table grouped() {
    protocol::Table arguments;
    arguments.add("x-message-group-header", "group");
    return arguments;
  }
  void publish_all(std::string_view groups) {
    for (const char group : groups) publish_to(std::string(1, group));
  }
};

TEST_F(MessageGroupsTest, AGroupStaysWithOneConsumerAndOthersGoOn) {
  make(grouped());
  consume('a', 2);
  consume('b', 2);
  publish_all("xyxyx");
  EXPECT_EQ(taken(), (Texts{"a1", "b2", "a3", "b4"}));
  settle('b', 2);
  EXPECT_TRUE(taken().empty()) << "5 is for a only";
  EXPECT_EQ(queue->ready_count(), 1u);
  settle('a', 1);
  EXPECT_EQ(taken(), Texts{"a5"});
  settle('a', 3);
  settle('a', 5);
  publish_all("x");
  EXPECT_EQ(taken(), Texts{"a6"});  // sticky
}

TEST_F(MessageGroupsTest, AReturnedMessageComesBeforeLaterOnesOfItsGroup) {
  make(grouped());
  consume('a', 1);
  publish_all("xxx");
  settle('a', 1, Outcome::Requeue);
  settle('a', 1);
  settle('a', 2, Outcome::Requeue);
  settle('a', 2);
  EXPECT_EQ(taken(), (Texts{"a1", "a1r", "a2", "a2r", "a3"}));
}

TEST_F(MessageGroupsTest, WithoutAGroupAMessageIsForAnybody) {
  make(grouped());
  consume('a', 2);
  consume('b', 2);
  publish_all("x");
  publish(3);
  EXPECT_EQ(taken(), (Texts{"a1", "b2", "a3", "b4"}));
}

TEST_F(MessageGroupsTest, TheRoutingKeyMayBeTheGroup) {
  protocol::Table arguments;
  arguments.add("x-message-group-header", "routing-key");
  make(arguments);
  consume('a', 2);
  consume('b', 2);
  publish(2);  // all of them have one key
  publish_to("other");
  EXPECT_EQ(taken(), (Texts{"a1", "a2"}));
}

TEST_F(MessageGroupsTest, ANumberIsTheSameGroupInAnyWidth) {
  make(grouped());
  consume('a', 5);
  consume('b', 5);
  for (const bool wide : {false, true}) {
    protocol::Table headers;
    if (wide) {
      headers.add_int64("group", 7);
    } else {
      headers.add_int32("group", 7);
    }
    protocol::Properties properties;
    properties.headers = headers;
    publish(properties);
  }
  EXPECT_EQ(taken(), (Texts{"a1", "a2"}));
}

TEST_F(MessageGroupsTest, AGroupOfOneWhoLeavesWaitsForWhatItHasNotSettled) {
  make(grouped());
  consume('a', 1);
  consume('b', 1);
  publish_all("xx");
  cancel('a');
  EXPECT_EQ(taken(), Texts{"a1"});
  settle('a', 1, Outcome::Requeue);
  settle('b', 1);
  EXPECT_EQ(taken(), (Texts{"b1r", "b2"}));
}

TEST_F(MessageGroupsTest, AChannelThatGoesGivesItsGroupsToTheOthers) {
  make(grouped());
  consume('a', 3);
  consume('b', 5);
  publish_all("xxx");
  release('a');
  EXPECT_EQ(taken(), (Texts{"a1", "a2", "a3", "b1r", "b2r", "b3r"}));
}

TEST_F(MessageGroupsTest, WhoComesGetsAShareOnceNothingOfItIsOut) {
  make(grouped());
  consume('a', 100);
  publish_all("uvwx");
  consume('b', 100);
  publish_all("uvwx");
  EXPECT_EQ(taken().size(), 4u + 2u) << "two groups move, and are not handed out until they may";
  for (Seq seq = 1; seq <= 4; ++seq) settle('a', seq);
  const Texts moved = taken();
  ASSERT_EQ(moved.size(), 2u);
  for (const std::string& each : moved) EXPECT_EQ(each[0], 'b');
}

// What is on its way to others already counts among what is given up.
TEST_F(MessageGroupsTest, WhoIsThereKeepsAShareHoweverManyCome) {
  make(grouped());
  consume('a', 100);
  publish_all("uvwxyz");
  consume('b', 100);
  consume('c', 100);
  taken();
  publish_all("uvwxyz");
  EXPECT_EQ(taken().size(), 2u) << "of six groups a keeps two of three shares";
}

TEST_F(MessageGroupsTest, IdleGroupsMoveAtOnce) {
  make(grouped());
  consume('a', 100);
  publish_all("uvwx");
  for (Seq seq = 1; seq <= 4; ++seq) settle('a', seq);
  consume('b', 100);
  taken();
  publish_all("uvwx");
  std::map<char, int> shares;
  for (const std::string& each : taken()) ++shares[each[0]];
  EXPECT_EQ(shares, (std::map<char, int>{{'a', 2}, {'b', 2}}));
}

TEST_F(MessageGroupsTest, TheHighestPriorityTakesGroupsFirst) {
  make(grouped());
  consume('a', 2);
  consume('b', 1, 5);
  publish_all("xyz");
  EXPECT_EQ(taken(), (Texts{"b1", "a2", "a3"}));
}

TEST_F(MessageGroupsTest, GetTakesWhatIsOutNowhereElse) {
  make(grouped());
  consume('a', 1);
  publish_all("xxy");
  EXPECT_EQ(taken(), Texts{"a1"});
  const Get get{kQueue, ref('c').channel, false, {}};
  const auto other = queue->get(get, *this);
  ASSERT_TRUE(other && other->message);
  EXPECT_EQ(other->seq, 3u);
  publish_all("yy");
  settle('a', 1);  // room for another: the next of its own group, none of the one that is lent
  EXPECT_EQ(taken(), Texts{"a2"});
  const auto more = queue->get(get, *this);
  ASSERT_TRUE(more && more->message);
  EXPECT_EQ(more->seq, 4u);
  EXPECT_FALSE(queue->get({kQueue, ref('d').channel, true, {}}, *this)->message);
  settle('a', 2);
  for (const auto& each : {other, more})
    queue->settle({kQueue, each->seq, each->slot, Outcome::Ack}, *this);
  EXPECT_EQ(taken(), Texts{"a5"});
}

TEST_F(MessageGroupsTest, WhoIsTooSlowLosesTheGroup) {
  protocol::Table arguments = grouped();
  arguments.add_int64("x-consumer-timeout", 100);
  make(arguments);
  consume('a', 1);
  consume('b', 1);
  publish_all("xx");
  pass(100);
  settle('b', 1);
  EXPECT_EQ(taken(), (Texts{"a1", "b1r", "b2"}));
}

// While a cap keeps everything back, so that nobody looks at whose turn it is.
TEST_F(MessageGroupsTest, WhoLeavesAndComesAgainHasOneTurnNotTwo) {
  protocol::Table arguments = grouped();
  arguments.add_int64("x-max-unacked", 1);
  make(arguments);
  consume('a');
  publish_all("z");
  consume('c');
  release('c');
  consume('c');
  publish_all("xzxzxz");
  Texts all;
  while (!given.empty()) {
    const Given next = given.front();
    settle(next.consumer, next.delivery.seq);
    for (const std::string& each : taken()) all.push_back(each);
  }
  EXPECT_EQ(all, (Texts{"a1", "c2", "a3", "c4", "a5", "c6", "a7"}));
}

TEST_F(MessageGroupsTest, AGroupMayHaveALimit) {
  protocol::Table arguments = grouped();
  arguments.add_int64("x-group-max-unacked", 1);
  make(arguments);
  consume('a', 10);
  publish_all("xxyy");
  EXPECT_EQ(taken(), (Texts{"a1", "a3"}));
  settle('a', 1);
  EXPECT_EQ(taken(), Texts{"a2"});
}

TEST_F(MessageGroupsTest, PurgedAndExpiredOnesAreForgotten) {
  protocol::Table arguments = grouped();
  arguments.add_int64("x-message-ttl", 100);
  make(arguments);
  consume('a', 1);
  publish_all("xxx");
  EXPECT_EQ(queue->purge(*this), 2u);
  publish_all("xx");
  settle('a', 1);
  EXPECT_EQ(taken(), (Texts{"a1", "a4"}));
  pass(100);
  publish_all("x");
  settle('a', 4);
  EXPECT_EQ(taken(), Texts{"a6"});
}

TEST_F(MessageGroupsTest, MemoryDoesNotGrowWithWhatExpiresBehindAStuckConsumer) {
  protocol::Table arguments = grouped();
  arguments.add_int64("x-max-length", 10);
  make(arguments);
  consume('a', 1);
  for (int i = 0; i < 1'000; ++i) publish_all("x");  // the oldest give way
  EXPECT_EQ(queue->ready_count(), 10u);
  settle('a', 1);
  EXPECT_EQ(taken(), (Texts{"a1", "a991"}));
}

TEST_F(MessageGroupsTest, APolicyMakesGroupsOfWhatIsOutAlready) {
  make({});
  consume('a', 2);
  consume('b', 2);
  publish_all("xx");
  EXPECT_EQ(taken(), (Texts{"a1", "b2"}));
  auto policy = std::make_shared<EffectivePolicy>();
  policy->definition.add("message-group-header", "group");
  queue->set_policy(policy, *this);
  publish_all("xy");
  const Texts other = taken();
  ASSERT_EQ(other.size(), 1u);
  EXPECT_EQ(other[0].substr(1), "4") << "both hold some of x";
  settle('a', 1);
  EXPECT_TRUE(taken().empty());
  settle('b', 2);
  EXPECT_EQ(taken().size(), 1u);
  queue->set_policy(nullptr, *this);
  publish_all("xxxx");
  EXPECT_EQ(taken().size(), 2u) << "anybody's again";
}

// Groups with a cap of deliveries per second.
class GroupRateTest : public MessageGroupsTest {
 protected:
  static protocol::Table rated(std::int64_t per_second) {
    protocol::Table arguments = grouped();
    arguments.add_int64("x-group-delivery-rate", per_second);
    return arguments;
  }
  GetResult get(char name, bool no_ack) {
    return queue->get({kQueue, ref(name).channel, no_ack, {}}, *this).value_or(GetResult{});
  }
};

TEST_F(GroupRateTest, EachGroupKeepsItsRateAndAPauseIsNotMadeUpFor) {
  make(rated(10));
  consume('a');
  publish_all("xxyx");
  publish(2);
  EXPECT_EQ(taken(), (Texts{"a1", "a3", "a5", "a6"}));
  pass(99);
  EXPECT_TRUE(taken().empty());
  pass(1);
  EXPECT_EQ(taken(), Texts{"a2"});
  pass(1'000);
  EXPECT_EQ(taken(), Texts{"a4"});
  EXPECT_EQ(alarm, kNeverDue) << "nothing waits";
  pass(10'000);
  publish_all("xxy");
  EXPECT_EQ(taken(), (Texts{"a7", "a9"}));
  pass(100);
  EXPECT_EQ(taken(), Texts{"a8"});
}

TEST_F(GroupRateTest, AHighRateComesInTenthsOfASecondAtMost) {
  make(rated(1'000));
  consume('a');
  publish_all(std::string(250, 'x') + std::string(50, 'y'));
  EXPECT_EQ(taken().size(), 100u + 50u);
  pass(100);
  EXPECT_EQ(taken().size(), 100u);
  pass(100);
  EXPECT_EQ(taken().size(), 50u);
}

TEST_F(GroupRateTest, OtherConsumersGoOnAndTheGroupStaysWhereItIs) {
  make(rated(10));
  consume('a', 5);
  consume('b', 5);
  publish_all("xyxyzx");
  EXPECT_EQ(taken(), (Texts{"a1", "b2", "a5"}));
  pass(100);
  Texts next = taken();
  std::ranges::sort(next);
  EXPECT_EQ(next, (Texts{"a3", "b4"}));
  pass(100);
  EXPECT_EQ(taken(), Texts{"a6"});
}

TEST_F(GroupRateTest, EveryDeliveryCounts) {
  make(rated(10));
  Consume wanted = request('a');
  wanted.no_ack = true;
  consume(wanted);
  publish_all("xx");
  EXPECT_EQ(taken(), Texts{"a1"});
  release('a');
  pass(100);
  consume('b', 1);
  EXPECT_EQ(taken(), Texts{"b2"});
  settle('b', 2, Outcome::Requeue);
  EXPECT_TRUE(taken().empty());
  pass(100);
  EXPECT_EQ(taken(), Texts{"b2r"});
  settle('b', 2);
  publish_all("x");
  cancel('b');
  EXPECT_FALSE(get('c', true).message);
  pass(100);
  EXPECT_EQ(get('c', true).seq, 3u);
  publish_all("xy");
  EXPECT_EQ(get('c', false).seq, 5u) << "y has not had its turn";
  EXPECT_FALSE(get('c', false).message);
}

TEST_F(GroupRateTest, WhoseConsumerIsBusyIsNotWaitedFor) {
  make(rated(10));
  consume('a', 1);
  publish_all("xx");
  EXPECT_EQ(taken(), Texts{"a1"});
  pass(1'000);
  EXPECT_EQ(alarm, kNeverDue);
  settle('a', 1);
  EXPECT_EQ(taken(), Texts{"a2"});
}

// As with the rate of a queue: nobody is listed as able to take a message before he has a grant.
TEST_F(GroupRateTest, AConsumerThatNeedsGrantsIsNotForgotten) {
  make(rated(10));
  Consume wanted = request('a', 1);
  wanted.gated = true;
  consume(wanted);
  publish_all("xx");
  queue->grant({kQueue, ref('a'), 1}, *this);
  EXPECT_EQ(taken(), Texts{"a1"});
  settle('a', 1);
  notices.clear();
  pass(99);
  EXPECT_TRUE(notices.empty());
  pass(1);
  ASSERT_EQ(notices.size(), 1u);
  EXPECT_TRUE(std::holds_alternative<GrantWanted>(notices[0]));
  queue->grant({kQueue, ref('a'), 1}, *this);
  EXPECT_EQ(taken(), Texts{"a2"});
}

TEST_F(GroupRateTest, TheQueuesOwnRateHoldsAsWell) {
  protocol::Table arguments = rated(10);
  arguments.add_int64("x-delivery-rate", 20);
  make(arguments);
  consume('a');
  publish_all("xxyy");  // the queue may have two at once
  EXPECT_EQ(taken(), (Texts{"a1", "a3"}));
  pass(50);
  EXPECT_TRUE(taken().empty());
  pass(50);
  EXPECT_EQ(taken(), (Texts{"a2", "a4"}));
}

TEST_F(GroupRateTest, WithoutGroupsItWaitsForAPolicyThatMakesThem) {
  protocol::Table arguments;
  arguments.add_int64("x-group-delivery-rate", 10);
  make(arguments);
  consume('a');
  publish_all("xx");
  EXPECT_EQ(taken().size(), 2u);
  auto policy = std::make_shared<EffectivePolicy>();
  policy->definition.add("message-group-header", "group");
  queue->set_policy(policy, *this);
  settle('a', 1);
  settle('a', 2);
  publish_all("xx");
  EXPECT_EQ(taken(), Texts{"a3"});
  queue->set_policy(nullptr, *this);
  pass(0);
  EXPECT_EQ(taken(), Texts{"a4"});
}

TEST_F(GroupRateTest, APolicyActsAtOnce) {
  make(grouped());
  consume('a');
  auto policy = std::make_shared<EffectivePolicy>();
  policy->definition.add_int64("group-delivery-rate", 10);
  queue->set_policy(policy, *this);
  publish_all("xxx");
  EXPECT_EQ(taken(), Texts{"a1"});
  policy = std::make_shared<EffectivePolicy>();
  policy->definition.add_int64("group-delivery-rate", 20);
  queue->set_policy(policy, *this);
  pass(0);
  EXPECT_EQ(taken(), (Texts{"a2", "a3"}));
  publish_all("x");
  pass(49);
  EXPECT_TRUE(taken().empty());
  pass(1);
  EXPECT_EQ(taken(), Texts{"a4"});
}

// Any mix of what consumers do: a group is never with two of them, and never out of order.
class MessageGroupsModelTest : public MessageGroupsTest {
 protected:
  unsigned below(unsigned bound) { return static_cast<unsigned>(dice() % bound); }
  std::size_t held_by(char name) const {
    return static_cast<std::size_t>(std::ranges::count(given, name, &Given::consumer));
  }
  void begin(unsigned seed) {
    dice.seed(seed);
    given.clear();
    make(grouped());
    group_count = 1 + below(8);
    group_of.clear();
    last_fresh.clear();
    prefetch.clear();
    seen = 0;
    published = settled = 0;
  }
  void publish_any() {
    const unsigned group = below(group_count + 1);
    group_of[++published] = group == 0 ? "" : std::to_string(group);
    if (group == 0) {
      publish();
    } else {
      publish_to(std::to_string(group));
    }
  }
  void settle_at(std::size_t at, Outcome outcome) {
    const Seq seq = given[at].delivery.seq;
    if (outcome == Outcome::Ack) ++settled;
    --seen;  // it is one of those
    settle(given[at].consumer, seq, outcome);
  }
  void act() {
    const char name = static_cast<char>('a' + below(5));
    switch (below(8)) {
      case 0:
        if (prefetch.contains(name) || held_by(name) > 0) break;
        prefetch[name] = 1 + below(4);
        consume(name, prefetch[name], below(4) == 0 ? 1 : 0);
        break;
      case 1:
        if (below(5) != 0) break;
        prefetch.erase(name);
        seen -= held_by(name);
        release(name);
        break;
      case 2:
        if (below(5) == 0 && prefetch.erase(name) > 0) cancel(name);
        break;
      case 3:
      case 4:
        for (unsigned more = below(4); more > 0; --more) publish_any();
        break;
      default:
        if (given.empty()) break;
        settle_at(below(static_cast<unsigned>(given.size())),
                  below(3) == 0 ? Outcome::Requeue : Outcome::Ack);
    }
  }
  void check_order() {
    for (; seen < given.size(); ++seen) {
      const Delivery& each = given[seen].delivery;
      const std::string& group = group_of[each.seq];
      if (group.empty() || each.redelivered) continue;
      ASSERT_GT(each.seq, last_fresh[group]) << "group " << group;
      last_fresh[group] = each.seq;
    }
  }
  void check() {
    check_order();
    std::map<std::string, std::set<char>> holders;
    std::map<char, unsigned> occupied;
    for (const Given& each : given) {
      ++occupied[each.consumer];
      const std::string& group = group_of[each.delivery.seq];
      if (!group.empty()) holders[group].insert(each.consumer);
    }
    for (const auto& [group, who] : holders) ASSERT_EQ(who.size(), 1u) << "group " << group;
    for (const auto& [name, most] : prefetch) ASSERT_LE(occupied[name], most);
    ASSERT_EQ(queue->info().messages_unacknowledged, given.size());
    ASSERT_EQ(queue->ready_count() + given.size() + settled, published);
  }

  std::mt19937 dice;
  unsigned group_count = 0;
  std::map<Seq, std::string> group_of;
  std::map<std::string, Seq> last_fresh;
  std::map<char, unsigned> prefetch;
  std::size_t seen = 0;
  std::uint64_t published = 0;
  std::uint64_t settled = 0;
};

TEST_F(MessageGroupsModelTest, AnyMixOfEvents) {
  for (unsigned seed = 1; seed <= 40; ++seed) {
    begin(seed);
    for (int step = 0; step < 500; ++step) {
      SCOPED_TRACE("seed " + std::to_string(seed) + ", step " + std::to_string(step));
      act();
      check();
      if (HasFatalFailure()) return;
    }
    // Nothing is stuck: who is left takes all of it.
    if (prefetch.empty()) consume('z', prefetch['z'] = 2);
    while (!given.empty()) {
      settle_at(0, Outcome::Ack);
      check();
      if (HasFatalFailure()) return;
    }
    ASSERT_EQ(queue->ready_count(), 0u) << "seed " << seed;
  }
}

}  // namespace
}  // namespace harrier::broker
