// SPDX-License-Identifier: Apache-2.0
//
// What the crash test's messages look like: everything in them follows from publisher, number, size
// and persistence, so a message that comes back can be checked without having been kept. The first
// 16 bytes of a body say who it is.
//
//   body = publisher:u32 size:u32 number:u64 filling
#pragma once

#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "protocol/bytes.hpp"

namespace harrier::crash_tests {

inline constexpr std::uint32_t kBodySizeMin = 16;

struct MessageKey {
  std::uint32_t publisher = 0;
  std::uint64_t number = 0;
  friend auto operator<=>(const MessageKey&, const MessageKey&) = default;
};
std::string to_text(const MessageKey& key);

std::vector<std::uint8_t> make_body(const MessageKey& key, std::uint32_t size);
std::vector<std::uint8_t> make_properties(const MessageKey& key, bool persistent);

// Who the body says it is; nullopt if any byte of it is not as make_body() wrote it.
std::optional<MessageKey> read_body(protocol::ByteView body);

}  // namespace harrier::crash_tests
