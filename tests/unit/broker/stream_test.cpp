// SPDX-License-Identifier: Apache-2.0
//
// A stream as its readers see it: offsets, credit, filters, paging, tracking. A window of three
// messages.
#include <random>

#include "tests/unit/broker/stream_fixture.hpp"

namespace harrier::broker {
namespace {

class StreamTest : public StreamFixture {
 protected:
  StreamTest() { open(); }
};

TEST_F(StreamTest, EveryReaderSeesEverythingInOrder) {
  consume(0, from(StreamStart::First));
  consume(1, from(StreamStart::Next));
  write(3);
  consume(2, from(StreamStart::First));
  settle_down();
  write(2);
  settle_down();
  EXPECT_EQ(taken(0), range(0, 4));
  EXPECT_EQ(taken(1), range(0, 4));
  EXPECT_EQ(taken(2), range(0, 4));
  EXPECT_EQ(queue->ready_count(), 5u);
  EXPECT_EQ(queue->consumer_count(), 3u);
  EXPECT_EQ(in_store(), 5u);
}

TEST_F(StreamTest, ReadersSeeWhatIsDurable) {
  consume(0, from(StreamStart::First));
  publish(2);
  commit();
  publish(1);
  EXPECT_EQ(taken(0), Offsets{});
  EXPECT_EQ(queue->ready_count(), 3u);
  store.commit(std::move(waiting.front()), nullptr);
  waiting.pop_front();
  ++durable;
  wake_waiting();
  EXPECT_EQ(taken(0), range(0, 1));
  make_durable();
  EXPECT_EQ(taken(0), range(2, 2));
}

TEST_F(StreamTest, TransientMessagesAreStored) {
  EXPECT_EQ(queue->publish(message(""), *this), Queue::Taken::Stored);
  make_durable();
  EXPECT_EQ(in_store(), 1u);
}

TEST_F(StreamTest, WhoKeepsUpNeedsNoStore) {
  consume(0, from(StreamStart::First), 10);
  consume(1, from(StreamStart::First), 10);
  for (int i = 0; i < 50; ++i) {
    write(7);
    settle_all();
  }
  EXPECT_EQ(fetch_count, 0u);
  EXPECT_EQ(taken(0), range(0, 349));
  EXPECT_EQ(taken(1), range(0, 349));
}

TEST_F(StreamTest, AcksReturnCreditExactly) {
  write(10);
  consume(0, from(StreamStart::First), 2);
  answer_all();
  EXPECT_EQ(taken(0), range(0, 1));
  settle(deliveries[1]);
  answer_all();
  EXPECT_EQ(taken(0), range(2, 2));
  settle(deliveries[1]);  // once more is no credit
  settle(deliveries[0], Outcome::Requeue);
  settle(deliveries[2], Outcome::Discard);
  answer_all();
  EXPECT_EQ(taken(0), range(3, 4));
  EXPECT_EQ(queue->info().messages_unacknowledged, 2u);
}

TEST_F(StreamTest, OneMethodOfManyReadersServesAll) {
  write(2);
  consume(0, from(StreamStart::First), 1);
  consume(1, from(StreamStart::First), 1);
  answer_all();
  const std::vector<Delivery> both = std::exchange(deliveries, {});
  ASSERT_EQ(both.size(), 2u);
  settle(both[0], Outcome::Ack, true);
  settle(both[1]);
  answer_all();
  EXPECT_EQ(taken(0), range(0, 1));
  EXPECT_EQ(taken(1), range(0, 1));
}

TEST_F(StreamTest, NothingReturnsWithItsConsumer) {
  write(3);
  consume(0, from(StreamStart::First), 2);
  consume(1, from(StreamStart::Next));
  answer_all();
  EXPECT_FALSE(queue->cancel(ref(0)));
  EXPECT_EQ(queue->consumer_count(), 1u);
  settle(deliveries[0]);  // still outstanding on its channel
  settle(deliveries[1]);
  consume(2, from(StreamStart::First), 2);
  answer_all();
  EXPECT_FALSE(queue->release(ref(2).channel, *this));
  EXPECT_EQ(queue->consumer_count(), 1u);
  write(1);
  settle_down();
  EXPECT_EQ(taken(0), range(0, 1));
  EXPECT_EQ(taken(1), range(3, 3));
  EXPECT_EQ(taken(2), range(0, 1));
}

TEST_F(StreamTest, StartsWhereItIsAskedTo) {
  for (int i = 0; i < 10; ++i) {
    write(1);
    now += 1'000;
  }
  const auto starts_at = [&](StreamOffset offset) {
    static std::uint32_t number = 0;
    consume(++number, from(offset));
    settle_down();
    const Offsets seen = taken(number);
    queue->cancel(ref(number));
    return seen.empty() ? std::uint64_t{99} : seen.front();
  };
  EXPECT_EQ(starts_at(StreamStart::First), 0u);
  EXPECT_EQ(starts_at(StreamStart::Last), 9u);
  EXPECT_EQ(starts_at(StreamStart::Next), 99u);
  EXPECT_EQ(starts_at(StreamPosition{4}), 4u);
  EXPECT_EQ(starts_at(StreamPosition{-3}), 0u);
  EXPECT_EQ(starts_at(StreamPosition{10}), 99u);
  EXPECT_EQ(starts_at(StreamTimestamp{0}), 0u);
  EXPECT_EQ(starts_at(StreamTimestamp{1'003}), 3u);
  EXPECT_EQ(starts_at(StreamTimestamp{5'000}), 99u);
  EXPECT_EQ(starts_at(StreamTimestamp{~std::uint64_t{0}}), 99u);
  EXPECT_EQ(starts_at(StreamInterval{3}), 7u);
  EXPECT_EQ(starts_at(StreamInterval{10'000'000'000}), 0u);
}

TEST_F(StreamTest, BeyondTheEndItWaits) {
  write(2);
  consume(0, from(StreamPosition{4}));
  write(2);
  EXPECT_EQ(taken(0), Offsets{});
  write(2);
  settle_down();
  EXPECT_EQ(taken(0), range(4, 5));
}

TEST_F(StreamTest, FiltersByMessage) {
  write(1, "north");
  write(1, "south");
  write(1);
  write(1, "north");
  StreamSubscription north = from(StreamStart::First);
  north.filters = {"north"};
  StreamSubscription both = north;
  both.filters = {"north", "south"};
  StreamSubscription rest = north;
  rest.match_unfiltered = true;
  consume(0, north);
  consume(1, both);
  consume(2, rest);
  consume(3, from(StreamStart::First));
  settle_down();
  EXPECT_EQ(taken(0), (Offsets{0, 3}));
  EXPECT_EQ(taken(1), (Offsets{0, 1, 3}));
  EXPECT_EQ(taken(2), (Offsets{0, 2, 3}));
  EXPECT_EQ(taken(3), range(0, 3));
}

TEST_F(StreamTest, MemoryDoesNotGrowWithStreamOrReaders) {
  write(2'000);
  EXPECT_LE(residents.bytes, residents.window_bytes);
  for (std::uint32_t number = 0; number < 40; ++number)
    consume(number, from(StreamPosition{number * 40}), 1);
  for (int i = 0; i < 3'000 && !(fetches.empty() && deliveries.empty()); ++i) {
    EXPECT_LE(fetches.size(), StreamPages::kOpenMax);
    if (!fetches.empty()) answer();
    EXPECT_LE(residents.bytes, 2 * residents.window_bytes);
    settle_all();
  }
  settle_down();
  for (std::uint32_t number = 0; number < 40; ++number)
    EXPECT_EQ(taken(number), range(number * 40, 1'999)) << number;
  queue->release(ref(0).channel, *this);
}

TEST_F(StreamTest, ReadersShareAPage) {
  write(100);
  for (std::uint32_t number = 0; number < 20; ++number) consume(number, from(StreamStart::First));
  EXPECT_EQ(fetches.size(), 1u);
  settle_down();
  EXPECT_LE(fetch_count, 110u);  // of a message or more each
  for (std::uint32_t number = 0; number < 20; ++number) EXPECT_EQ(taken(number), range(0, 99));
}

TEST_F(StreamTest, ATimeIsFoundWithoutReadingAll) {
  for (int i = 0; i < 5'000; ++i) {
    publish(1);
    now += 1'000;
  }
  make_durable();
  restart();
  const std::size_t before = fetch_count;
  consume(0, from(StreamTimestamp{1'000 + 3'210}), 1);
  answer_all();
  EXPECT_EQ(taken(0), range(3'210, 3'210));
  EXPECT_LE(fetch_count - before, 80u);  // 7 halvings, then at most 64 messages, one each
}

TEST_F(StreamTest, OffsetsGoOnAfterARestart) {
  write(10);
  restart();
  EXPECT_EQ(queue->ready_count(), 10u);
  write(1);
  consume(0, from(StreamPosition{8}));
  settle_down();
  EXPECT_EQ(taken(0), range(8, 10));
}

TEST_F(StreamTest, GivesUpMemoryWhenNobodyReads) {
  write(3);
  EXPECT_GT(residents.bytes, 0u);
  EXPECT_TRUE(queue->idle());
  EXPECT_TRUE(queue->evict());
  EXPECT_EQ(residents.bytes, 0u);
  EXPECT_TRUE(residents.holders.empty());
  consume(0, from(StreamStart::First));
  settle_down();
  EXPECT_EQ(taken(0), range(0, 2));
}

TEST_F(StreamTest, DeletionTellsItsConsumers) {
  consume(0, from(StreamStart::First));
  EXPECT_TRUE(queue->may_delete(true, false));
  EXPECT_FALSE(queue->may_delete(false, true));
  write(1);
  EXPECT_TRUE(queue->may_delete(false, true));
  queue->cancel_all(*this);
  EXPECT_EQ(cancelled, 1u);
  queue->close(*this);
  make_durable();
  EXPECT_EQ(in_store(), 0u);
}

// ---- tracking ----

TEST_F(StreamTest, ATagGoesOnAfterWhatItAcknowledged) {
  consume(0, tracked("worker"), 3);
  write(5);
  ASSERT_EQ(deliveries.size(), 3u);
  settle(deliveries[0]);
  settle(deliveries[2]);  // the one between is not done
  make_durable();
  restart();
  consume(1, tracked("worker"));
  consume(2, tracked("other"));
  consume(3, from(StreamStart::First));
  settle_down();
  EXPECT_EQ(taken(1), range(1, 4));
  EXPECT_EQ(taken(2), Offsets{});
  EXPECT_EQ(taken(3), range(0, 4));
}

TEST_F(StreamTest, TrackingIsWrittenOncePerTurnAndOnlyIfWanted) {
  write(9);
  StreamSubscription untracked = tracked("worker");
  untracked.tracks = false;
  StreamSubscription chosen = from(StreamStart::First);
  chosen.tag = "chosen";
  StreamSubscription asked = chosen;
  asked.tag = "asked";
  asked.tracks = true;
  consume(0, untracked);
  consume(1, chosen);
  consume(2, asked);
  settle_down();
  EXPECT_EQ(taken(1), range(0, 8));
  persistence::Recovery held;
  ASSERT_TRUE(store.recover(held).ok());
  ASSERT_EQ(held.definitions.size(), 1u);
  EXPECT_EQ(held.definitions.front().name, "stream-offset:1:asked");
  write(3);
  ASSERT_EQ(deliveries.size(), 9u);
  settle_all();
  const auto is_define = [](const auto& r) {
    return std::holds_alternative<persistence::Define>(r);
  };
  EXPECT_EQ(late_writes, 1u);
  queue->write_late(*this);
  late_writes = 0;
  EXPECT_EQ(std::ranges::count_if(batch.records(), is_define), 1);
}

TEST_F(StreamTest, WhoAskedMissesNothingBeforeItsFirstAck) {
  StreamSubscription asked = tracked("worker");
  asked.tracks = true;
  consume(0, asked);
  make_durable();
  restart();
  write(2);
  asked.offset = StreamStart::Next;
  consume(1, asked);
  settle_down();
  EXPECT_EQ(taken(1), range(0, 1));
}

TEST_F(StreamTest, TagsAreBounded) {
  write(1);
  StreamSubscription asked = tracked("kept");
  asked.offset = StreamStart::First;
  asked.tracks = true;
  consume(0, asked);
  settle_down();
  for (std::uint32_t number = 1; number <= StreamOffsets::kTagsMax + 10; ++number) {
    now += 1;
    consume(number, tracked("tag" + std::to_string(number)));
    write(1);
    settle_down();
    queue->release(ref(number).channel, *this);
  }
  persistence::Recovery held;
  ASSERT_TRUE(store.recover(held).ok());
  EXPECT_EQ(held.definitions.size(), StreamOffsets::kTagsMax);
  const auto has = [&](const std::string& tag) {
    return std::ranges::count(held.definitions, "stream-offset:1:" + tag,
                              &persistence::Define::name) == 1;
  };
  EXPECT_TRUE(has("kept"));
  EXPECT_FALSE(has("tag1"));
  EXPECT_TRUE(has("tag" + std::to_string(StreamOffsets::kTagsMax + 10)));
  queue->close(*this);
  make_durable();
  held = {};
  ASSERT_TRUE(store.recover(held).ok());
  EXPECT_TRUE(held.definitions.empty());
}

TEST(StreamOffsetsTest, NamesAndValuesAreChecked) {
  const auto name = StreamOffsets::parse_name("stream-offset:12:a:b");
  ASSERT_TRUE(name);
  EXPECT_EQ(name->queue, QueueId{12});
  EXPECT_EQ(name->tag, "a:b");
  for (const char* text : {"stream-offset:", "stream-offset:x:a", "stream-offset:12", "expiring:1"})
    EXPECT_FALSE(StreamOffsets::parse_name(text)) << text;
  StreamOffsets offsets;
  EXPECT_FALSE(offsets.restore("a", persistence::Bytes(16)));
  EXPECT_TRUE(offsets.restore("a", persistence::Bytes(17)));
  EXPECT_EQ(offsets.find("a"), 0u);
  EXPECT_EQ(offsets.find("b"), std::nullopt);
}

}  // namespace
}  // namespace harrier::broker
