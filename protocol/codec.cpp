// SPDX-License-Identifier: Apache-2.0
#include "protocol/codec.hpp"

#include <algorithm>
#include <array>

namespace harrier::protocol {
namespace {

constexpr std::size_t kMethodCount = std::variant_size_v<Method>;

template <std::size_t I>
using MethodAt = std::variant_alternative_t<I, Method>;

// Looks a method up by its ids in two array accesses. Class ids are multiples of 5.
constexpr std::size_t kClassStep = 5;
constexpr std::size_t kClassRows = 20;
constexpr std::size_t kMethodIdEnd = 128;
constexpr std::uint8_t kNone = 0xFF;
static_assert(kMethodCount < kNone);

struct IdTable {
  std::array<std::array<std::uint8_t, kMethodIdEnd>, kClassRows> rows{};
};

constexpr IdTable make_id_table() {
  IdTable table;
  for (auto& row : table.rows) row.fill(kNone);
  [&]<std::size_t... I>(std::index_sequence<I...>) {
    ((table.rows[MethodAt<I>::kId.class_id / kClassStep][MethodAt<I>::kId.method_id] =
          static_cast<std::uint8_t>(I)),
     ...);
  }
  (std::make_index_sequence<kMethodCount>{});
  return table;
}
constexpr IdTable kIdTable = make_id_table();

// The position of the method in the variant; kNone if there is no such method.
std::uint8_t index_of(MethodId id) {
  const std::size_t row = id.class_id / kClassStep;
  if (id.class_id % kClassStep != 0 || row >= kClassRows || id.method_id >= kMethodIdEnd) {
    return kNone;
  }
  return kIdTable.rows[row][id.method_id];
}

struct MethodTraits {
  DecodeStatus (*decode)(ByteReader&, Method&);
  std::string_view name;
  MethodId id;
  bool content;
};

template <class M>
constexpr MethodTraits traits_of() {
  return {[](ByteReader& reader, Method& out) {
            return detail::decode_fields(reader, out.emplace<M>());
          },
          M::kName, M::kId, M::kContent};
}

template <std::size_t... I>
constexpr std::array<MethodTraits, kMethodCount> make_traits(std::index_sequence<I...>) {
  return {traits_of<MethodAt<I>>()...};
}
constexpr auto kTraits = make_traits(std::make_index_sequence<kMethodCount>{});

}  // namespace

std::optional<MethodId> peek_method(ByteView payload) {
  ByteReader reader(payload);
  const std::uint16_t class_id = reader.u16();
  const std::uint16_t method_id = reader.u16();
  if (!reader.ok()) return std::nullopt;
  return MethodId{class_id, method_id};
}

DecodeStatus decode_method(ByteView payload, Method& out) {
  const std::optional<MethodId> id = peek_method(payload);
  if (!id) return DecodeStatus::Malformed;
  const std::uint8_t index = index_of(*id);
  if (index == kNone) return DecodeStatus::UnknownMethod;
  ByteReader reader(payload.subspan(detail::kMethodIdSize));
  return kTraits[index].decode(reader, out);
}

std::string decode_error_text(DecodeStatus status, ByteView payload) {
  if (status == DecodeStatus::BadUtf8) return "Malformed UTF-8 in shortstr";
  if (status == DecodeStatus::UnknownMethod) return "unimplemented method";
  // More octets than these do not fit a reply text.
  constexpr std::size_t kOctetsShown = 128;
  const ByteView arguments = payload.subspan(std::min(payload.size(), detail::kMethodIdSize));
  return "cannot decode " + octets_text(arguments.first(std::min(arguments.size(), kOctetsShown)));
}

std::size_t encoded_size(const Method& method) {
  return std::visit([](const auto& m) { return encoded_size(m); }, method);
}

std::uint8_t* encode(const Method& method, std::uint8_t* out) {
  return std::visit([out](const auto& m) { return encode(m, out); }, method);
}

MethodId id_of(const Method& method) { return kTraits[method.index()].id; }

std::string_view name_of(const Method& method) { return kTraits[method.index()].name; }

std::string_view name_of(MethodId id) {
  const std::uint8_t index = index_of(id);
  return index == kNone ? std::string_view() : kTraits[index].name;
}

bool has_content(MethodId id) {
  const std::uint8_t index = index_of(id);
  return index != kNone && kTraits[index].content;
}

}  // namespace harrier::protocol
