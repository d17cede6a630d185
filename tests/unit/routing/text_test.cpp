// SPDX-License-Identifier: Apache-2.0
#include "routing/text.hpp"

#include <cstdint>
#include <set>
#include <string>

#include <gtest/gtest.h>

namespace harrier::routing {
namespace {

std::uint64_t byte_by_byte(const std::string& text) {
  std::uint64_t bytes = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    bytes |= std::uint64_t{static_cast<unsigned char>(text[i])} << 8 * i;
  }
  return bytes;
}

TEST(Text, LoadsUpToEightBytes) {
  std::string text;
  for (std::size_t size = 0; size <= 8; ++size) {
    EXPECT_EQ(load_bytes(text.data(), size), byte_by_byte(text)) << size;
    text += static_cast<char>(0xf1 + size);
  }
}

// What is chosen by the hash of a name stays where it is when the broker is replaced.
TEST(Text, HashesAsItAlwaysDid) {
  EXPECT_EQ(hash_text(""), 0x0000000000000000ULL);
  EXPECT_EQ(hash_text("a"), 0x3881e29a61861668ULL);
  EXPECT_EQ(hash_text("ab"), 0xd146272d57daa580ULL);
  EXPECT_EQ(hash_text("abc"), 0x8084b0e30860e2d7ULL);
  EXPECT_EQ(hash_text("word"), 0x56ac710b23560bb7ULL);
  EXPECT_EQ(hash_text("queue"), 0xaf1ff4505f9c9efaULL);
  EXPECT_EQ(hash_text("orders"), 0x47afe78e340d3230ULL);
  EXPECT_EQ(hash_text("europe7"), 0xbaf1845466007641ULL);
  EXPECT_EQ(hash_text("eight888"), 0xcf3276cb2fd81eb8ULL);
  EXPECT_EQ(hash_text("longer than eight"), 0xa5c3bcb0da75dfb9ULL);
}

TEST(Text, EveryByteAndTheLengthCount) {
  std::set<std::uint64_t> hashes;
  std::size_t made = 0;
  for (std::size_t size = 0; size <= 24; ++size) {
    const std::string zeros(size, '\0');
    hashes.insert(hash_text(zeros));
    ++made;
    for (std::size_t i = 0; i < size; ++i) {
      std::string text = zeros;
      text[i] = 1;
      hashes.insert(hash_text(text));
      ++made;
    }
  }
  EXPECT_EQ(hashes.size(), made);
}

}  // namespace
}  // namespace harrier::routing
