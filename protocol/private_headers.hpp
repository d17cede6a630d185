// SPDX-License-Identifier: Apache-2.0
//
// Private headers: what the broker has to remember with a message and shows to nobody. They stand
// in the headers table under one name, so that they are stored and moved with the message, and
// bit 1 of the property flags, which means nothing on the wire (C-416), says that they are there:
// who has none pays one test of a bit. Clients can neither see nor make them: the bit is cleared
// from what they publish, and what is delivered goes through visible_properties(). Pure functions.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "protocol/field_table.hpp"
#include "protocol/properties.hpp"

namespace harrier::protocol {

inline constexpr std::uint16_t kPrivateMark = 1u << 1;

struct PrivateHeaders {
  std::vector<std::string> bcc;  // routing keys of a header that consumers must not see (C-314)
  bool has_died = false;         // the x-death headers are the broker's, not a client's (C-429)
  bool keys_replaced = false;    // CC shows, but does not route any more (C-430)
  friend bool operator==(const PrivateHeaders&, const PrivateHeaders&) = default;
};

inline bool has_private_headers(const PropertiesView& properties) {
  return (properties.flags() & kPrivateMark) != 0;
}

// Of properties without the mark: none.
PrivateHeaders read_private_headers(const PropertiesView& properties);

// The same properties with these headers instead of their own, and with the private ones, if there
// are any.
std::vector<std::uint8_t> with_private_headers(const PropertiesView& properties, Table headers,
                                               const PrivateHeaders& private_headers);

// The properties as a client may see them; a delivery_count other than 0 is added as
// x-delivery-count (C-471), the offset of a message of a stream as x-stream-offset (C-481).
std::vector<std::uint8_t> visible_properties(
    const PropertiesView& properties, std::uint32_t delivery_count,
    std::optional<std::int64_t> stream_offset = std::nullopt);

// The same properties without the mark: as a client may send them.
std::vector<std::uint8_t> without_private_mark(const PropertiesView& properties);

}  // namespace harrier::protocol
