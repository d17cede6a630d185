// SPDX-License-Identifier: Apache-2.0
//
// The folds behind codec.hpp's templates; included by it only. Everything that depends on the field
// list is decided at compile time, so that the common methods become straight-line code.
// Bits: adjacent ones share an octet, least significant first; a ninth bit or another type starts a
// new octet (C-403).
#pragma once

#include <cstddef>
#include <limits>
#include <tuple>
#include <type_traits>
#include <utility>

#include "protocol/check.hpp"
#include "protocol/codec.hpp"
#include "protocol/utf8.hpp"

namespace harrier::protocol {
namespace detail {

inline constexpr std::size_t kShortStrMax = 255;
inline constexpr std::size_t kMethodIdSize = 4;

template <class M>
inline constexpr std::size_t kFieldCount =
    std::tuple_size_v<std::remove_cvref_t<decltype(M::kFields)>>;

template <class M, std::size_t I>
inline constexpr WireType kWire = std::get<I>(M::kFields).wire;

// The position of bit field I inside its octet.
template <class M, std::size_t I>
constexpr unsigned bit_position() {
  if constexpr (I == 0) {
    return 0;
  } else if constexpr (kWire<M, I - 1> != WireType::Bit) {
    return 0;
  } else {
    return (bit_position<M, I - 1>() + 1) % 8;
  }
}

// True if bit field I is the last of its octet.
template <class M, std::size_t I>
constexpr bool ends_octet() {
  if constexpr (I + 1 == kFieldCount<M>) {
    return true;
  } else {
    return kWire<M, I + 1> != WireType::Bit || bit_position<M, I>() == 7;
  }
}

template <class M, class Visit>
constexpr void for_each_field(Visit&& visit) {
  [&]<std::size_t... I>(std::index_sequence<I...>) {
    (visit(std::integral_constant<std::size_t, I>{}), ...);
  }
  (std::make_index_sequence<kFieldCount<M>>{});
}

inline TableView read_table(ByteReader& reader) {
  const TableView table{as_bytes(reader.longstr())};
  if (!table.empty() && !validate_table(table.bytes())) reader.fail();
  return table;
}

template <WireType wire, class T>
void read_field(ByteReader& reader, T& value) {
  if constexpr (wire == WireType::Octet) {
    value = reader.u8();
  } else if constexpr (wire == WireType::Short) {
    value = reader.u16();
  } else if constexpr (wire == WireType::Long) {
    value = reader.u32();
  } else if constexpr (wire == WireType::LongLong || wire == WireType::Timestamp) {
    value = reader.u64();
  } else if constexpr (wire == WireType::ShortStr) {
    value = reader.shortstr();
  } else if constexpr (wire == WireType::LongStr) {
    value = reader.longstr();
  } else {
    static_assert(wire == WireType::Table);
    value = read_table(reader);
  }
}

// `reader` stands behind the ids.
template <class M>
DecodeStatus decode_fields(ByteReader& reader, M& out) {
  unsigned bits = 0;
  bool utf8 = true;
  for_each_field<M>([&](auto index) {
    constexpr std::size_t i = decltype(index)::value;
    constexpr WireType wire = kWire<M, i>;
    auto& value = out.*(std::get<i>(M::kFields).member);
    if constexpr (wire == WireType::Bit) {
      if constexpr (bit_position<M, i>() == 0) bits = reader.u8();
      value = ((bits >> bit_position<M, i>()) & 1u) != 0;
    } else {
      read_field<wire>(reader, value);
      // The content-bearing methods are the ones whose routing keys may be any bytes (C-085).
      if constexpr (wire == WireType::ShortStr && !M::kContent) utf8 = utf8 && is_utf8(value);
    }
  });
  if (!reader.ok() || reader.remaining() != 0) return DecodeStatus::Malformed;
  return utf8 ? DecodeStatus::Ok : DecodeStatus::BadUtf8;
}

template <WireType wire, class T>
std::size_t field_size(const T& value) {
  if constexpr (wire == WireType::ShortStr) {
    return 1 + value.size();
  } else if constexpr (wire == WireType::LongStr) {
    return 4 + value.size();
  } else if constexpr (wire == WireType::Table) {
    return 4 + value.bytes().size();
  } else {
    return sizeof(T);
  }
}

template <WireType wire, class T>
std::uint8_t* write_field(const T& value, std::uint8_t* out) {
  if constexpr (wire == WireType::Octet) {
    return put_u8(out, value);
  } else if constexpr (wire == WireType::Short) {
    return put_u16(out, value);
  } else if constexpr (wire == WireType::Long) {
    return put_u32(out, value);
  } else if constexpr (wire == WireType::LongLong || wire == WireType::Timestamp) {
    return put_u64(out, value);
  } else if constexpr (wire == WireType::ShortStr) {
    HARRIER_CHECK(value.size() <= kShortStrMax);
    return put_shortstr(out, value);
  } else if constexpr (wire == WireType::LongStr) {
    HARRIER_CHECK(value.size() <= std::numeric_limits<std::uint32_t>::max());
    return put_longstr(out, value);
  } else {
    static_assert(wire == WireType::Table);
    HARRIER_CHECK(value.bytes().size() <= std::numeric_limits<std::uint32_t>::max());
    return put_longstr(out, as_text(value.bytes()));
  }
}

}  // namespace detail

template <class M>
DecodeStatus decode_as(ByteView payload, M& out) {
  ByteReader reader(payload);
  const MethodId id{reader.u16(), reader.u16()};
  if (!reader.ok()) return DecodeStatus::Malformed;
  if (id != M::kId) return DecodeStatus::UnknownMethod;
  return detail::decode_fields(reader, out);
}

template <class M>
std::size_t encoded_size(const M& method) {
  std::size_t size = detail::kMethodIdSize;
  detail::for_each_field<M>([&](auto index) {
    constexpr std::size_t i = decltype(index)::value;
    constexpr WireType wire = detail::kWire<M, i>;
    if constexpr (wire == WireType::Bit) {
      if constexpr (detail::ends_octet<M, i>()) ++size;
    } else {
      size += detail::field_size<wire>(method.*(std::get<i>(M::kFields).member));
    }
  });
  return size;
}

template <class M>
std::uint8_t* encode(const M& method, std::uint8_t* out) {
  out = put_u32(out, M::kId.packed());
  unsigned bits = 0;
  detail::for_each_field<M>([&](auto index) {
    constexpr std::size_t i = decltype(index)::value;
    constexpr WireType wire = detail::kWire<M, i>;
    const auto& value = method.*(std::get<i>(M::kFields).member);
    if constexpr (wire == WireType::Bit) {
      bits |= (value ? 1u : 0u) << detail::bit_position<M, i>();
      if constexpr (detail::ends_octet<M, i>()) {
        out = put_u8(out, static_cast<std::uint8_t>(bits));
        bits = 0;
      }
    } else {
      out = detail::write_field<wire>(value, out);
    }
  });
  return out;
}

// The overloads for Method are exact matches and so are preferred to the templates above.

template <class M>
std::size_t frame_size(const M& method) {
  return kFrameOverhead + encoded_size(method);
}

template <class M>
std::uint8_t* encode_frame(std::uint16_t channel, const M& method, std::uint8_t* out) {
  std::uint8_t* const payload = out + kFrameHeaderSize;
  std::uint8_t* const end = encode(method, payload);
  put_frame_header(out, FrameType::Method, channel, static_cast<std::size_t>(end - payload));
  return put_u8(end, kFrameEnd);
}

}  // namespace harrier::protocol
