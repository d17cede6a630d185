// SPDX-License-Identifier: Apache-2.0
//
// Frames. FrameReader looks at a buffer and yields views of complete frames: it counts, it never
// copies or waits. The size in a frame's header is checked against the limit before any of the
// payload has arrived.
#pragma once

#include <array>
#include <cstdint>
#include <string>

#include "protocol/bytes.hpp"

namespace harrier::protocol {

// GCC 12 takes a scoped enumerator for a shadow of the Method variant.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wshadow"
enum class FrameType : std::uint8_t { Method = 1, Header = 2, Body = 3, Heartbeat = 8 };
#pragma GCC diagnostic pop

inline constexpr std::size_t kFrameHeaderSize = 7;  // type, channel, size
inline constexpr std::size_t kFrameOverhead = 8;    // header and end octet
inline constexpr std::uint8_t kFrameEnd = 0xCE;
inline constexpr std::array<std::uint8_t, 8> kProtocolHeader = {'A', 'M', 'Q', 'P', 0, 0, 9, 1};

struct Frame {
  std::uint8_t type = 0;
  std::uint16_t channel = 0;
  ByteView payload;
};

enum class FrameStatus {
  Complete,    // `frame` and `size` (bytes to consume) are set
  Incomplete,  // more bytes are needed; nothing is wrong so far. `size` is what the whole frame
               // will take and `frame` has type and channel, or `size` is 0: not even its header is
               // there
  TooLarge,    // 501, C-078
  BadEnd,      // 501, C-079
};

struct FrameResult {
  FrameStatus status = FrameStatus::Incomplete;
  Frame frame;
  std::size_t size = 0;
};

// Looks at the start of `buffer`. A payload of exactly `payload_max` is accepted (C-075); 0 means
// no limit. Unknown frame types are yielded like any other: only the connection knows what to
// answer (C-080).
FrameResult read_frame(ByteView buffer, std::size_t payload_max);

// The explanation of the 501 that TooLarge, BadEnd or an unknown type asks for (C-078, C-079,
// C-080), e.g. "type 1, all octets = <<>>: {frame_too_large,131073,131064}". `buffer` starts at the
// frame.
std::string frame_error_text(ByteView buffer, FrameStatus status, std::size_t frame_max);

// Of a payload that is longer than this, so many octets are quoted.
inline constexpr std::size_t kQuotedMax = 16;

// The same for a frame that ended with `end`; `start` is its payload, or more than kQuotedMax of
// it.
std::string bad_end_text(std::uint8_t type, ByteView start, std::uint8_t end);

// The same for a frame whose payload cannot be what its type says.
std::string malformed_frame_text(const Frame& frame);

// <<1,2,3>>, or <<"text">> if all octets are printable: the notation that operators know from logs.
std::string octets_text(ByteView bytes);

inline std::uint8_t* put_frame_header(std::uint8_t* out, FrameType type, std::uint16_t channel,
                                      std::size_t size) {
  out = put_u8(out, static_cast<std::uint8_t>(type));
  out = put_u16(out, channel);
  return put_u32(out, static_cast<std::uint32_t>(size));
}

// Content header payload: class, weight, body size, then the property bytes.
inline constexpr std::size_t kContentHeaderSize = 12;
inline std::uint8_t* put_content_header(std::uint8_t* out, std::uint16_t class_id,
                                        std::uint64_t body_size) {
  return put_u64(put_u16(put_u16(out, class_id), 0), body_size);
}

}  // namespace harrier::protocol
