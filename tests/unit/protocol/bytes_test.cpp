// SPDX-License-Identifier: Apache-2.0
#include "protocol/bytes.hpp"

#include <array>
#include <vector>

#include <gtest/gtest.h>

namespace harrier::protocol {
namespace {

TEST(Bytes, ScalarsAreBigEndian) {  // C-402
  std::array<std::uint8_t, 15> out{};
  std::uint8_t* end = put_u8(out.data(), 0x01);
  end = put_u16(end, 0x0203);
  end = put_u32(end, 0x04050607);
  end = put_u64(end, 0x08090A0B0C0D0E0Full);
  ASSERT_EQ(end, out.data() + out.size());
  for (std::size_t i = 0; i < out.size(); ++i) EXPECT_EQ(out[i], i + 1);

  ByteReader reader(out);
  EXPECT_EQ(reader.u8(), 0x01);
  EXPECT_EQ(reader.u16(), 0x0203);
  EXPECT_EQ(reader.u32(), 0x04050607u);
  EXPECT_EQ(reader.u64(), 0x08090A0B0C0D0E0Full);
  EXPECT_EQ(reader.remaining(), 0u);
  EXPECT_TRUE(reader.ok());
}

TEST(Bytes, StringsCarryTheirLength) {
  std::vector<std::uint8_t> out(1 + 255 + 4 + 2);
  const std::string longest(255, 'x');
  std::uint8_t* const end = put_longstr(put_shortstr(out.data(), longest), "yz");
  ASSERT_EQ(end, out.data() + out.size());
  ByteReader reader(out);
  EXPECT_EQ(reader.shortstr(), longest);
  EXPECT_EQ(reader.longstr(), "yz");
  EXPECT_TRUE(reader.ok());
}

TEST(Bytes, ReadingPastTheEndLatches) {
  const std::array<std::uint8_t, 3> bytes{5, 'a', 'b'};
  ByteReader reader(bytes);
  EXPECT_EQ(reader.shortstr(), "");
  EXPECT_FALSE(reader.ok());
  EXPECT_EQ(reader.remaining(), 0u);
  EXPECT_EQ(reader.u8(), 0);  // although two bytes are left
  EXPECT_FALSE(reader.ok());
}

TEST(Bytes, HugeLongStringLengthDoesNotOverflow) {
  const std::array<std::uint8_t, 4> bytes{0xFF, 0xFF, 0xFF, 0xFF};
  ByteReader reader(bytes);
  EXPECT_EQ(reader.longstr(), "");
  EXPECT_FALSE(reader.ok());
}

TEST(Bytes, EmptyInput) {
  ByteReader reader({});
  EXPECT_TRUE(reader.ok());
  EXPECT_EQ(reader.remaining(), 0u);
  EXPECT_TRUE(reader.raw(0).empty());
  EXPECT_TRUE(reader.ok());
  EXPECT_EQ(reader.u64(), 0u);
  EXPECT_FALSE(reader.ok());
}

}  // namespace
}  // namespace harrier::protocol
