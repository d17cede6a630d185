// SPDX-License-Identifier: Apache-2.0
#include "broker/core/output_buffer.hpp"

#include <algorithm>
#include <array>
#include <random>
#include <vector>

#include <gtest/gtest.h>

namespace harrier::broker {
namespace {

using protocol::ByteView;
using protocol::Message;
using Bytes = std::vector<std::uint8_t>;

Bytes some_bytes(std::size_t size, std::mt19937_64& random) {
  Bytes bytes(size);
  for (auto& byte : bytes) byte = static_cast<std::uint8_t>(random());
  return bytes;
}

const Bytes kNoProperties = protocol::Properties{}.encode();

TEST(OutputBufferTest, GivesBackWhatWasPutInForEveryChunking) {
  for (std::uint64_t seed = 1; seed <= 60; ++seed) {
    std::mt19937_64 random(seed);
    OutputBuffer buffer;
    Bytes in;
    Bytes out;
    for (int step = 0; step < 400; ++step) {
      const Bytes bytes = some_bytes(random() % (random() % 8 == 0 ? 20'000 : 300), random);
      switch (random() % 4) {
        case 0:
          buffer.append_copy(bytes);
          break;
        case 1: {
          std::uint8_t* at = buffer.reserve(bytes.size() + random() % 50);
          buffer.commit(std::copy(bytes.begin(), bytes.end(), at));
          break;
        }
        case 2: {
          const auto message = Message::create("", "", kNoProperties, bytes);
          buffer.append(message, message->body());
          break;
        }
        default: {
          std::array<ByteView, 8> slices;
          const std::size_t count = buffer.gather(std::span(slices).first(1 + random() % 8));
          std::size_t left = random() % 30'000;
          std::size_t taken = 0;
          for (std::size_t i = 0; i < count && left > 0; ++i) {
            const ByteView part = slices[i].first(std::min(left, slices[i].size()));
            out.insert(out.end(), part.begin(), part.end());
            left -= part.size();
            taken += part.size();
          }
          buffer.consume(taken);
          ASSERT_EQ(buffer.size(), in.size() - out.size());
          continue;
        }
      }
      in.insert(in.end(), bytes.begin(), bytes.end());
    }
    EXPECT_EQ(buffer.appended_total(), in.size());
    while (!buffer.empty()) {
      std::array<ByteView, 1> slice;
      ASSERT_EQ(buffer.gather(slice), 1u);
      out.insert(out.end(), slice[0].begin(), slice[0].end());
      buffer.consume(slice[0].size());
    }
    EXPECT_EQ(out, in);
  }
}

TEST(OutputBufferTest, CopiesSmallBodiesAndReferencesLargeOnes) {
  std::mt19937_64 random(1);
  const auto small =
      Message::create("", "", kNoProperties, some_bytes(OutputBuffer::kCopyMax, random));
  const auto large =
      Message::create("", "", kNoProperties, some_bytes(OutputBuffer::kCopyMax + 1, random));
  OutputBuffer buffer;
  buffer.append(small, small->body());
  buffer.append(large, large->body());
  std::array<ByteView, 4> slices;
  ASSERT_EQ(buffer.gather(slices), 2u);
  EXPECT_NE(slices[0].data(), small->body().data());
  EXPECT_EQ(slices[1].data(), large->body().data());
}

TEST(OutputBufferTest, KeepsTheMessageUntilItIsWritten) {
  std::mt19937_64 random(1);
  const Bytes body = some_bytes(5'000, random);
  const std::int64_t before = protocol::message_bytes_in_memory();
  OutputBuffer buffer;
  {
    const auto message = Message::create("", "", kNoProperties, body);
    buffer.append(message, message->body());
  }
  buffer.consume(4'999);
  EXPECT_GT(protocol::message_bytes_in_memory(), before);
  buffer.consume(1);
  EXPECT_EQ(protocol::message_bytes_in_memory(), before);
}

}  // namespace
}  // namespace harrier::broker
