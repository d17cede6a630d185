// SPDX-License-Identifier: Apache-2.0
#include "persistence/crc32c.hpp"

#include <array>
#include <bit>
#include <cstring>

#include "protocol/check.hpp"

#if defined(__x86_64__)
#include <nmmintrin.h>
#endif

namespace harrier::persistence {
namespace {

constexpr std::uint32_t kPolynomial = 0x82f63b78;  // reflected
constexpr std::size_t kSlices = 8;
using Tables = std::array<std::array<std::uint32_t, 256>, kSlices>;

// Table k holds the checksum of each byte followed by k zero bytes.
constexpr Tables make_tables() {
  Tables tables{};
  for (std::uint32_t byte = 0; byte < 256; ++byte) {
    std::uint32_t crc = byte;
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ ((crc & 1) != 0 ? kPolynomial : 0);
    tables[0][byte] = crc;
  }
  for (std::size_t slice = 1; slice < kSlices; ++slice) {
    for (std::size_t byte = 0; byte < 256; ++byte) {
      const std::uint32_t crc = tables[slice - 1][byte];
      tables[slice][byte] = (crc >> 8) ^ tables[0][crc & 0xff];
    }
  }
  return tables;
}

constexpr Tables kTables = make_tables();
static_assert(std::endian::native == std::endian::little, "the words below are read as they lie");

std::uint64_t load_u64(const std::uint8_t* at) {
  std::uint64_t word = 0;
  std::memcpy(&word, at, sizeof word);
  return word;
}

}  // namespace

std::uint32_t crc32c_by_table(protocol::ByteView bytes, std::uint32_t crc) {
  crc = ~crc;
  const std::uint8_t* at = bytes.data();
  std::size_t left = bytes.size();
  for (; left >= 8; left -= 8, at += 8) {
    const std::uint64_t word = load_u64(at) ^ crc;
    crc = 0;
    for (std::size_t i = 0; i < 8; ++i) crc ^= kTables[7 - i][(word >> (8 * i)) & 0xff];
  }
  for (; left > 0; --left, ++at) crc = (crc >> 8) ^ kTables[0][(crc ^ *at) & 0xff];
  return ~crc;
}

#if defined(__x86_64__)

bool crc32c_has_instruction() { return __builtin_cpu_supports("sse4.2") != 0; }

__attribute__((target("sse4.2"))) std::uint32_t crc32c_by_instruction(protocol::ByteView bytes,
                                                                      std::uint32_t crc) {
  std::uint64_t wide = static_cast<std::uint32_t>(~crc);
  const std::uint8_t* at = bytes.data();
  std::size_t left = bytes.size();
  for (; left >= 8; left -= 8, at += 8) wide = _mm_crc32_u64(wide, load_u64(at));
  auto narrow = static_cast<std::uint32_t>(wide);
  for (; left > 0; --left, ++at) narrow = _mm_crc32_u8(narrow, *at);
  return ~narrow;
}

#else

bool crc32c_has_instruction() { return false; }
std::uint32_t crc32c_by_instruction(protocol::ByteView, std::uint32_t) {
  HARRIER_CHECK(crc32c_has_instruction());
  return 0;
}

#endif

std::uint32_t crc32c(protocol::ByteView bytes, std::uint32_t crc) {
  static const auto chosen = crc32c_has_instruction() ? crc32c_by_instruction : crc32c_by_table;
  return chosen(bytes, crc);
}

}  // namespace harrier::persistence
