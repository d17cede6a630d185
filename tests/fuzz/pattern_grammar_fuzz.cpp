// SPDX-License-Identifier: Apache-2.0
//
// The binding-pattern grammar takes every text up to 255 bytes, prints it back unchanged, and
// splits it where the rules of section 9.1 say; longer texts are refused at their 256th character.
#include "routing/pattern_grammar.hpp"

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "tests/unit/routing/naive_topic.hpp"

namespace {

using harrier::routing::Pattern;
using harrier::routing::PatternError;
using harrier::routing::PatternWord;

void require(bool condition) {
  if (!condition) std::abort();
}

void check_words(const Pattern& pattern, std::string_view text) {
  const std::vector<std::string> words = harrier::routing_tests::naive_words(text);
  require(words.size() == pattern.words.size());
  for (std::size_t i = 0; i < words.size(); ++i) {
    using Kind = PatternWord::Kind;
    const Kind kind = words[i] == "*" ? Kind::Star : words[i] == "#" ? Kind::Hash : Kind::Literal;
    require(pattern.words[i].text == words[i] && pattern.words[i].kind == kind);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto parsed = harrier::routing::parse_pattern(text);
  if (const auto* error = std::get_if<PatternError>(&parsed)) {
    require(size > harrier::routing::kPatternBytesMax);
    require(error->position == harrier::routing::kPatternBytesMax + 1 && !error->message.empty());
    return 0;
  }
  require(size <= harrier::routing::kPatternBytesMax);
  const Pattern& pattern = std::get<Pattern>(parsed);
  check_words(pattern, text);
  const std::string printed = harrier::routing::to_text(pattern);
  require(printed == text);
  require(std::get<Pattern>(harrier::routing::parse_pattern(printed)) == pattern);
  return 0;
}
