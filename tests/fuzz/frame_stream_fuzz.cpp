// SPDX-License-Identifier: Apache-2.0
//
// A byte stream in arbitrary chunks, through the frame reader and one content assembler per
// channel. Input: two octets that seed the chunking, then the stream. Invariants:
// - any chunking yields the same frames and the same final status as the whole stream at once;
// - no frame is larger than the limit, none reaches beyond the buffer, errors have a text;
// - the assemblers never crash, store no body beyond the limit, and never complete with a body of
//   another size than announced; an error is an AmqpError of connection scope;
// - every counted message byte is given back.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <map>
#include <string>
#include <vector>

#include "protocol/codec.hpp"
#include "protocol/content.hpp"
#include "protocol/frame.hpp"

namespace {

using namespace harrier::protocol;  // NOLINT: a fuzz target is one translation unit

constexpr std::size_t kPayloadMax = 512;
constexpr std::uint64_t kBodyMax = 1024;

void require(bool condition) {
  if (!condition) std::abort();
}

struct Seen {
  std::uint8_t type;
  std::uint16_t channel;
  std::string payload;
  friend bool operator==(const Seen&, const Seen&) = default;
};

struct Result {
  std::vector<Seen> frames;
  FrameStatus status = FrameStatus::Incomplete;
  std::string error;
  std::size_t left = 0;
  friend bool operator==(const Result&, const Result&) = default;
};

// Takes the complete frames off the front; false when the stream is broken.
bool drain(std::vector<std::uint8_t>& buffer, Result& result) {
  for (;;) {
    const FrameResult frame = read_frame(buffer, kPayloadMax);
    result.status = frame.status;
    if (frame.status == FrameStatus::Incomplete) return true;
    if (frame.status != FrameStatus::Complete) {
      result.error = frame_error_text(buffer, frame.status, kPayloadMax);
      require(!result.error.empty());
      return false;
    }
    require(frame.frame.payload.size() <= kPayloadMax && frame.size <= buffer.size());
    require(!frame_error_text(buffer, frame.status, kPayloadMax).empty());
    result.frames.push_back(
        {frame.frame.type, frame.frame.channel, std::string(as_text(frame.frame.payload))});
    buffer.erase(buffer.begin(), buffer.begin() + static_cast<std::ptrdiff_t>(frame.size));
  }
}

Result read_in_chunks(ByteView stream, std::uint32_t seed) {
  Result result;
  std::vector<std::uint8_t> buffer;
  while (!stream.empty()) {
    seed = seed * 1664525u + 1013904223u;
    const std::size_t size = seed == 0 ? stream.size() : 1 + (seed >> 16) % 61;
    const ByteView chunk = stream.first(std::min(size, stream.size()));
    buffer.insert(buffer.end(), chunk.begin(), chunk.end());
    stream = stream.subspan(chunk.size());
    if (!drain(buffer, result)) return result;
  }
  result.left = buffer.size();
  return result;
}

Result read_at_once(ByteView stream) {
  Result result;
  std::vector<std::uint8_t> buffer(stream.begin(), stream.end());
  if (drain(buffer, result)) result.left = buffer.size();
  return result;
}

void check_complete(const Publish& publish) {
  if (publish.message) {
    require(publish.message->body().size() == publish.body_size && publish.body_size <= kBodyMax);
    require(PropertiesView::parse(publish.message->property_bytes()).has_value());
    require(!publish.message->properties().headers().find("BCC").has_value());
  } else {
    require(publish.body_size > kBodyMax);
  }
}

// False when the connection would be closed.
bool feed(ContentAssembler& assembler, const Frame& frame) {
  const bool is_method = frame.type == static_cast<std::uint8_t>(FrameType::Method);
  if (is_method && assembler.state() == ContentAssembler::State::Idle) {
    BasicPublish publish;
    if (decode_as(frame.payload, publish) == DecodeStatus::Ok) {
      assembler.begin(publish, publish.immediate);
    }
    return true;
  }
  try {
    if (assembler.on_frame(frame, kBodyMax) && !assembler.discarding()) {
      check_complete(assembler.take());
    }
    return true;
  } catch (const AmqpError& error) {
    require(is_hard(error.code()) && !error.explanation().empty());
    return false;
  }
}

void assemble(const std::vector<Seen>& frames) {
  std::map<int, ContentAssembler> assemblers;
  for (const Seen& seen : frames) {
    ContentAssembler& assembler = assemblers[seen.channel % 4];
    if (seen.channel % 4 == 1) assembler.set_reply_to("amq.rabbitmq.reply-to.g1");
    if (!feed(assembler, {seen.type, seen.channel, as_bytes(seen.payload)})) return;
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 2) return 0;
  const std::uint32_t seed = std::uint32_t{data[0]} << 8 | data[1];
  const ByteView stream(data + 2, size - 2);
  const Result whole = read_at_once(stream);
  require(read_in_chunks(stream, seed) == whole);
  const std::int64_t before = message_bytes_in_memory();
  assemble(whole.frames);
  require(message_bytes_in_memory() == before);
  return 0;
}
