// SPDX-License-Identifier: Apache-2.0
#include "broker/core/queue.hpp"

#include <string>
#include <vector>

#include <gtest/gtest.h>

namespace harrier::broker {
namespace {

// "a1" is message 1 to consumer a, "a1r" the same redelivered.
class QueueTest : public testing::Test, protected Outlet {
 protected:
  void deliver(Delivery delivery) override {
    std::string text(1, static_cast<char>('a' + delivery.consumer.consumer));
    text += std::to_string(delivery.seq) + (delivery.redelivered ? "r" : "");
    delivered.push_back(text);
    deliveries.push_back(std::move(delivery));
  }
  void notify(ConnectionId, ShardMessage message) override {
    notices.push_back(std::move(message));
  }

  static ConsumerRef ref(char name) {
    const auto number = static_cast<std::uint32_t>(name - 'a');
    return {{ConnectionId{1}, number, static_cast<std::uint16_t>(number + 1)}, number};
  }
  Consume request(char name, std::uint32_t prefetch = 0) {
    Consume consume;
    consume.queue = QueueId{1};
    consume.consumer = ref(name);
    consume.prefetch = prefetch;
    return consume;
  }
  void consume(const Consume& wanted) {
    ASSERT_FALSE(queue.consume(wanted));
    queue.deliver(*this);
  }
  void publish(int count, std::size_t size = 1) {
    const std::vector<std::uint8_t> body(size);
    for (int i = 0; i < count; ++i) {
      queue.publish(protocol::Message::create("", "q", protocol::Properties{}.encode(), body),
                    *this);
    }
  }
  void settle(std::size_t delivery, Outcome outcome) {
    const Delivery& d = deliveries.at(delivery);
    queue.settle({QueueId{1}, d.seq, d.slot, outcome}, *this);
  }
  GetResult get(char name, bool no_ack) {
    const auto result = queue.get({QueueId{1}, ref(name).channel, no_ack, {}}, *this);
    EXPECT_TRUE(result) << "nothing has to be fetched";
    return result.value_or(GetResult{});
  }
  std::vector<std::string> taken() { return std::exchange(delivered, {}); }

  static routing::QueueEntryPtr entry(bool auto_delete = false) {
    routing::QueueEntry entry;
    entry.id = QueueId{1};
    entry.name = "q";
    entry.auto_delete = auto_delete;
    return std::make_shared<const routing::QueueEntry>(std::move(entry));
  }

