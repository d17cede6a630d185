// SPDX-License-Identifier: Apache-2.0
//
// The grammar of binding patterns of topic exchanges (C-531..C-533), written in Boost.Spirit X3:
//   pattern = end | word *("." word) end        "" has no words; "." has two empty ones
//   word    = star | hash | literal
//   star    = "*" before "." or end             one word
//   hash    = "#" before "." or end             zero or more words
//   literal = *(any byte but ".")               so "a*", "**" and "##" are literals
// Matching is the trie's work (routing/topic.hpp). Failure is a value that names the character.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace harrier::routing {

inline constexpr std::size_t kPatternBytesMax = 255;  // a short string on the wire (C-535)
inline constexpr std::size_t kPatternWordsMax = kPatternBytesMax + 1;  // 255 dots

struct PatternWord {
  enum class Kind : unsigned char { Literal, Star, Hash };
  Kind kind = Kind::Literal;
  std::string_view text;  // of the parsed text, "*" and "#" for the wildcards
  friend bool operator==(const PatternWord&, const PatternWord&) = default;
};

struct Pattern {
  std::vector<PatternWord> words;
  friend bool operator==(const Pattern&, const Pattern&) = default;
};

struct PatternError {
  std::size_t position = 0;  // of the offending character, the first is 1
  std::string message;       // complete: names pattern, position and limit
};

// The words point into `text`.
std::variant<Pattern, PatternError> parse_pattern(std::string_view text);

std::string to_text(const Pattern& pattern);

}  // namespace harrier::routing
