// SPDX-License-Identifier: Apache-2.0
#include "persistence/crc32c.hpp"

#include <numeric>
#include <random>
#include <string>
#include <vector>

#include <gtest/gtest.h>

namespace harrier::persistence_tests {
namespace {

using namespace harrier::persistence;
using protocol::ByteView;
using Bytes = std::vector<std::uint8_t>;

// From RFC 3720, B.4, and the check value of the usual catalogues.
TEST(Crc32c, HasTheKnownValues) {
  Bytes ascending(32);
  std::iota(ascending.begin(), ascending.end(), std::uint8_t{0});
  const Bytes descending(ascending.rbegin(), ascending.rend());
  for (const auto crc : {crc32c_by_table, crc32c}) {
    EXPECT_EQ(crc({}, 0), 0U);
    EXPECT_EQ(crc(protocol::as_bytes("123456789"), 0), 0xe3069283U);
    EXPECT_EQ(crc(Bytes(32, 0), 0), 0x8a9136aaU);
    EXPECT_EQ(crc(Bytes(32, 0xff), 0), 0x62a8ab43U);
    EXPECT_EQ(crc(ascending, 0), 0x46dd794eU);
    EXPECT_EQ(crc(descending, 0), 0x113fdb5cU);
  }
}

TEST(Crc32c, BothWaysAgreeAtEveryLengthAndAlignment) {
  // Where the processor has no instruction for it, what is chosen is the table itself.
  const auto other = crc32c_has_instruction() ? crc32c_by_instruction : crc32c;
  std::mt19937 random(1);
  Bytes bytes(300);
  for (auto& byte : bytes) byte = static_cast<std::uint8_t>(random());
  for (std::size_t from = 0; from < 9; ++from) {
    for (std::size_t size = 0; size + from <= bytes.size(); ++size) {
      const ByteView view = ByteView(bytes).subspan(from, size);
      const auto before = static_cast<std::uint32_t>(random());
      ASSERT_EQ(crc32c_by_table(view, before), other(view, before)) << size;
    }
  }
}

TEST(Crc32c, GoesOnFromAnyPlace) {
  const std::string text = "a journal entry in pieces";
  for (std::size_t i = 0; i <= text.size(); ++i) {
    const ByteView all = protocol::as_bytes(text);
    EXPECT_EQ(crc32c(all.subspan(i), crc32c(all.first(i))), crc32c(all));
  }
}

}  // namespace
}  // namespace harrier::persistence_tests
