// SPDX-License-Identifier: Apache-2.0
//
// SHA-256 of some bytes, for what is neither a password nor a secret: identities. A pure function;
// any thread. It cannot fail: a library that cannot hash ends the process.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

namespace harrier::broker {

std::array<std::uint8_t, 32> sha256(std::string_view bytes);

}  // namespace harrier::broker
