// SPDX-License-Identifier: Apache-2.0
#include "protocol/utf8.hpp"

#include <cstddef>
#include <cstdint>

namespace harrier::protocol {
namespace {

struct Lead {
  std::size_t following;           // continuation bytes
  std::uint8_t second_min = 0x80;  // tighter for E0, ED, F0, F4: overlong forms, surrogates, range
  std::uint8_t second_max = 0xBF;
};

constexpr std::size_t kNoLead = 4;

Lead classify(std::uint8_t lead) {
  if (lead >= 0xC2 && lead <= 0xDF) return {1};
  if (lead == 0xE0) return {2, 0xA0};
  if (lead == 0xED) return {2, 0x80, 0x9F};
  if (lead >= 0xE1 && lead <= 0xEF) return {2};
  if (lead == 0xF0) return {3, 0x90};
  if (lead == 0xF4) return {3, 0x80, 0x8F};
  if (lead >= 0xF1 && lead <= 0xF3) return {3};
  return {kNoLead};
}

}  // namespace

bool is_utf8_beyond_ascii(std::string_view text) {
  const auto byte = [&](std::size_t i) { return static_cast<std::uint8_t>(text[i]); };
  for (std::size_t i = 0; i < text.size();) {
    if (byte(i) < 0x80) {
      ++i;
      continue;
    }
    const Lead lead = classify(byte(i));
    if (lead.following == kNoLead || text.size() - i <= lead.following) return false;
    if (byte(i + 1) < lead.second_min || byte(i + 1) > lead.second_max) return false;
    for (std::size_t k = 2; k <= lead.following; ++k) {
      if ((byte(i + k) & 0xC0) != 0x80) return false;
    }
    i += lead.following + 1;
  }
  return true;
}

}  // namespace harrier::protocol
