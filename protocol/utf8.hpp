// SPDX-License-Identifier: Apache-2.0
//
// UTF-8 well-formedness (RFC 3629: no overlong forms, no surrogates, nothing above U+10FFFF).
#pragma once

#include <string_view>

namespace harrier::protocol {

bool is_utf8_beyond_ascii(std::string_view text);

inline bool is_utf8(std::string_view text) {
  for (const char c : text) {
    if ((static_cast<unsigned char>(c) & 0x80u) != 0) return is_utf8_beyond_ascii(text);
  }
  return true;
}

}  // namespace harrier::protocol
