// SPDX-License-Identifier: Apache-2.0
#include "broker/bench/body.hpp"

#include <algorithm>
#include <cstring>

namespace harrier::bench {
namespace {

constexpr std::uint64_t kMixA = 0x9E37'79B9'7F4A'7C15;
constexpr std::uint64_t kMixB = 0xBF58'476D'1CE4'E5B9;

std::uint64_t mixed(std::uint64_t value) {
  value = (value ^ (value >> 30)) * kMixB;
  return value ^ (value >> 29);
}

}  // namespace

BodyFormat::BodyFormat(std::uint64_t run, std::size_t size_max) : run_(run), filler_(size_max) {
  std::uint64_t state = run;
  for (std::uint8_t& octet : filler_) {
    state += kMixA;
    octet = static_cast<std::uint8_t>(mixed(state));
  }
}

std::uint32_t BodyFormat::checksum(std::uint64_t id, std::uint32_t ticks,
                                   std::uint64_t body_size) const {
  const std::uint64_t sum = mixed(mixed(id ^ run_) + (body_size * kMixA ^ ticks));
  return static_cast<std::uint32_t>(sum >> 32);
}

void BodyFormat::put_header(std::uint8_t* out, const BodyHeader& header,
                            std::uint64_t body_size) const {
  const std::uint64_t id = std::uint64_t{header.stream} << 40 | (header.sequence & kSequenceMask);
  out = protocol::put_u64(out, id);
  out = protocol::put_u32(out, header.ticks);
  protocol::put_u32(out, checksum(id, header.ticks, body_size));
}

bool BodyFormat::read_header(const std::uint8_t* in, std::uint64_t body_size,
                             BodyHeader& out) const {
  protocol::ByteReader reader({in, kBodyHeaderSize});
  const std::uint64_t id = reader.u64();
  out.stream = static_cast<std::uint32_t>(id >> 40);
  out.sequence = id & kSequenceMask;
  out.ticks = reader.u32();
  return reader.u32() == checksum(id, out.ticks, body_size);
}

void BodyCheck::begin(std::uint64_t body_size) {
  size_ = body_size;
  seen_ = 0;
  filler_ok_ = body_size >= kBodyHeaderSize && body_size <= format_->size_max();
}

void BodyCheck::feed(protocol::ByteView piece) {
  if (seen_ < kBodyHeaderSize) {
    const std::size_t part = std::min(piece.size(), kBodyHeaderSize - seen_);
    std::memcpy(header_.data() + seen_, piece.data(), part);
    seen_ += part;
    piece = piece.subspan(part);
  }
  if (piece.empty()) return;
  filler_ok_ = filler_ok_ && seen_ + piece.size() <= size_ &&
               std::memcmp(format_->filler() + seen_, piece.data(), piece.size()) == 0;
  seen_ += piece.size();
}

bool BodyCheck::finish(BodyHeader& out) const {
  return filler_ok_ && seen_ == size_ && format_->read_header(header_.data(), size_, out);
}

}  // namespace harrier::bench
