// SPDX-License-Identifier: Apache-2.0
#include "broker/bench/body.hpp"

#include <cstddef>

#include <gtest/gtest.h>

namespace harrier::bench {
namespace {

constexpr std::size_t kSize = 100;

std::vector<std::uint8_t> body_of(const BodyFormat& format, const BodyHeader& header,
                                  std::size_t size = kSize) {
  std::vector<std::uint8_t> body(format.filler(), format.filler() + size);
  format.put_header(body.data(), header, size);
  return body;
}

bool accepts(const BodyFormat& format, const std::vector<std::uint8_t>& body, std::size_t piece,
             BodyHeader& out) {
  BodyCheck check(format);
  check.begin(body.size());
  for (std::size_t at = 0; at < body.size(); at += piece) {
    check.feed({body.data() + at, std::min(piece, body.size() - at)});
  }
  return check.finish(out);
}

TEST(Body, IsReadBackInPiecesOfAnySize) {
  const BodyFormat format(1, kSize);
  const BodyHeader sent{kStreamsMax - 1, kSequenceMask, 0xFFFF'FFFF};
  const auto body = body_of(format, sent);
  for (std::size_t piece = 1; piece <= kSize; ++piece) {
    BodyHeader seen;
    ASSERT_TRUE(accepts(format, body, piece, seen)) << piece;
    EXPECT_EQ(seen, sent);
  }
}

TEST(Body, TheSmallestIsTheHeaderAlone) {
  const BodyFormat format(1, kBodyHeaderSize);
  const BodyHeader sent{3, 4, 5};
  BodyHeader seen;
  EXPECT_TRUE(accepts(format, body_of(format, sent, kBodyHeaderSize), kBodyHeaderSize, seen));
  EXPECT_EQ(seen, sent);
}

TEST(Body, AnyFlippedBitIsFoundOut) {
  const BodyFormat format(1, kSize);
  const auto body = body_of(format, {7, 8, 9});
  for (std::size_t at = 0; at < body.size(); ++at) {
    for (unsigned bit = 0; bit < 8; ++bit) {
      auto damaged = body;
      damaged[at] = static_cast<std::uint8_t>(damaged[at] ^ (1u << bit));
      BodyHeader seen;
      EXPECT_FALSE(accepts(format, damaged, kSize, seen)) << at << ' ' << bit;
    }
  }
}

TEST(Body, OfAnotherSizeOrRunIsFoundOut) {
  const BodyFormat format(1, kSize), other(2, kSize);
  BodyHeader seen;
  auto body = body_of(format, {7, 8, 9});
  EXPECT_FALSE(accepts(other, body, kSize, seen));
  body.pop_back();
  EXPECT_FALSE(accepts(format, body, kSize, seen));
  body.resize(kBodyHeaderSize - 1);
  EXPECT_FALSE(accepts(format, body, kSize, seen));
  BodyCheck check(format);  // larger than any that was sent
  check.begin(kSize + 1);
  check.feed({body_of(format, {7, 8, 9}).data(), kSize});
  EXPECT_FALSE(check.finish(seen));
}

TEST(Body, TicksSurviveTheirWrapAround) {
  const std::uint64_t wrap_ns = (std::uint64_t{1} << 32) * kTickNs;
  EXPECT_EQ(elapsed_ns(to_ticks(wrap_ns - 1000), wrap_ns + 500), 1500u);
  EXPECT_EQ(elapsed_ns(to_ticks(1000), 1000), 0u);
}

}  // namespace
}  // namespace harrier::bench
