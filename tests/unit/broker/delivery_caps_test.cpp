// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/broker/queue_fixture.hpp"

namespace harrier::broker {
namespace {

class DeliveryCapsTest : public QueueFixture {
 protected:
  void make(const char* key, std::int64_t value) {
    protocol::Table arguments;
    arguments.add_int64(key, value);
    QueueFixture::make(arguments);
  }
  GetResult get(bool no_ack) {
    return queue->get({kQueue, ref('z').channel, no_ack, {}}, *this).value_or(GetResult{});
  }
};

TEST_F(DeliveryCapsTest, NoMoreThanThatManyAreOut) {
  make("x-max-unacked", 3);
  consume('a', 2);
  consume('b', 2);
  publish(5);
  EXPECT_EQ(taken(), (Texts{"a1", "b2", "a3"}));
  EXPECT_FALSE(get(false).message);
  settle('a', 1);
  EXPECT_EQ(taken(), Texts{"b4"});
  settle('b', 2, Outcome::Discard);
  EXPECT_EQ(taken(), Texts{"a5"});
  release('a');
  EXPECT_EQ(taken(), Texts{"b3r"});
}

TEST_F(DeliveryCapsTest, WhatNeedsNoAcknowledgementIsNotOut) {
  make("x-max-unacked", 1);
  Consume wanted = request('a');
  wanted.no_ack = true;
  consume(wanted);
  publish(3);
  EXPECT_EQ(taken().size(), 3u);
}

TEST_F(DeliveryCapsTest, ARateIsKeptAndAPauseIsNotMadeUpFor) {
  make("x-delivery-rate", 10);
  consume('a');
  publish(5);
  EXPECT_EQ(taken(), Texts{"a1"});
  pass(99);
  EXPECT_TRUE(taken().empty());
  pass(1);
  EXPECT_EQ(taken(), Texts{"a2"});
  pass(1'000);
  EXPECT_EQ(taken(), (Texts{"a3", "a4", "a5"}));
  pass(10'000);
  publish(3);
  EXPECT_EQ(taken(), Texts{"a6"});
  pass(50);
  EXPECT_FALSE(get(true).message);
  pass(50);
  EXPECT_EQ(taken(), Texts{"a7"});
}

// Somebody else took what the rate allowed, just before a consumer whose channel has a limit has
// room again: nobody is listed as able to take a message then, but it is served all the same.
TEST_F(DeliveryCapsTest, AConsumerThatNeedsGrantsIsNotForgotten) {
  make("x-delivery-rate", 10);
  Consume wanted = request('a', 1);
  wanted.gated = true;
  consume(wanted);
  publish(3);
  queue->grant({kQueue, ref('a'), 1}, *this);
  EXPECT_EQ(taken(), Texts{"a1"});
  pass(100);
  EXPECT_TRUE(get(true).message);
  settle('a', 1);
  notices.clear();
  pass(100);
  ASSERT_EQ(notices.size(), 1u);
  EXPECT_TRUE(std::holds_alternative<GrantWanted>(notices[0]));
  queue->grant({kQueue, ref('a'), 1}, *this);
  EXPECT_EQ(taken(), Texts{"a3"});
}

TEST_F(DeliveryCapsTest, AHighRateComesInTenthsOfASecondAtMost) {
  make("x-delivery-rate", 1'000);
  consume('a');
  publish(1'000);
  EXPECT_EQ(taken().size(), 100u);
  pass(100);
  EXPECT_EQ(taken().size(), 100u);
}

TEST_F(DeliveryCapsTest, APolicySeesWhatIsOutAlready) {
  QueueFixture::make({});
  consume('a');
  publish(3);
  taken();
  auto policy = std::make_shared<EffectivePolicy>();
  policy->definition.add_int64("max-unacked", 2);
  queue->set_policy(policy, *this);
  publish(1);
  settle('a', 1);
  EXPECT_TRUE(taken().empty());
  settle('a', 2);
  EXPECT_EQ(taken(), Texts{"a4"});
  queue->set_policy(nullptr, *this);
  publish(2);
  EXPECT_EQ(taken(), (Texts{"a5", "a6"}));
}

TEST_F(DeliveryCapsTest, FairShareServesWhoHasTheFewest) {
  protocol::Table arguments;
  arguments.add_bool("x-fair-share", true);
  QueueFixture::make(arguments);
  for (const char name : {'a', 'b', 'c'}) consume(name, 10);
  publish(6);
  EXPECT_EQ(taken(), (Texts{"a1", "b2", "c3", "a4", "b5", "c6"}));
  settle('b', 2);
  settle('b', 5);
  settle('c', 3);
  publish(4);
  EXPECT_EQ(taken(), (Texts{"b7", "c8", "b9", "a10"}));
  consume('d', 1, 5);
  publish(1);
  EXPECT_EQ(taken(), Texts{"d11"});  // priority comes first
}

TEST_F(DeliveryCapsTest, WithoutItTurnsAreTaken) {
  QueueFixture::make({});
  consume('a', 10);
  consume('b', 10);
  publish(4);
  settle('a', 1);
  settle('a', 3);
  publish(2);
  EXPECT_EQ(taken(), (Texts{"a1", "b2", "a3", "b4", "a5", "b6"}));
}

}  // namespace
}  // namespace harrier::broker
