// SPDX-License-Identifier: Apache-2.0
//
// CRC32C (Castagnoli; as in RFC 3720), the checksum of what is on disk. A pure function, any
// thread. Uses the processor's instruction where there is one, tables otherwise: the same values.
#pragma once

#include <cstdint>

#include "protocol/bytes.hpp"

namespace harrier::persistence {

// The checksum of `before` followed by `bytes`, where `crc` is that of `before`; 0 for nothing.
std::uint32_t crc32c(protocol::ByteView bytes, std::uint32_t crc = 0);

// The two ways, for tests.
std::uint32_t crc32c_by_table(protocol::ByteView bytes, std::uint32_t crc = 0);
bool crc32c_has_instruction();
std::uint32_t crc32c_by_instruction(protocol::ByteView bytes, std::uint32_t crc = 0);

}  // namespace harrier::persistence
