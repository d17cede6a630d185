// SPDX-License-Identifier: Apache-2.0
#include "protocol/frame.hpp"

#include <algorithm>

namespace harrier::protocol {
namespace {

std::string snippet(ByteView payload) {
  const bool whole = payload.size() <= kQuotedMax;
  return (whole ? "all octets = " : "first 16 octets = ") +
         octets_text(whole ? payload : payload.first(kQuotedMax));
}

}  // namespace

std::string octets_text(ByteView bytes) {
  const auto printable = [](std::uint8_t c) { return c >= 0x20 && c < 0x7F && c != '"'; };
  if (!bytes.empty() && std::all_of(bytes.begin(), bytes.end(), printable)) {
    return "<<\"" + std::string(as_text(bytes)) + "\">>";
  }
  std::string out = "<<";
  for (const std::uint8_t octet : bytes) {
    if (out.size() > 2) out += ',';
    out += std::to_string(octet);
  }
  return out + ">>";
}

FrameResult read_frame(ByteView buffer, std::size_t payload_max) {
  FrameResult result;
  if (buffer.size() < kFrameHeaderSize) return result;
  ByteReader reader(buffer);
  result.frame.type = reader.u8();
  result.frame.channel = reader.u16();
  const std::size_t size = reader.u32();
  if (payload_max != 0 && size > payload_max) {
    result.status = FrameStatus::TooLarge;
    return result;
  }
  result.size = kFrameOverhead + size;
  if (buffer.size() < result.size) return result;
  result.frame.payload = reader.raw(size);
  result.status = reader.u8() == kFrameEnd ? FrameStatus::Complete : FrameStatus::BadEnd;
  return result;
}

std::string frame_error_text(ByteView buffer, FrameStatus status, std::size_t frame_max) {
  ByteReader reader(buffer);
  const std::uint8_t type = reader.u8();
  reader.u16();
  const std::size_t size = reader.u32();
  const std::string prefix = "type " + std::to_string(type) + ", ";
  if (status == FrameStatus::TooLarge) {
    const std::size_t strict = frame_max > kFrameOverhead ? frame_max - kFrameOverhead : 0;
    return prefix + "all octets = <<>>: {frame_too_large," + std::to_string(size) + "," +
           std::to_string(strict) + "}";
  }
  const ByteView payload = reader.raw(std::min(size, reader.remaining()));
  if (status == FrameStatus::BadEnd) return bad_end_text(type, payload, reader.u8());
  return malformed_frame_text({type, 0, payload});
}

std::string bad_end_text(std::uint8_t type, ByteView start, std::uint8_t end) {
  return "type " + std::to_string(type) + ", " + snippet(start) + ": {invalid_frame_end_marker," +
         std::to_string(end) + "}";
}

std::string malformed_frame_text(const Frame& frame) {
  return "type " + std::to_string(frame.type) + ", " + snippet(frame.payload) + ": unknown_frame";
}

}  // namespace harrier::protocol
