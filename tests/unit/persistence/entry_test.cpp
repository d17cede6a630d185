// SPDX-License-Identifier: Apache-2.0
//
// What a journal entry says: golden bytes, what is left out, what is written once; and the delta
// that comes of it.
#include "persistence/entry.hpp"

#include <set>
#include <string>

#include <gtest/gtest.h>

#include "persistence/delta.hpp"
#include "persistence/record_codec.hpp"

namespace harrier::persistence {
namespace {

using protocol::ByteView;
using protocol::Message;
using protocol::MessagePtr;

constexpr QueueId kQueue{7};

MessagePtr message_of(std::string_view body) {
  protocol::Properties properties;
  properties.delivery_mode = 2;
  return Message::create("e", "rk", properties.encode(), protocol::as_bytes(body));
}

Enqueue enqueue(Seq seq, MessagePtr message, QueueId queue = kQueue) {
  return {queue, seq, std::move(message), 5, std::nullopt};
}

class Entry : public testing::Test {
 protected:
  // The entry of these batches, in one piece.
  Bytes write(const std::vector<std::vector<Record>>& batches) {
    kept_.clear();
    for (const auto& records : batches) {
      WriteBatch batch;
      for (const Record& record : records) batch.add(record);
      kept_.push_back(std::move(batch));
    }
    writer_.begin(next_content_, [this](ContentId id) { return known_.contains(id); });
    for (const WriteBatch& batch : kept_) writer_.add(batch);
    Bytes bytes;
    pieces_ = 0;
    for (const ByteView piece : writer_.finish()) {
      bytes.insert(bytes.end(), piece.begin(), piece.end());
      ++pieces_;
    }
    EXPECT_EQ(bytes.size(), writer_.size());
    next_content_ = writer_.next_content();
    return bytes;
  }

