// SPDX-License-Identifier: Apache-2.0
//
// Big-endian reading and writing of AMQP scalars. Values without owner or thread: a reader looks at
// bytes that somebody else keeps alive; the put_* functions write into memory that the caller has
// sized with the matching *_size function. Reading past the end never touches memory: it latches
// `ok() == false` and yields zeroes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>

namespace harrier::protocol {

using ByteView = std::span<const std::uint8_t>;

inline std::string_view as_text(ByteView bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}
inline ByteView as_bytes(std::string_view text) {
  return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()};
}

inline std::uint8_t* put_u8(std::uint8_t* out, std::uint8_t v) {
  *out = v;
  return out + 1;
}
inline std::uint8_t* put_u16(std::uint8_t* out, std::uint16_t v) {
  const std::uint16_t big = __builtin_bswap16(v);
  std::memcpy(out, &big, sizeof big);
  return out + sizeof big;
}
inline std::uint8_t* put_u32(std::uint8_t* out, std::uint32_t v) {
  const std::uint32_t big = __builtin_bswap32(v);
  std::memcpy(out, &big, sizeof big);
  return out + sizeof big;
}
inline std::uint8_t* put_u64(std::uint8_t* out, std::uint64_t v) {
  const std::uint64_t big = __builtin_bswap64(v);
  std::memcpy(out, &big, sizeof big);
  return out + sizeof big;
}
inline std::uint8_t* put_raw(std::uint8_t* out, ByteView bytes) {
  if (!bytes.empty()) std::memcpy(out, bytes.data(), bytes.size());
  return out + bytes.size();
}
// Short string: one length octet, then at most 255 bytes (the caller has checked the length).
inline std::uint8_t* put_shortstr(std::uint8_t* out, std::string_view text) {
  return put_raw(put_u8(out, static_cast<std::uint8_t>(text.size())), as_bytes(text));
}
// Long string: four length octets, then the bytes.
inline std::uint8_t* put_longstr(std::uint8_t* out, std::string_view text) {
  return put_raw(put_u32(out, static_cast<std::uint32_t>(text.size())), as_bytes(text));
}

class ByteReader {
 public:
  explicit ByteReader(ByteView bytes) : at_(bytes.data()), end_(bytes.data() + bytes.size()) {}

  std::uint8_t u8() { return need(1) ? *at_++ : std::uint8_t{0}; }
  std::uint16_t u16() {
    std::uint16_t v = 0;
    return take(v) ? __builtin_bswap16(v) : std::uint16_t{0};
  }
  std::uint32_t u32() {
    std::uint32_t v = 0;
    return take(v) ? __builtin_bswap32(v) : 0;
  }
  std::uint64_t u64() {
    std::uint64_t v = 0;
    return take(v) ? __builtin_bswap64(v) : 0;
  }
  ByteView raw(std::size_t size) {
    if (!need(size)) return {};
    const ByteView view(at_, size);
    at_ += size;
    return view;
  }
  std::string_view shortstr() { return as_text(raw(u8())); }
  std::string_view longstr() { return as_text(raw(u32())); }

  bool ok() const { return ok_; }
  void fail() { ok_ = false; }
  std::size_t remaining() const { return ok_ ? static_cast<std::size_t>(end_ - at_) : 0; }
  const std::uint8_t* position() const { return at_; }

 private:
  bool need(std::size_t size) {
    if (ok_ && static_cast<std::size_t>(end_ - at_) >= size) return true;
    ok_ = false;
    return false;
  }
  template <class T>
  bool take(T& v) {
    if (!need(sizeof v)) return false;
    std::memcpy(&v, at_, sizeof v);
    at_ += sizeof v;
    return true;
  }

  const std::uint8_t* at_;
  const std::uint8_t* end_;
  bool ok_ = true;
};

}  // namespace harrier::protocol
