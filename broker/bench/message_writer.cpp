// SPDX-License-Identifier: Apache-2.0
#include "broker/bench/message_writer.hpp"

#include <algorithm>

namespace harrier::bench {
namespace {

using protocol::FrameType;

// Above this a reference (an entry of the system call's list) is cheaper than a copy.
constexpr std::uint32_t kCopyMax = 8 * 1024;

}  // namespace

void MessageWriter::put(const protocol::BasicPublish& method, protocol::ByteView properties,
                        const BodyHeader& header, std::uint32_t body_size) {
  Output& output = connection_.output();
  const std::size_t header_size = protocol::kContentHeaderSize + properties.size();
  const std::size_t size = protocol::frame_size(method) + protocol::kFrameOverhead + header_size;
  std::uint8_t* out = output.reserve(size);
  out = protocol::encode_frame(Connection::kChannel, method, out);
  out = protocol::put_frame_header(out, FrameType::Header, Connection::kChannel, header_size);
  out = protocol::put_content_header(out, protocol::kClassBasic, body_size);
  out = protocol::put_raw(out, properties);
  protocol::put_u8(out, protocol::kFrameEnd);
  output.commit(size);
  if (body_size <= std::min<std::size_t>(kCopyMax, connection_.body_frame_max())) {
    put_copied(header, body_size);
  } else {
    put_referred(header, body_size);
  }
}

void MessageWriter::put_copied(const BodyHeader& header, std::uint32_t body_size) {
  Output& output = connection_.output();
  const std::size_t size = protocol::kFrameOverhead + body_size;
  std::uint8_t* out = output.reserve(size);
  out = protocol::put_frame_header(out, FrameType::Body, Connection::kChannel, body_size);
  format_.put_header(out, header, body_size);
  out = protocol::put_raw(out + kBodyHeaderSize,
                          {format_.filler() + kBodyHeaderSize, body_size - kBodyHeaderSize});
  protocol::put_u8(out, protocol::kFrameEnd);
  output.commit(size);
}

void MessageWriter::put_referred(const BodyHeader& header, std::uint32_t body_size) {
  Output& output = connection_.output();
  for (std::size_t at = 0; at < body_size;) {
    const std::size_t size = std::min(body_size - at, connection_.body_frame_max());
    const std::size_t own = at == 0 ? kBodyHeaderSize : 0;  // of the body, in our own memory
    std::uint8_t* out = output.reserve(protocol::kFrameHeaderSize + own);
    out = protocol::put_frame_header(out, FrameType::Body, Connection::kChannel, size);
    if (own != 0) format_.put_header(out, header, body_size);
    output.commit(protocol::kFrameHeaderSize + own);
    output.refer({format_.filler() + at + own, size - own});
    *output.reserve(1) = protocol::kFrameEnd;
    output.commit(1);
    at += size;
  }
}

}  // namespace harrier::bench
