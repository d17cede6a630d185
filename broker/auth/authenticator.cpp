// SPDX-License-Identifier: Apache-2.0
#include "broker/auth/authenticator.hpp"

#include <algorithm>
#include <charconv>

namespace harrier::broker {
namespace {

bool is_loopback_v4(std::string_view address) {
  int octets = 0;
  while (true) {
    unsigned value = 0;
    const char* const begin = address.data();
    const auto [end, error] = std::from_chars(begin, begin + address.size(), value);
    if (error != std::errc{} || value > 255 || end - begin > 3) return false;
    if (octets == 0 && value != 127) return false;
    ++octets;
    address.remove_prefix(static_cast<std::size_t>(end - begin));
    if (address.empty()) return octets == 4;
    if (address.front() != '.' || octets == 4) return false;
    address.remove_prefix(1);
  }
}

char to_lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

}  // namespace

bool User::has_tag(std::string_view tag) const {
  return std::find(tags.begin(), tags.end(), tag) != tags.end();
}

bool is_loopback(std::string_view address) {
  constexpr std::string_view kMapped = "::ffff:";
  if (address.empty() || address == "::1") return true;
  const bool mapped =
      address.size() > kMapped.size() &&
      std::equal(kMapped.begin(), kMapped.end(), address.begin(),
                 [](char expected, char given) { return expected == to_lower(given); });
  return is_loopback_v4(mapped ? address.substr(kMapped.size()) : address);
}

bool equal_in_constant_time(std::string_view received, std::string_view expected) {
  // Every received byte is compared with some byte, whatever has differed before; the volatile
  // accumulator keeps the compiler from leaving early.
  volatile unsigned difference = received.size() == expected.size() ? 0 : 1;
  for (std::size_t i = 0; i < received.size(); ++i) {
    const char other = expected.empty() ? '\0' : expected[i % expected.size()];
    difference =
        difference | static_cast<unsigned>(static_cast<unsigned char>(received[i] ^ other));
  }
  return difference == 0;
}

}  // namespace harrier::broker
