// SPDX-License-Identifier: Apache-2.0
#include "routing/pattern_grammar.hpp"

#include <string>
#include <variant>
#include <vector>

#include <gtest/gtest.h>

namespace harrier::routing {
namespace {

// The tree as text: each word in brackets, wildcards without.
std::string tree(std::string_view text) {
  const auto parsed = parse_pattern(text);
  std::string printed;
  for (const PatternWord& word : std::get<Pattern>(parsed).words) {
    if (!printed.empty()) printed += ' ';
    const bool literal = word.kind == PatternWord::Kind::Literal;
    printed += literal ? "[" + std::string(word.text) + "]" : std::string(word.text);
    if (!literal) {
      const std::string_view sign = word.kind == PatternWord::Kind::Star ? "*" : "#";
      EXPECT_EQ(word.text, sign);
    }
  }
  return printed;
}

TEST(PatternGrammar, ParsesWordsAndWildcards) {
  const std::vector<std::pair<std::string, std::string>> golden = {
      {"", ""},
      {"a", "[a]"},
      {"a.b.c", "[a] [b] [c]"},
      {"*", "*"},
      {"#", "#"},
      {"*.#", "* #"},
      {"#.*.#", "# * #"},
      {"#.#", "# #"},
      {".", "[] []"},
      {"..", "[] [] []"},
      {"a.", "[a] []"},
      {".a", "[] [a]"},
      {"a..b", "[a] [] [b]"},
      {"*.", "* []"},
      {".#", "[] #"},
      {"**", "[**]"},
      {"##", "[##]"},
      {"a*", "[a*]"},
      {"*a", "[*a]"},
      {"#a.b#", "[#a] [b#]"},
      {"*#", "[*#]"},
      {"a b.c", "[a b] [c]"},
      {"\n.\t.\x01", "[\n] [\t] [\x01]"},
      {"\xff.\x80*.*", "[\xff] [\x80*] *"},
      {"\xc3\xa9.#", "[\xc3\xa9] #"},
      {std::string("a\0b.\0", 5), std::string("[a\0b] [\0]", 9)},
  };
  for (const auto& [text, expected] : golden) {
    EXPECT_EQ(tree(text), expected) << text;
    EXPECT_EQ(to_text(std::get<Pattern>(parse_pattern(text))), text);
  }
}

TEST(PatternGrammar, TakesEveryByteInAWord) {
  for (int byte = 0; byte < 256; ++byte) {
    if (byte == '.') continue;
    const std::string text = std::string("x") + static_cast<char>(byte) + ".y";
    EXPECT_EQ(std::get<Pattern>(parse_pattern(text)).words.size(), 2U) << byte;
  }
}

TEST(PatternGrammar, WordsPointIntoTheText) {
  const std::string text = "abc.def";
  const auto parsed = parse_pattern(text);
  EXPECT_EQ(std::get<Pattern>(parsed).words[1].text.data(), text.data() + 4);
}

TEST(PatternGrammar, TakesTheLongestKeyOfTheWire) {
  const std::string dots(kPatternBytesMax, '.');
  EXPECT_EQ(std::get<Pattern>(parse_pattern(dots)).words.size(), kPatternWordsMax);
  const std::string word(kPatternBytesMax, 'w');
  EXPECT_EQ(std::get<Pattern>(parse_pattern(word)).words.size(), 1U);
}

TEST(PatternGrammar, NamesTheCharacterThatIsTooMany) {
  const std::string text = "stock." + std::string(250, 'x');
  const auto parsed = parse_pattern(text);
  const auto* error = std::get_if<PatternError>(&parsed);
  ASSERT_NE(error, nullptr);
  EXPECT_EQ(error->position, 256U);
  EXPECT_EQ(error->message,
            "binding key 'stock.xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx...' is too long at character "
            "256: at most 255 bytes are allowed");
}

}  // namespace
}  // namespace harrier::routing
