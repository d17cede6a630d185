// SPDX-License-Identifier: Apache-2.0
//
// The texts inside configuration values, as Spirit X3 grammars:
//
//   size     := digits ' '? unit?          unit  := B | KB | KiB | MB | MiB | GB | GiB
//   duration := '0' | (digits tunit)+      tunit := ms | s | m | h | d
//   endpoint := (name | '[' ipv6 ']') ':' port
//
// Pure functions. A text that does not match is a value that says where, and what was expected
// there.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <variant>

#include "broker/config.hpp"

namespace harrier::broker {

struct GrammarError {
  std::size_t position = 0;  // of the offending character, counted from 0
  std::string text;          // "expected a number"
  friend bool operator==(const GrammarError&, const GrammarError&) = default;
};

template <class Value>
using Parsed = std::variant<Value, GrammarError>;

Parsed<std::uint64_t> parse_size(std::string_view text);  // bytes
Parsed<std::chrono::milliseconds> parse_duration(std::string_view text);
Parsed<Endpoint> parse_endpoint(std::string_view text);

// The shortest text that parses to the value: 16777216 -> "16MiB", 90 s -> "1m30s".
std::string print_size(std::uint64_t bytes);
std::string print_duration(std::chrono::milliseconds duration);

// The text with the offending character pointed at: `expected a unit (...) at character 3 of
// "16MX"`.
std::string describe(const GrammarError& error, std::string_view text);

}  // namespace harrier::broker
