// SPDX-License-Identifier: Apache-2.0
//
// What a stream gives up, and a random stream with its readers, retention, paging and restarts
// beside a plain model of it.
#include <algorithm>
#include <random>

#include "broker/core/stream_index.hpp"
#include "tests/unit/broker/stream_fixture.hpp"

namespace harrier::broker {
namespace {

class StreamRetentionTest : public StreamFixture {
 protected:
  const std::uint64_t message_bytes = persistence::content_size(*message(""));

  void limit_bytes(std::uint64_t messages) {
    arguments.add_int64("x-max-length-bytes", static_cast<std::int64_t>(messages * message_bytes));
    open();
  }
  void limit_age(const std::string& age) {
    arguments.add("x-max-age", age);
    open();
  }
};

TEST_F(StreamRetentionTest, BytesAreKeptBelowTheLimit) {
  limit_bytes(32);
  consume(0, from(StreamStart::First));
  for (int i = 0; i < 100; ++i) {
    write(1);
    settle_all();
    EXPECT_LE(queue->ready_count(), 32u);
    EXPECT_GE(queue->ready_count(), i < 32 ? 1u : 28u);
    EXPECT_EQ(in_store(), queue->ready_count());
  }
  EXPECT_EQ(taken(0), range(0, 99));
  consume(1, from(StreamStart::First));
  settle_down();
  const Offsets kept = taken(1);
  EXPECT_EQ(kept, range(kept.front(), 99));
  EXPECT_EQ(kept.size(), queue->ready_count());
}

TEST_F(StreamRetentionTest, TheLastMessageStays) {
  limit_bytes(0);
  write(5);
  EXPECT_EQ(queue->ready_count(), 1u);
  EXPECT_EQ(in_store(), 1u);
  restart();
  write(1);
  consume(0, from(StreamStart::First));
  settle_down();
  EXPECT_EQ(taken(0), range(5, 5));
}

TEST_F(StreamRetentionTest, OldMessagesGoByThemselves) {
  limit_age("10s");
  write(5);
  now += 5'000;
  write(5);
  EXPECT_LE(alarm, now + 5'000);
  now += 5'000;
  EXPECT_FALSE(queue->wake(*this));
  make_durable();
  EXPECT_EQ(queue->ready_count(), 5u);
  EXPECT_EQ(in_store(), 5u);
  EXPECT_EQ(alarm, now + 5'000);
  now += 5'000;
  queue->wake(*this);
  make_durable();
  EXPECT_EQ(queue->ready_count(), 1u);
  consume(0, from(StreamStart::First));
  settle_down();
  EXPECT_EQ(taken(0), range(9, 9));
}

TEST_F(StreamRetentionTest, OldMessagesOfBeforeARestartGoToo) {
  limit_age("10s");
  for (int i = 0; i < 20; ++i) {
    write(1);
    now += 1'000;
  }
  // The first ten have gone; the process is away while five more grow old.
  now += 5'000;
  restart();
  queue->wake(*this);
  answer_all();
  make_durable();
  const std::uint32_t left = queue->ready_count();
  EXPECT_GE(left, 1u);
  EXPECT_LE(left, 20u);
  now += 5'000;
  queue->wake(*this);
  answer_all();
  make_durable();
  EXPECT_EQ(queue->ready_count(), 1u);
  EXPECT_EQ(in_store(), 1u);
}

TEST_F(StreamRetentionTest, SizesOfBeforeARestartAreMeasured) {
  limit_bytes(50);
  write(40);
  restart();
  for (int i = 0; i < 100; ++i) {
    write(1);
    answer_all();
    make_durable();
    EXPECT_LE(queue->ready_count(), 51u);
  }
  EXPECT_GE(queue->ready_count(), 45u);
}

TEST_F(StreamRetentionTest, ALimitByPolicyHasLiveEffect) {
  open();
  write(100);
  Policy policy;
  policy.name = "short";
  policy.definition.add_int64("max-length-bytes", static_cast<std::int64_t>(10 * message_bytes));
  queue->set_policy(merge_policies(&policy, nullptr), *this);
  EXPECT_EQ(alarm, 0);
  queue->wake(*this);
  answer_all();
  make_durable();
  EXPECT_EQ(queue->ready_count(), 10u);
  EXPECT_EQ(in_store(), 10u);
}

// The store gives what it was asked for and the message that goes beyond that.
TEST_F(StreamRetentionTest, APieceWithALargeMessageIsMeasuredOnce) {
  open();
  std::uint64_t bytes = 0;
  for (const std::size_t size : std::vector<std::size_t>{10, 110, 100, 100, 100, 100, 100, 100}) {
    bytes += persistence::content_size(*message("", size));
    queue->publish(message("", size), *this);
  }
  make_durable();
  Policy policy;
  policy.name = "short";
  policy.definition.add_int64("max-length-bytes", static_cast<std::int64_t>(bytes - 1));
  queue->set_policy(merge_policies(&policy, nullptr), *this);
  queue->wake(*this);
  answer_all();
  make_durable();
  EXPECT_EQ(queue->ready_count(), 7u);
  EXPECT_LE(fetch_count, 2u);
}

TEST_F(StreamRetentionTest, AReaderBehindGoesOnWithWhatIsLeft) {
  limit_bytes(20);
  write(20);
  consume(0, from(StreamStart::First), 2);
  answer_all();
  EXPECT_EQ(taken(0), range(0, 1));
  write(40);
  settle_down();
  const Offsets rest = taken(0);
  ASSERT_FALSE(rest.empty());
  EXPECT_GE(rest.front(), 40u);
  EXPECT_EQ(rest, range(rest.front(), 59));
}

TEST(StreamIndexTest, IsBoundedAndKeepsItsSums) {
  StreamIndex index;
  index.set_grain(10, 1'000'000);
  for (Seq seq = 1; seq <= 100'000; ++seq) index.add(seq, 3, static_cast<Millis>(seq * 10));
  EXPECT_LE(index.size(), StreamIndex::kChunksMax);
  EXPECT_EQ(index.bytes(), 300'000u);
  EXPECT_LE(index.front().bytes, 300'000u / 64);
  for (const Seq seq : {Seq{1}, Seq{777}, Seq{50'000}, Seq{100'000}}) {
    const auto range = index.range_of(static_cast<Millis>(seq * 10));
    ASSERT_TRUE(range);
    EXPECT_LE(range->from, seq);
    EXPECT_GE(range->up_to, seq);
  }
  EXPECT_FALSE(index.range_of(1'000'001));
  std::uint64_t sum = 0;
  Seq next = 1;
  while (index.size() > 0) {
    EXPECT_EQ(index.front().from, next);
    next = index.front().up_to + 1;
    sum += index.front().bytes;
    index.drop_front();
  }
  EXPECT_EQ(next, 100'001u);
  EXPECT_EQ(sum, 300'000u);
  EXPECT_EQ(index.bytes(), 0u);
}

// ---- a model ----

struct ModelReader {
  std::uint32_t number = 0;
  std::uint64_t start = 0;
  std::string filter;
};

class StreamModelTest : public StreamRetentionTest, public testing::WithParamInterface<unsigned> {
 protected:
  std::size_t below(std::size_t limit) {
    return std::uniform_int_distribution<std::size_t>(0, limit - 1)(random_);
  }
  std::string some_filter() {
    static const Texts kFilters{"", "a", "b"};
    return kFilters[below(kFilters.size())];
  }

  void add_reader() {
    ModelReader reader{++last_reader_, 0, below(3) == 0 ? "a" : ""};
    const std::uint64_t end = filters_.size();
    StreamSubscription wish;
    switch (below(4)) {
      case 0:
        wish = from(StreamStart::First);
        reader.start = first();
        break;
      case 1:
        reader.start = below(end + 5);
        wish = from(StreamPosition{static_cast<std::int64_t>(reader.start)});
        break;
      case 2:
        wish = from(StreamStart::Next);
        reader.start = end;
        break;
      default: {
        const Millis ms = now / 1'000 * 1'000 - static_cast<Millis>(below(20)) * 1'000;
        wish = from(StreamTimestamp{static_cast<std::uint64_t>(ms / 1'000)});
        const auto at = std::ranges::lower_bound(times_, ms);
        reader.start = static_cast<std::uint64_t>(at - times_.begin());
        break;
      }
    }
    if (!reader.filter.empty()) wish.filters = {reader.filter};
    consume(reader.number, wish, static_cast<std::uint32_t>(1 + below(5)));
    readers_.push_back(reader);
  }

  std::uint64_t first() const { return filters_.size() - queue->ready_count(); }

  // A reader sees what it wants, in order; what is missing was given up before it got there.
  void check(const ModelReader& reader, bool to_the_end) {
    const Offsets& seen = got[reader.number];
    for (std::size_t i = 1; i < seen.size(); ++i) ASSERT_LT(seen[i - 1], seen[i]);
    std::size_t at = 0;
    const std::uint64_t end = to_the_end ? filters_.size() : (seen.empty() ? 0 : seen.back() + 1);
    for (std::uint64_t offset = reader.start; offset < end; ++offset) {
      if (!reader.filter.empty() && filters_[offset] != reader.filter) continue;
      if (at < seen.size() && seen[at] == offset) {
        ++at;
      } else {
        ASSERT_LT(offset, first()) << "reader " << reader.number << " has missed it";
      }
    }
    ASSERT_EQ(at, seen.size()) << "reader " << reader.number << " has got what it must not";
  }

  void crash() {
    const std::uint64_t ever = next_durable();
    filters_.resize(ever);
    times_.resize(ever);
    restart();
    readers_.clear();
  }
  std::uint64_t next_durable() {
    persistence::Recovery recovery;
    recovery.head_bytes_max = 0;
    if (!store.recover(recovery).ok() || recovery.queues.empty()) return 0;
    return recovery.queues.front().seq_max;
  }

  std::mt19937 random_{GetParam()};
  std::vector<std::string> filters_;  // of every message, by offset
  std::vector<Millis> times_;
  std::vector<ModelReader> readers_;
  std::uint32_t last_reader_ = 0;
};

TEST_P(StreamModelTest, Holds) {
  if (GetParam() % 3 == 1) {
    limit_bytes(40);
  } else if (GetParam() % 3 == 2) {
    limit_age("7s");
  } else {
    open();
  }
  for (int step = 0; step < 1'500; ++step) {
    switch (below(12)) {
      case 0:
      case 1:
      case 2:
        for (std::size_t count = 1 + below(4); count > 0; --count) {
          filters_.push_back(some_filter());
          times_.push_back(now);
          publish(1, filters_.back());
        }
        break;
      case 3:
        commit();
        break;
      case 4:
        make_durable();
        break;
      case 5:
      case 6:
        if (!fetches.empty()) answer();
        break;
      case 7:
      case 8:
        if (!deliveries.empty()) {
          const std::size_t at = below(deliveries.size());
          const Delivery delivery = deliveries[at];
          deliveries.erase(deliveries.begin() + static_cast<std::ptrdiff_t>(at));
          settle(delivery, below(2) == 0 ? Outcome::Ack : Outcome::Requeue);
        }
        break;
      case 9:
        now += static_cast<Millis>(below(1'500));
        queue->wake(*this);
        break;
      case 10:
        if (readers_.size() < 8) {
          add_reader();
        } else {
          const std::size_t at = below(readers_.size());
          check(readers_[at], false);
          queue->release(ref(readers_[at].number).channel, *this);
          std::erase_if(deliveries, [&](const Delivery& delivery) {
            return delivery.consumer == ref(readers_[at].number);
          });
          readers_.erase(readers_.begin() + static_cast<std::ptrdiff_t>(at));
        }
        break;
      default:
        if (below(30) == 0) {
          crash();
        } else if (below(8) == 0 && queue->idle()) {
          queue->evict();
        }
        break;
    }
    if (HasFatalFailure()) return;
  }
  settle_down();
  for (const ModelReader& reader : readers_) check(reader, true);
  EXPECT_EQ(in_store(), queue->ready_count());
}

INSTANTIATE_TEST_SUITE_P(Seeds, StreamModelTest, testing::Range(1u, 31u));

}  // namespace
}  // namespace harrier::broker
