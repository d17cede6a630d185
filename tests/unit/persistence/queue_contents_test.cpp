// SPDX-License-Identifier: Apache-2.0
#include "persistence/queue_contents.hpp"

#include <algorithm>
#include <map>
#include <numeric>
#include <random>
#include <string>

#include <gtest/gtest.h>

namespace harrier::persistence_tests {
namespace {

using namespace harrier::persistence;

StoredMessage message_of(Seq seq, std::size_t body_size) {
  const std::string body(body_size, 'x');
  return {
      seq,
      protocol::Message::create("", "", protocol::Properties().encode(), protocol::as_bytes(body)),
      0, std::nullopt, 0};
}

// One message that nobody settles while millions pass behind it.
TEST(QueueContents, StuckHeadDoesNotKeepSlots) {
  QueueContents contents;
  contents.insert(message_of(1, 10));
  std::size_t slots_max = 0;
  for (Seq seq = 2; seq < 100'000; ++seq) {
    contents.insert(message_of(seq, 10));
    if (seq > 12) contents.erase(seq - 10);
    slots_max = std::max(slots_max, contents.slot_count());
  }
  EXPECT_LE(slots_max, 70u);
  EXPECT_EQ(contents.first(), Seq{1});
}

TEST(QueueContents, EmptiedHoldsNothing) {
  QueueContents contents;
  for (Seq seq = 1; seq <= 1000; ++seq) contents.insert(message_of(seq, 1));
  for (Seq seq = 1000; seq >= 1; --seq) contents.erase(seq);
  EXPECT_EQ(contents.size(), 0u);
  EXPECT_EQ(contents.slot_count(), 0u);
  EXPECT_EQ(contents.bytes(), 0u);
  EXPECT_EQ(contents.seq_max(), 1000u);
  EXPECT_EQ(contents.first(), std::nullopt);
}

TEST(QueueContents, LetsGoOfSettledMessagesAtOnce) {
  QueueContents contents;
  const std::int64_t before = protocol::message_bytes_in_memory();
  for (Seq seq = 1; seq <= 9; ++seq) contents.insert(message_of(seq, 1000));
  const std::int64_t full = protocol::message_bytes_in_memory() - before;
  contents.erase(5);  // in the middle: its slot stays
  EXPECT_EQ(contents.slot_count(), 9u);
  EXPECT_EQ(protocol::message_bytes_in_memory() - before, full / 9 * 8);
}

TEST(QueueContents, EqualsAMapUnderRandomUse) {
  std::mt19937_64 random(7);
  for (int round = 0; round < 30; ++round) {
    QueueContents contents;
    std::map<Seq, std::pair<std::size_t, std::uint32_t>> model;  // body size, delivery count
    for (int step = 0; step < 2000; ++step) {
      const Seq seq = random() % 300;
      const std::uint32_t count = static_cast<std::uint32_t>(random() % 10);
      const std::uint64_t choice = random() % 100;
      if (choice < 45) {
        contents.insert(message_of(seq, count));
        model[seq] = {content_size(*message_of(seq, count).message), 0};
      } else if (choice < 90) {
        contents.erase(seq);
        model.erase(seq);
      } else if (choice < 99) {
        contents.set_delivery_count(seq, count);
        if (const auto found = model.find(seq); found != model.end()) found->second.second = count;
      } else {
        contents.erase_range(0, seq);
        model.erase(model.begin(), model.upper_bound(seq));
      }
      ASSERT_EQ(contents.size(), model.size());
      ASSERT_LE(contents.slot_count(), 64 + 2 * model.size());
    }
    std::vector<StoredMessage> read;
    EXPECT_EQ(contents.read(0, 1u << 30, read), std::nullopt);
    ASSERT_EQ(read.size(), model.size());
    std::uint64_t bytes = 0;
    auto expected = model.begin();
    for (const StoredMessage& message : read) {
      EXPECT_EQ(message.seq, expected->first);
      EXPECT_EQ(content_size(*message.message), expected->second.first);
      EXPECT_EQ(message.delivery_count, expected->second.second);
      bytes += expected++->second.first;
    }
    EXPECT_EQ(contents.bytes(), bytes);
  }
}

// As delayed messages come: a quadratic insertion would take minutes.
TEST(QueueContents, TakesPositionsInAnyOrder) {
  QueueContents contents;
  std::vector<Seq> seqs(300'000);
  std::iota(seqs.begin(), seqs.end(), Seq{1} << 63);
  std::shuffle(seqs.begin(), seqs.end(), std::mt19937_64(5));
  const StoredMessage one = message_of(1, 10);
  for (const Seq seq : seqs) contents.insert({seq, one.message, 0, std::nullopt, 0});
  EXPECT_EQ(contents.size(), seqs.size());
  EXPECT_EQ(contents.first(), Seq{1} << 63);
  Seq next = Seq{1} << 63;
  std::optional<Seq> from = 0;
  while (from) {
    std::vector<StoredMessage> page;
    from = contents.read(*from, 100'000, page);
    for (const StoredMessage& message : page) ASSERT_EQ(message.seq, next++);
  }
  EXPECT_EQ(next, (Seq{1} << 63) + seqs.size());
  for (const Seq seq : seqs) contents.erase(seq);
  EXPECT_EQ(contents.slot_count(), 0u);
}

}  // namespace
}  // namespace harrier::persistence_tests