  std::vector<WriteBatch> kept_;
  EntryWriter writer_;
  ContentId next_content_ = 1;
  std::set<ContentId> known_;
  std::size_t pieces_ = 0;
};

std::vector<Seq> seqs(const Delta& delta, QueueId queue = kQueue) {
  std::vector<Seq> out;
  const QueueDelta* const changes = delta.find(queue);
  if (changes == nullptr) return out;
  for (auto at = changes->added.from(0); at != changes->added.end(); ++at) {
    if (at->filled()) out.push_back(at->seq);
  }
  return out;
}

TEST_F(Entry, SmallRecordsAreThoseOfAWriteBatch) {
  WriteBatch batch;
  batch.add(enqueue(1, message_of("hi")));
  batch.add(Settle{kQueue, 9});
  batch.add(Define{Kind::Queue, "/", "q", {1}});
  const Bytes whole = encode(batch);
  EXPECT_EQ(write({{batch.records()[0]}, {batch.records()[1], batch.records()[2]}}),
            Bytes(whole.begin() + 4, whole.end()));
}

TEST_F(Entry, LargeMessageBytesAreFixed) {
  const std::string body(kInlineTailMax, 'x');
  const Bytes bytes = write({{enqueue(3, message_of(body))}});
  const auto number = [](std::uint64_t value) {
    Bytes out(8);
    protocol::put_u64(out.data(), value);
    return out;
  };
  const auto low_two = [](std::size_t size) {
    return Bytes{static_cast<std::uint8_t>(size >> 8), static_cast<std::uint8_t>(size & 255)};
  };
  Bytes expected;
  const std::vector<Bytes> parts{
      {8},
      number(1),  // content
      {1, 'e', 2, 'r', 'k', 0, 0, 0, 3, 0x10, 0, 2},
      {0, 0},
      low_two(body.size()),
      Bytes(body.begin(), body.end()),
      {9},
      number(7),  // queue
      number(3),  // seq
      number(5),  // enqueued at
      {0},        // no expiry
      number(1),  // content
      number(body.size() + 6),
  };
  for (const Bytes& part : parts) expected.insert(expected.end(), part.begin(), part.end());
  EXPECT_EQ(bytes, expected);
}

TEST_F(Entry, MessagesThatComeAndGoAreLeftOut) {
  EXPECT_TRUE(write({{enqueue(1, message_of("a"))}, {Settle{kQueue, 1}}}).empty());
  EXPECT_EQ(writer_.enqueued_bytes(), content_size(*message_of("a")));
  const Bytes kept = write({{enqueue(1, message_of("a")), enqueue(2, message_of("b"))},
                            {Settle{kQueue, 1}, Settle{kQueue, 77}}});
  EXPECT_EQ(kept, write({{enqueue(2, message_of("b")), Settle{kQueue, 77}}}));
}

TEST_F(Entry, ASettleFromBeforeLeavesTheMessageIn) {
  const Bytes bytes =
      write({{enqueue(1, message_of("a")), Settle{kQueue, 2}}, {enqueue(2, message_of("b"))}});
  Delta delta;
  ASSERT_TRUE(delta.apply(0, bytes));
  EXPECT_EQ(seqs(delta), (std::vector<Seq>{1, 2}));
}

TEST_F(Entry, AContentIsWrittenOnceForAllQueues) {
  const MessagePtr message = message_of(std::string(100'000, 'y'));
  std::vector<Record> records;
  for (std::uint64_t queue = 1; queue <= 100; ++queue) {
    records.push_back(enqueue(1, message, QueueId{queue}));
  }
  const Bytes bytes = write({records});
  EXPECT_LT(bytes.size(), 100'000u + 100 * 100);
  EXPECT_EQ(pieces_, 3u);  // what comes before, the body where it is, what comes after
  known_ = {message->store_note()};
  EXPECT_LT(write({{enqueue(2, message)}}).size(), 100u);
  known_.clear();  // a checkpoint has been between
  EXPECT_GT(write({{enqueue(3, message)}}).size(), 100'000u);
}

TEST_F(Entry, WhatIsCutOffIsNoEntry) {
  const Bytes bytes =
      write({{enqueue(1, message_of("a")), enqueue(2, message_of(std::string(3'000, 'z'))),
              Settle{kQueue, 9}, Forget{Kind::Binding, "/", "b"}}});
  Delta whole;
  ASSERT_TRUE(whole.apply(0, bytes));
  std::set<std::size_t> whole_records;
  for (std::size_t size = 0; size <= bytes.size(); ++size) {
    Delta delta;
    if (delta.apply(0, ByteView(bytes).first(size))) whole_records.insert(size);
  }
  EXPECT_EQ(whole_records.size(), 6u);  // nothing, and after each of the five records
  for (const std::uint8_t tag : Bytes{0, 10, 255}) {
    Bytes wrong = bytes;
    wrong[0] = tag;
    Delta delta;
    EXPECT_FALSE(delta.apply(0, wrong));
  }
}

TEST_F(Entry, ADeltaKnowsWhereTheTailsAre) {
  const Bytes bytes =
      write({{enqueue(4, message_of("body")), enqueue(5, message_of(std::string(5'000, 'z')))}});
  Delta delta;
  ASSERT_TRUE(delta.apply(1'000, bytes));
  const QueueDelta& queue = *delta.find(kQueue);
  const Added inline_one = *queue.added.from(4);
  StoredMessage decoded;
  protocol::ByteReader reader(ByteView(bytes).subspan(inline_one.at - 1'000, inline_one.size));
  decode_times(reader, decoded);
  EXPECT_EQ(protocol::as_text(decode_message(reader)->body()), "body");
  const Added large = *queue.added.from(5);
  ASSERT_NE(large.content, 0u);
  const JournalSlice slice = *delta.content(large.content);
  protocol::ByteReader content(ByteView(bytes).subspan(slice.at - 1'000, slice.size));
  EXPECT_EQ(decode_message(content)->body().size(), 5'000u);
  EXPECT_EQ(queue.added_bytes, (4u + 6) + (5'000 + 6));
  EXPECT_EQ(delta.content_bytes(large), 5'006u);
}

TEST_F(Entry, ADeltaIsTheNetEffect) {
  Delta delta;
  ASSERT_TRUE(delta.apply(0, write({{enqueue(10, message_of("a")), enqueue(11, message_of("b")),
                                     enqueue(12, message_of("c"))}})));
  ASSERT_TRUE(delta.apply(
      500, write({{Settle{kQueue, 10}, Settle{kQueue, 3}, Settle{kQueue, 4}, Requeue{kQueue, 11, 2},
                   Requeue{kQueue, 6, 1}, Requeue{kQueue, 3, 1}}})));
  const QueueDelta& queue = *delta.find(kQueue);
  EXPECT_EQ(seqs(delta), (std::vector<Seq>{11, 12}));
  EXPECT_EQ(queue.added.from(11)->delivery_count, 2u);
  EXPECT_EQ(queue.delivery_counts, (std::map<Seq, std::uint32_t>{{6, 1}}));
  EXPECT_EQ(queue.gone.size(), 1u);
  EXPECT_TRUE(queue.gone.contains(3) && queue.gone.contains(4));
  EXPECT_FALSE(queue.gone.contains(10));  // it had come since
  ASSERT_TRUE(delta.apply(900, write({{Purge{kQueue, 5, 11}}})));
  EXPECT_EQ(seqs(delta), std::vector<Seq>{12});
  EXPECT_TRUE(queue.delivery_counts.empty());
  EXPECT_EQ(queue.added_bytes, 7u);
  ASSERT_TRUE(delta.apply(950, write({{DropQueue{kQueue}}})));
  EXPECT_TRUE(delta.find(kQueue)->dropped);
  EXPECT_FALSE(delta.find(kQueue)->present);
}

}  // namespace
}  // namespace harrier::persistence
