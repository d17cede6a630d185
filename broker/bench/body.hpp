// SPDX-License-Identifier: Apache-2.0
//
// What stands in the bodies that the load tool sends, so that whoever receives one can tell which
// it is and that it is whole. Values of one thread. Layout, big-endian, at least 16 bytes:
//
//   body = stream:24 sequence:40  ticks:32 checksum:32  filler*
//
// `ticks` is the intended send time in quarters of a microsecond, modulo 2^32 (18 minutes). The
// checksum covers the other header fields, the body's size and the run's number, so that messages
// of another run are found out. The filler is the same for all bodies of a run and compared in
// full.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "protocol/bytes.hpp"

namespace harrier::bench {

inline constexpr std::size_t kBodyHeaderSize = 16;
inline constexpr std::uint32_t kStreamsMax = 1u << 24;
inline constexpr std::uint64_t kSequenceMask = (std::uint64_t{1} << 40) - 1;
inline constexpr std::uint64_t kTickNs = 250;

struct BodyHeader {
  std::uint32_t stream = 0;    // who sent it, and to where
  std::uint64_t sequence = 0;  // 0, 1, 2, ... within the stream
  std::uint32_t ticks = 0;
  friend bool operator==(const BodyHeader&, const BodyHeader&) = default;
};

// Which of so many kinds of messages it is: any mix, but both ends come to the same.
inline std::uint32_t class_of(const BodyHeader& header, std::uint32_t classes) {
  if (classes == 1) return 0;
  std::uint64_t mixed = (header.sequence << 24 | header.stream) * 0x9E37'79B9'7F4A'7C15;
  mixed ^= mixed >> 32;
  return static_cast<std::uint32_t>(mixed * 0x9E37'79B9'7F4A'7C15 >> 32) % classes;
}

inline std::uint32_t to_ticks(std::uint64_t ns) { return static_cast<std::uint32_t>(ns / kTickNs); }
// How long before `now_ns` the tick was; right for differences below 18 minutes.
inline std::uint64_t elapsed_ns(std::uint32_t ticks, std::uint64_t now_ns) {
  return std::uint64_t{to_ticks(now_ns) - ticks} * kTickNs;
}

class BodyFormat {
 public:
  BodyFormat(std::uint64_t run, std::size_t size_max);

  void put_header(std::uint8_t* out, const BodyHeader& header, std::uint64_t body_size) const;
  // False if the checksum does not fit.
  bool read_header(const std::uint8_t* in, std::uint64_t body_size, BodyHeader& out) const;
  // filler()[i] is byte i of a body, for i from kBodyHeaderSize to size_max.
  const std::uint8_t* filler() const { return filler_.data(); }
  std::size_t size_max() const { return filler_.size(); }

 private:
  std::uint32_t checksum(std::uint64_t id, std::uint32_t ticks, std::uint64_t body_size) const;
  std::uint64_t run_;
  std::vector<std::uint8_t> filler_;
};

// Takes one body in pieces as frames bring it.
class BodyCheck {
 public:
  explicit BodyCheck(const BodyFormat& format) : format_(&format) {}

  void begin(std::uint64_t body_size);
  void feed(protocol::ByteView piece);
  // After the last piece. False: not a body of this run, damaged, or of another size.
  bool finish(BodyHeader& out) const;

 private:
  const BodyFormat* format_;
  std::array<std::uint8_t, kBodyHeaderSize> header_{};
  std::uint64_t size_ = 0;
  std::uint64_t seen_ = 0;
  bool filler_ok_ = true;
};

}  // namespace harrier::bench
