// SPDX-License-Identifier: Apache-2.0
//
// Seeded random tables and methods for property-style tests. The same seed gives the same values on
// every machine: only the engine's raw output is used, never a distribution of the library.
#pragma once

#include <cstdint>
#include <deque>
#include <random>
#include <string>
#include <vector>

#include "protocol/codec.hpp"
#include "protocol/field_table.hpp"

namespace harrier::protocol::testing {

class RandomValues {
 public:
  explicit RandomValues(std::uint64_t seed) : engine_(seed) {}

  std::uint64_t number() { return engine_(); }
  std::uint64_t below(std::uint64_t limit) { return engine_() % limit; }
  bool coin() { return below(2) == 1; }

  std::string bytes(std::size_t size_max) {
    std::string out(below(size_max + 1), '\0');
    for (char& c : out) c = static_cast<char>(below(256));
    return out;
  }

  // ASCII with the characters that need quoting, now and then beyond.
  std::string text(std::size_t size_max) {
    static constexpr std::string_view kAlphabet = "abcXYZ019 .-_/\"\\{}=#*\n\t";
    std::string out(below(size_max + 1), '\0');
    for (char& c : out) c = kAlphabet[below(kAlphabet.size())];
    if (below(4) == 0 && size_max >= out.size() + 3) out += "\xE2\x82\xAC";
    return out;
  }

  Table table(int depth = 3) {
    Table out;
    for (std::uint64_t n = below(5); n > 0; --n) add_random(out, text(12), depth);
    return out;
  }

  // A method of type M with random fields; what its views point to is kept here.
  template <class M>
  M method() {
    M out;
    detail::for_each_field<M>([&](auto index) {
      constexpr auto field = std::get<decltype(index)::value>(M::kFields);
      auto& value = out.*(field.member);
      if constexpr (field.wire == WireType::Table) {
        value = tables_.emplace_back(table()).view();
      } else if constexpr (field.wire == WireType::LongStr) {
        value = strings_.emplace_back(bytes(300));
      } else if constexpr (field.wire == WireType::ShortStr) {
        value = strings_.emplace_back(M::kContent ? bytes(255) : text(255));
      } else if constexpr (field.wire == WireType::Bit) {
        value = coin();
      } else {
        value = static_cast<std::remove_reference_t<decltype(value)>>(number());
      }
    });
    return out;
  }

 private:
  void add_random(Table& out, const std::string& key, int depth) {
    static constexpr std::string_view kTags = "tbBsuIilLfdDSATFVx";
    const char tag = kTags[below(kTags.size())];
    std::vector<std::uint8_t> payload;
    if (tag == 'F' && depth > 0) {
      const Table nested = table(depth - 1);
      payload.assign(nested.view().bytes().begin(), nested.view().bytes().end());
    } else if (tag == 'A' && depth > 0) {
      payload = elements(depth - 1);
    } else if (tag == 'S' || tag == 'x') {
      const std::string content = bytes(40);
      payload.assign(content.begin(), content.end());
    } else {
      payload.resize(fixed_size(tag));
      for (std::uint8_t& octet : payload) octet = static_cast<std::uint8_t>(below(256));
    }
    out.add_value(key, {tag, payload});
  }

  std::vector<std::uint8_t> elements(int depth) {
    std::vector<std::uint8_t> out;
    for (std::uint64_t n = below(4); n > 0; --n) {
      Table one;
      add_random(one, "", depth);
      const ByteView encoded = one.view().bytes().subspan(1);
      out.insert(out.end(), encoded.begin(), encoded.end());
    }
    return out;
  }

  static std::size_t fixed_size(char tag) {
    switch (tag) {
      case 't':
      case 'b':
      case 'B':
        return 1;
      case 's':
      case 'u':
        return 2;
      case 'I':
      case 'i':
      case 'f':
        return 4;
      case 'D':
        return 5;
      case 'l':
      case 'L':
      case 'd':
      case 'T':
        return 8;
      default:
        return 0;  // V, and empty arrays and tables at the deepest level
    }
  }

  std::mt19937_64 engine_;
  std::deque<std::string> strings_;
  std::deque<Table> tables_;
};

template <class M>
std::vector<std::uint8_t> encoded(const M& method) {
  std::vector<std::uint8_t> out(encoded_size(method));
  const std::uint8_t* const end = encode(method, out.data());
  out.resize(static_cast<std::size_t>(end - out.data()));
  return out;
}

// visit.template operator()<M>() for every method.
template <class Visit>
void for_each_method(Visit&& visit) {
  [&]<std::size_t... I>(std::index_sequence<I...>) {
    (visit.template operator()<std::variant_alternative_t<I, Method>>(), ...);
  }
  (std::make_index_sequence<std::variant_size_v<Method>>{});
}

}  // namespace harrier::protocol::testing
