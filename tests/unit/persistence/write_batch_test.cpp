// SPDX-License-Identifier: Apache-2.0
#include "persistence/write_batch.hpp"

#include <random>
#include <string>

#include <gtest/gtest.h>

namespace harrier::persistence_tests {
namespace {

using namespace harrier::persistence;
using protocol::ByteView;
using protocol::Message;

constexpr QueueId kQueue{0x0102030405060708};

protocol::MessagePtr message_of(std::string_view body) {
  protocol::Properties properties;
  properties.delivery_mode = 2;
  properties.headers = protocol::Table().add("h", "v");
  return Message::create("ex", "rk", properties.encode(), protocol::as_bytes(body));
}

WriteBatch one_of_each() {
  WriteBatch batch;
  batch.add(Enqueue{kQueue, 9, message_of("body"), 1'700'000'000'000, 1'700'000'060'000});
  batch.add(Enqueue{kQueue, 10, message_of(""), -1, std::nullopt});
  batch.add(Settle{kQueue, 9});
  batch.add(Requeue{kQueue, 10, 3});
  batch.add(DropQueue{kQueue});
  batch.add(Purge{kQueue, 4, 10});
  batch.add(Define{Kind::Queue, "/", "q", {1, 2, 3}});
  batch.add(Forget{Kind::Counter, "", "n"});
  return batch;
}

template <class T>
Bytes encoded(T record) {
  WriteBatch batch;
  batch.add(std::move(record));
  return encode(batch);
}

TEST(WriteBatch, EmptyBytesAreFixed) { EXPECT_EQ(encode(WriteBatch()), (Bytes{0, 0, 0, 0})); }

TEST(WriteBatch, EnqueueBytesAreFixed) {
  protocol::Properties properties;
  properties.delivery_mode = 2;
  const std::string body = "hi";
  Enqueue record{kQueue, 0x1122334455667788,
                 Message::create("e", "rk", properties.encode(), protocol::as_bytes(body)), 0x0a0b,
                 std::nullopt};
  const Bytes expected{0,    0,    0,    1,    1,                       // one record, Enqueue
                       1,    2,    3,    4,    5,    6,    7,    8,     // queue
                       0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88,  // seq
                       0,    0,    0,    0,    0,    0,    0x0a, 0x0b,  // enqueued at
                       0,                                               // no expiry
                       1,    'e',  2,    'r',  'k',                     // exchange, key
                       0,    0,    0,    3,    0x10, 0x00, 2,           // properties
                       0,    0,    0,    2,    'h',  'i'};              // body
  EXPECT_EQ(encoded(record), expected);
  record.expires_at_ms = -2;
  Bytes expiring = expected;
  const auto expiry = expiring.begin() + 29;
  *expiry = 1;
  const Bytes minus_two{255, 255, 255, 255, 255, 255, 255, 254};
  expiring.insert(expiry + 1, minus_two.begin(), minus_two.end());
  EXPECT_EQ(encoded(record), expiring);
}

TEST(WriteBatch, OtherBytesAreFixed) {
  EXPECT_EQ(encoded(Settle{kQueue, 9}),
            (Bytes{0, 0, 0, 1, 2, 1, 2, 3, 4, 5, 6, 7, 8, 0, 0, 0, 0, 0, 0, 0, 9}));
  EXPECT_EQ(encoded(Requeue{kQueue, 9, 258}),
            (Bytes{0, 0, 0, 1, 3, 1, 2, 3, 4, 5, 6, 7, 8, 0, 0, 0, 0, 0, 0, 0, 9, 0, 0, 1, 2}));
  EXPECT_EQ(encoded(DropQueue{kQueue}), (Bytes{0, 0, 0, 1, 4, 1, 2, 3, 4, 5, 6, 7, 8}));
  EXPECT_EQ(encoded(Purge{kQueue, 4, 9}), (Bytes{0, 0, 0, 1, 5, 1, 2, 3, 4, 5, 6, 7, 8, 0, 0,
                                                 0, 0, 0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0, 9}));
  EXPECT_EQ(encoded(Define{Kind::Queue, "/", "qn", {7}}),
            (Bytes{0, 0, 0, 1, 6, 3, 0, 0, 0, 1, '/', 0, 0, 0, 2, 'q', 'n', 0, 0, 0, 1, 7}));
  EXPECT_EQ(encoded(Forget{Kind::Binding, "/", "b"}),
            (Bytes{0, 0, 0, 1, 7, 4, 0, 0, 0, 1, '/', 0, 0, 0, 1, 'b'}));
}

TEST(WriteBatch, KindsAreOnDisk) {
  EXPECT_EQ(static_cast<int>(Kind::Vhost), 1);
  EXPECT_EQ(static_cast<int>(Kind::Exchange), 2);
  EXPECT_EQ(static_cast<int>(Kind::Queue), 3);
  EXPECT_EQ(static_cast<int>(Kind::Binding), 4);
  EXPECT_EQ(static_cast<int>(Kind::User), 5);
  EXPECT_EQ(static_cast<int>(Kind::Permission), 6);
  EXPECT_EQ(static_cast<int>(Kind::Policy), 7);
  EXPECT_EQ(static_cast<int>(Kind::Parameter), 8);
  EXPECT_EQ(static_cast<int>(Kind::Counter), 9);
}

TEST(WriteBatch, EqualityIsByValue) {
  EXPECT_EQ(one_of_each(), one_of_each());  // different Message objects
  EXPECT_NE((Enqueue{kQueue, 1, message_of("a"), 0, {}}),
            (Enqueue{kQueue, 1, message_of("b"), 0, {}}));
  EXPECT_NE((Enqueue{kQueue, 1, message_of("a"), 0, {}}), (Enqueue{kQueue, 1, {}, 0, {}}));
  EXPECT_NE((Enqueue{kQueue, 1, message_of("a"), 0, {}}),
            (Enqueue{kQueue, 1, message_of("a"), 0, 0}));
  EXPECT_NE(one_of_each(), WriteBatch());
}

TEST(WriteBatch, RoundTrip) {
  const Bytes bytes = encode(one_of_each());
  EXPECT_EQ(bytes.size(), encoded_size(one_of_each()));
  const std::optional<WriteBatch> decoded = decode(bytes);
  ASSERT_TRUE(decoded);
  EXPECT_EQ(*decoded, one_of_each());
  EXPECT_EQ(encode(*decoded), bytes);
  EXPECT_TRUE(std::get<Enqueue>(decoded->records()[0]).message->persistent());
}

TEST(WriteBatch, TruncatedOrLongerIsRefused) {
  Bytes bytes = encode(one_of_each());
  for (std::size_t size = 0; size < bytes.size(); ++size) {
    EXPECT_FALSE(decode(ByteView(bytes.data(), size))) << size;
  }
  bytes.push_back(0);
  EXPECT_FALSE(decode(bytes));
}

TEST(WriteBatch, WrongValuesAreRefused) {
  const auto refused = [](Bytes bytes, std::size_t at, std::uint8_t value) {
    bytes[at] = value;
    return !decode(bytes);
  };
  const Bytes enqueue = encoded(Enqueue{kQueue, 1, message_of("b"), 0, std::nullopt});
  EXPECT_TRUE(refused(enqueue, 4, 0));  // tag
  EXPECT_TRUE(refused(enqueue, 4, 8));
  EXPECT_TRUE(refused(enqueue, 29, 2));     // expiry is 0 or 1
  EXPECT_TRUE(refused(enqueue, 40, 0xff));  // flags of properties that are not there
  const Bytes define = encoded(Define{Kind::Queue, "/", "q", {}});
  EXPECT_TRUE(refused(define, 5, 0));  // kind
  EXPECT_TRUE(refused(define, 5, static_cast<std::uint8_t>(kKindMax) + 1));
}

// A count, or a length, is a claim; memory is only given for bytes that are there.
TEST(WriteBatch, FalseClaimsAllocateNothing) {
  EXPECT_FALSE(decode(Bytes{255, 255, 255, 255}));
  const std::int64_t before = protocol::message_bytes_in_memory();
  Bytes bytes = encoded(Enqueue{kQueue, 1, message_of(""), 0, std::nullopt});
  for (std::size_t i = 1; i <= 4; ++i) bytes[bytes.size() - i] = 255;  // the body's length
  EXPECT_FALSE(decode(bytes));
  EXPECT_EQ(protocol::message_bytes_in_memory(), before);
}

TEST(WriteBatch, DecodeIsTotalAndCanonical) {
  const Bytes valid = encode(one_of_each());
  std::mt19937 random(42);
  for (int i = 0; i < 100'000; ++i) {
    Bytes bytes = valid;
    if (i % 4 == 0) {
      bytes.resize(random() % 64);
      for (std::uint8_t& byte : bytes) byte = static_cast<std::uint8_t>(random());
      if (bytes.size() > 4) bytes[0] = bytes[1] = bytes[2] = 0;
    } else {
      for (auto changes = 1 + random() % 4; changes > 0; --changes) {
        bytes[random() % bytes.size()] = static_cast<std::uint8_t>(random());
      }
    }
    if (const std::optional<WriteBatch> decoded = decode(bytes)) {
      ASSERT_EQ(encode(*decoded), bytes);
    }
  }
}

}  // namespace
}  // namespace harrier::persistence_tests
