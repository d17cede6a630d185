// SPDX-License-Identifier: Apache-2.0
#include "routing/pattern_grammar.hpp"

#include <boost/spirit/home/x3.hpp>

#include "protocol/check.hpp"

namespace harrier::routing {
namespace {

namespace x3 = boost::spirit::x3;

using Kind = PatternWord::Kind;

// A semantic action that appends a word of this kind with the text that its parser has matched.
template <Kind kKind>
struct Append {
  template <class Context>
  void operator()(Context& context) const {
    const auto matched = x3::_attr(context);
    const auto size = static_cast<std::size_t>(matched.end() - matched.begin());
    // The iterators are the pointers of the text itself.
    x3::_val(context).words.push_back({kKind, std::string_view(matched.begin(), size)});
  }
};

const auto kEndOfWord = &x3::lit('.') | x3::eoi;
const auto kStar = x3::raw[x3::lit('*') >> kEndOfWord][Append<Kind::Star>{}];
const auto kHash = x3::raw[x3::lit('#') >> kEndOfWord][Append<Kind::Hash>{}];
const auto kLiteral = x3::raw[*(x3::char_ - '.')][Append<Kind::Literal>{}];
const auto kWord = kStar | kHash | kLiteral;
const auto kPattern = x3::rule<struct PatternRule, Pattern>("pattern") =
    x3::eoi | (kWord % '.' >> x3::eoi);

PatternError too_long(std::string_view text) {
  constexpr std::size_t kShownBytes = 40;
  const std::size_t position = kPatternBytesMax + 1;
  return {position, "binding key '" + std::string(text.substr(0, kShownBytes)) +
                        "...' is too long at character " + std::to_string(position) + ": at most " +
                        std::to_string(kPatternBytesMax) + " bytes are allowed"};
}

}  // namespace

std::variant<Pattern, PatternError> parse_pattern(std::string_view text) {
  if (text.size() > kPatternBytesMax) return too_long(text);
  Pattern pattern;
  const char* at = text.data();
  const char* const end = text.data() + text.size();
  const bool matched = x3::parse(at, end, kPattern, pattern);
  // Every text of legal length is a pattern: a word may hold any byte.
  HARRIER_CHECK(matched && at == end);
  return pattern;
}

std::string to_text(const Pattern& pattern) {
  std::string text;
  for (const PatternWord& word : pattern.words) {
    if (&word != pattern.words.data()) text += '.';
    text += word.text;
  }
  return text;
}

}  // namespace harrier::routing