  using Texts = std::vector<std::string>;
  Texts delivered;
  std::vector<Delivery> deliveries;
  std::vector<ShardMessage> notices;
  Queue queue{entry(), "/", UnsentLimits{4, 1'000}};
};

TEST_F(QueueTest, DeliversInOrder) {
  publish(3);
  consume(request('a'));
  publish(1);
  EXPECT_EQ(taken(), (Texts{"a1", "a2", "a3", "a4"}));
  EXPECT_EQ(queue.info().messages_unacknowledged, 4u);
  EXPECT_EQ(queue.info().messages_published, 4u);
}

TEST_F(QueueTest, TakesTurns) {
  for (const char name : {'a', 'b', 'c'}) consume(request(name));
  publish(5);
  EXPECT_EQ(taken(), (Texts{"a1", "b2", "c3", "a4", "b5"}));
}

TEST_F(QueueTest, PrefersConsumersOfHigherPriorityWhileTheyCanTakeMore) {
  consume(request('a'));
  Consume first = request('b', 2);
  first.priority = 5;
  consume(first);
  publish(3);
  EXPECT_EQ(taken(), (Texts{"b1", "b2", "a3"}));
  settle(0, Outcome::Ack);
  publish(1);
  EXPECT_EQ(taken(), Texts{"b4"});
}

TEST_F(QueueTest, PrefetchIsKeptAndFilledAgain) {
  consume(request('a', 2));
  publish(5);
  EXPECT_EQ(taken(), (Texts{"a1", "a2"}));
  settle(1, Outcome::Ack);
  EXPECT_EQ(taken(), Texts{"a3"});
  settle(1, Outcome::Ack);  // once is enough
  EXPECT_TRUE(taken().empty());
  queue.sent({QueueId{1}, ref('a'), 3, 3}, *this);
  EXPECT_TRUE(taken().empty());
  queue.set_prefetch({QueueId{1}, ref('a'), 4, false, {}}, *this);
  EXPECT_EQ(taken(), (Texts{"a4", "a5"}));
}

TEST_F(QueueTest, AutomaticAcknowledgementKnowsNoPrefetch) {
  Consume automatic = request('a', 1);
  automatic.no_ack = true;
  consume(automatic);
  publish(3);
  EXPECT_EQ(taken().size(), 3u);
  EXPECT_EQ(queue.info().messages_unacknowledged, 0u);
}

TEST_F(QueueTest, AnExclusiveConsumerIsAlone) {
  Consume exclusive = request('a');
  exclusive.exclusive = true;
  consume(exclusive);
  EXPECT_TRUE(queue.consume(request('b')));
  EXPECT_FALSE(queue.cancel(ref('a')));
  consume(request('b'));
  const auto refused = queue.consume(exclusive);
  ASSERT_TRUE(refused);
  EXPECT_EQ(refused->code, protocol::ReplyCode::AccessRefused);
}

TEST_F(QueueTest, RequeuedMessagesReturnToTheirPlaceAndAreRedelivered) {
  consume(request('a', 3));
  publish(5);
  taken();
  queue.cancel(ref('a'));
  settle(2, Outcome::Requeue);
  settle(0, Outcome::Requeue);
  settle(1, Outcome::Discard);
  consume(request('b'));
  EXPECT_EQ(taken(), (Texts{"b1r", "b3r", "b4", "b5"}));
}

TEST_F(QueueTest, PurgeLeavesWhatIsUnsettled) {
  consume(request('a', 1));
  publish(4);
  EXPECT_EQ(queue.purge(*this), 3u);
  EXPECT_EQ(queue.info().messages_unacknowledged, 1u);
  settle(0, Outcome::Requeue);
  EXPECT_EQ(taken(), (Texts{"a1", "a1r"}));
}

TEST_F(QueueTest, GetIsOutsideEveryLimitAndReturnsWithItsChannel) {
  publish(2);
  const ChannelRef channel = ref('a').channel;
  const GetResult first = get('a', false);
  EXPECT_EQ(first.seq, 1u);
  EXPECT_EQ(first.remaining, 1u);
  EXPECT_FALSE(first.redelivered);
  EXPECT_EQ(get('a', true).seq, 2u);
  EXPECT_FALSE(get('a', false).message);
  EXPECT_FALSE(queue.release(channel, *this));
  EXPECT_EQ(queue.ready_count(), 1u);
  EXPECT_TRUE(get('b', true).redelivered);
}

TEST_F(QueueTest, ReleaseGivesEverythingToTheOthers) {
  consume(request('a', 2));
  publish(3);
  consume(request('b'));
  EXPECT_EQ(taken(), (Texts{"a1", "a2", "b3"}));
  EXPECT_FALSE(queue.release(ref('a').channel, *this));
  EXPECT_EQ(taken(), (Texts{"b1r", "b2r"}));
  EXPECT_EQ(queue.consumer_count(), 1u);
  settle(0, Outcome::Ack);  // too late: it is somebody else's now
  EXPECT_EQ(queue.info().messages_unacknowledged, 3u);
}

TEST_F(QueueTest, AutoDeleteGoesWithItsLastConsumerOnly) {
  Queue automatic(entry(true), "/", {});
  EXPECT_FALSE(automatic.release(ref('c').channel, *this));
  EXPECT_FALSE(automatic.consume(request('a')));
  EXPECT_FALSE(automatic.consume(request('b')));
  EXPECT_FALSE(automatic.cancel(ref('a')));
  EXPECT_TRUE(automatic.release(ref('b').channel, *this));
}

TEST_F(QueueTest, MayBeDeletedUnlessAConditionForbids) {
  EXPECT_FALSE(queue.may_delete(true, true));
  publish(1);
  EXPECT_TRUE(queue.may_delete(false, true));
  consume(request('a'));
  EXPECT_TRUE(queue.may_delete(true, false));
  EXPECT_FALSE(queue.may_delete(false, true));  // nothing is ready
  queue.cancel_all(*this);
  ASSERT_EQ(notices.size(), 1u);
  EXPECT_EQ(std::get<ConsumerCancelled>(notices[0]).consumer, ref('a'));
}

TEST_F(QueueTest, ASlowConsumerIsNotGivenMoreThanItsUnsentLimit) {
  consume(request('a'));
  publish(6);
  EXPECT_EQ(taken().size(), 4u);
  queue.sent({QueueId{1}, ref('a'), 1, 1}, *this);
  EXPECT_EQ(taken(), Texts{"a5"});
  queue.sent({QueueId{1}, ref('a'), 5, 5}, *this);
  EXPECT_EQ(taken(), Texts{"a6"});
}

TEST_F(QueueTest, TheUnsentLimitOfBytesLetsOneLargeMessageThrough) {
  consume(request('a'));
  publish(2, 5'000);
  EXPECT_EQ(taken(), Texts{"a1"});
  queue.sent({QueueId{1}, ref('a'), 1, 5'000}, *this);
  EXPECT_EQ(taken(), Texts{"a2"});
}

TEST_F(QueueTest, AGatedConsumerAsksForEachMessage) {
  Consume gated = request('a');
  gated.gated = true;
  consume(gated);
  publish(2);
  EXPECT_TRUE(taken().empty());
  ASSERT_EQ(notices.size(), 1u);
  EXPECT_EQ(std::get<GrantWanted>(notices[0]).consumer, ref('a'));
  queue.grant({QueueId{1}, ref('a'), 1}, *this);
  EXPECT_EQ(taken(), Texts{"a1"});
  EXPECT_EQ(notices.size(), 2u);  // there is one more
  queue.purge(*this);
  queue.grant({QueueId{1}, ref('a'), 1}, *this);
  ASSERT_EQ(notices.size(), 3u);
  EXPECT_EQ(std::get<GrantReturned>(notices[2]).count, 1u);
}

TEST_F(QueueTest, WithoutAChannelWideLimitNoGrantIsNeeded) {
  Consume gated = request('a');
  gated.gated = true;
  consume(gated);
  publish(2);
  queue.set_prefetch({QueueId{1}, ref('a'), 0, false, {}}, *this);
  EXPECT_EQ(taken(), (Texts{"a1", "a2"}));
}

}  // namespace
}  // namespace harrier::broker
