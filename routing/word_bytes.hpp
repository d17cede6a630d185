// SPDX-License-Identifier: Apache-2.0
//
// Eight bytes at a time, in a machine word: the first is the lowest. What maps and matchers of this
// folder search and compare with instead of going byte by byte.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>

namespace harrier::routing {

inline constexpr std::size_t kWordBytes = sizeof(std::uint64_t);
static_assert(std::endian::native == std::endian::little);

inline std::uint64_t load_word(const void* at) {
  std::uint64_t bytes = 0;
  std::memcpy(&bytes, at, kWordBytes);
  return bytes;
}

// The bytes that are this one, as their highest bits: the lowest of them is right, and some above
// it may be wrong.
constexpr std::uint64_t bytes_equal_to(std::uint8_t byte, std::uint64_t word) {
  constexpr std::uint64_t kLow = 0x0101010101010101;
  constexpr std::uint64_t kHigh = 0x8080808080808080;
  const std::uint64_t differences = word ^ kLow * byte;
  return (differences - kLow) & ~differences & kHigh;
}
// Which byte the lowest of these bits belongs to.
constexpr unsigned byte_of(std::uint64_t high_bits) {
  return static_cast<unsigned>(std::countr_zero(high_bits)) / 8;
}

}  // namespace harrier::routing
