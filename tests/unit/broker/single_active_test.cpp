// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/broker/queue_fixture.hpp"

namespace harrier::broker {
namespace {

class SingleActiveTest : public QueueFixture {
 protected:
  void make(std::string_view type = "classic") {
    protocol::Table arguments;
    arguments.add("x-queue-type", type).add_bool("x-single-active-consumer", true);
    QueueFixture::make(arguments);
  }
  std::string active() const {
    const auto found = queue->info().single_active;
    return found ? std::string(1, static_cast<char>('a' + found->consumer)) : "";
  }
};

TEST_F(SingleActiveTest, TheFirstOneIsServedAndTheOthersWaitInTheOrderOfTheirArrival) {
  make();
  EXPECT_EQ(active(), "");
  for (const char name : {'a', 'b', 'c'}) consume(name);
  publish(3);
  EXPECT_EQ(taken(), (Texts{"a1", "a2", "a3"}));
  EXPECT_EQ(queue->consumer_count(), 3u);  // C-463
  EXPECT_EQ(active(), "a");
  cancel('a');
  EXPECT_EQ(active(), "b");
  publish(1);
  EXPECT_EQ(taken(), Texts{"b4"});
  release('b');
  EXPECT_EQ(taken(), Texts{"c4r"});
  release('c');
  EXPECT_EQ(active(), "");
  consume('d');
  EXPECT_EQ(taken(), Texts{"d4r"});
}

TEST_F(SingleActiveTest, TheNextOneIsOfTheHighestPriorityAndThenTheOldest) {
  make();
  consume('a', 0, 1);
  consume('b');
  consume('c', 0, 7);
  consume('d', 0, 7);
  publish(1);
  EXPECT_EQ(taken(), Texts{"a1"});  // no takeover on a classic queue
  release('a');
  EXPECT_EQ(taken(), Texts{"c1r"});
  release('c');
  release('d');
  EXPECT_EQ(taken(), (Texts{"d1r", "b1r"}));
}

TEST_F(SingleActiveTest, AFullOneKeepsTheOthersWaiting) {
  make();
  consume('a', 1);
  consume('b');
  publish(3);
  EXPECT_EQ(taken(), Texts{"a1"});
  settle('a', 1);
  EXPECT_EQ(taken(), Texts{"a2"});
  cancel('a');  // 2 stays with its channel (C-464)
  EXPECT_EQ(taken(), Texts{"b3"});
  settle('a', 2, Outcome::Requeue);
  EXPECT_EQ(taken(), Texts{"b2r"});
}

TEST_F(SingleActiveTest, ExclusiveConsumersAreRefused) {
  make();
  Consume alone = request('a');
  alone.exclusive = true;
  const auto refused = queue->consume(alone);
  ASSERT_TRUE(refused);
  EXPECT_EQ(refused->code, protocol::ReplyCode::AccessRefused);
  EXPECT_EQ(refused->explanation, "queue 'q' in vhost '/' in exclusive use");
}

TEST_F(SingleActiveTest, OnAQuorumQueueAHigherPriorityTakesOverOnceTheOldOneHasNothing) {
  make("quorum");
  consume('a', 2);
  publish(2);
  consume('b', 1, 5);
  EXPECT_EQ(active(), "a");
  settle('a', 1);
  publish(1);
  EXPECT_EQ(taken(), (Texts{"a1", "a2"}));  // it gets nothing more
  settle('a', 2);
  EXPECT_EQ(taken(), Texts{"b3"});
  EXPECT_EQ(active(), "b");
  consume('c', 1, 5);  // no higher
  settle('b', 3);
  EXPECT_EQ(active(), "b");
}

TEST_F(SingleActiveTest, WhoWasToTakeOverMayGoBeforeItsTime) {
  make("quorum");
  consume('a', 2);
  publish(1);
  consume('b', 1, 5);
  publish(1);
  EXPECT_EQ(taken(), Texts{"a1"});
  cancel('b');
  EXPECT_EQ(taken(), Texts{"a2"});
  EXPECT_EQ(active(), "a");
}

TEST_F(SingleActiveTest, WhoHasNothingIsSucceededAtOnce) {
  make("quorum");
  consume('a');
  consume('b', 0, 5);
  publish(1);
  EXPECT_EQ(taken(), Texts{"b1"});
}

TEST_F(SingleActiveTest, OnlyTheActiveOneAsksForGrants) {
  make();
  for (const char name : {'a', 'b'}) {
    Consume wanted = request(name);
    wanted.gated = true;
    consume(wanted);
  }
  publish(1);
  ASSERT_EQ(notices.size(), 1u);
  EXPECT_EQ(std::get<GrantWanted>(notices[0]).consumer, ref('a'));
  notices.clear();
  release('a');
  ASSERT_EQ(notices.size(), 1u);
  EXPECT_EQ(std::get<GrantWanted>(notices[0]).consumer, ref('b'));
}

}  // namespace
}  // namespace harrier::broker
