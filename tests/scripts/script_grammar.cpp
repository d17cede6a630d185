// SPDX-License-Identifier: Apache-2.0
#include "tests/scripts/script_grammar.hpp"

#include <algorithm>
#include <optional>
#include <utility>

#include <boost/spirit/home/x3.hpp>

namespace harrier::scripts {
namespace {

namespace x3 = boost::spirit::x3;
using x3::char_;
using x3::lit;

// --- building the tree: every rule has a plain struct as its attribute, filled by small actions
// ---

constexpr auto take = [](auto& ctx) { x3::_val(ctx) = std::move(x3::_attr(ctx)); };

void append_char(Text& text, char c) {
  if (text.parts.empty() || text.parts.back().variable) text.parts.push_back({false, {}});
  text.parts.back().text.push_back(c);
}

constexpr auto add_char = [](auto& ctx) { append_char(x3::_val(ctx), x3::_attr(ctx)); };
constexpr auto add_code = [](auto& ctx) {
  append_char(x3::_val(ctx), static_cast<char>(x3::_attr(ctx)));
};
constexpr auto add_variable = [](auto& ctx) {
  x3::_val(ctx).parts.push_back(TextPart{true, x3::_attr(ctx)});
};

template <class T>
constexpr auto wrap = [](auto& ctx) { x3::_val(ctx).of = T(std::move(x3::_attr(ctx))); };

const x3::rule<struct VariableTag, std::string> variable = "a variable name";
const x3::rule<struct NameTag, std::string> name = "a name";
const x3::rule<struct InterpolatedTag, std::string> interpolated = "$name or ${name}";
const x3::rule<struct QuotedTag, Text> quoted = "a quoted text";
const x3::rule<struct WordTag, Text> word = "a word";
const x3::rule<struct VariableTextTag, Text> variable_text = "a variable";
const x3::rule<struct BytesTag, Bytes> bytes = "bytes such as x\"00 ff\"";
const x3::rule<struct NumberTag, Number> number = "a number";
const x3::rule<struct DecimalTag, Decimal> decimal = "a decimal such as D:2/314";
const x3::rule<struct EntryTag, Entry> entry = "an entry such as \"key\": value";
const x3::rule<struct TableTag, TableLiteral> table = "a table";
const x3::rule<struct ArrayTag, ArrayLiteral> array = "an array";
const x3::rule<struct CellTag, Value> cell = "a table value";
const x3::rule<struct ValueTag, Value> value = "a value";
const x3::rule<struct ArgumentTag, Argument> argument = "an argument";
const x3::rule<struct StepTag, Step> step = "a step";
const x3::rule<struct DirectiveTag, Directive> directive = "a directive";

// What must follow here. An expectation names its rule in the error, which it could not do for a
// rule with an action.
constexpr auto must = [](auto what) { return x3::eps > what; };

const x3::rule<struct GapTag> gap = "a space";
const auto gap_def = x3::omit[+x3::blank];
const auto space = x3::omit[*x3::blank];

const auto variable_def = char_("a-z") >> *char_("a-z0-9_");
const auto name_def = char_("a-z") >> *char_("a-z0-9_");
const auto interpolated_def = lit('$') >> ((lit('{') >> variable >> '}') | variable);
const x3::uint_parser<unsigned char, 16, 2, 2> hex_pair;
const x3::rule<struct HexCodeTag, unsigned char> hex_code = "two hexadecimal digits";
const auto hex_code_def = hex_pair;

x3::symbols<char> make_escapes() {
  x3::symbols<char> known;
  known.add("\\n", '\n')("\\r", '\r')("\\t", '\t')("\\0", '\0')("\\\"", '"')("\\\\", '\\')("\\$",
                                                                                           '$');
  return known;
}
const x3::symbols<char> escape = make_escapes();

constexpr auto set_quoted = [](auto& ctx) { x3::_val(ctx).quoted = true; };
const auto quoted_def = lit('"')[set_quoted] >>
                        *((lit("\\x") >> must(hex_code)[add_code]) | escape[add_char] |
                          interpolated[add_variable] | (char_ - char_("\"\\"))[add_char]) > '"';
const auto word_def = +(interpolated[add_variable] | (x3::graph - char_("\"{}[]$"))[add_char]);
const auto variable_text_def = interpolated[add_variable];

constexpr auto add_byte = [](auto& ctx) {
  x3::_val(ctx).bytes.push_back(static_cast<char>(x3::_attr(ctx)));
};
const auto bytes_def = lit("x\"") > *(x3::omit[x3::blank] | hex_pair[add_byte]) > '"';

constexpr auto set_digits = [](auto& ctx) {
  const auto& range = x3::_attr(ctx);
  Number& made = x3::_val(ctx);
  made.digits.assign(range.begin(), range.end());
  const bool fraction = made.digits.find_first_of(".ein") != std::string::npos;
  if (made.tag == 'I' && fraction) made.tag = 'd';
};
constexpr auto set_tag = [](auto& ctx) { x3::_val(ctx).tag = x3::_attr(ctx); };
const auto exponent = lit('e') >> -(lit('-') | '+') >> +x3::digit;
const auto fraction_part = lit('.') >> +x3::digit;
const auto digits =
    (-lit('-') >> (lit("inf") | lit("nan") | (+x3::digit >> -fraction_part >> -exponent))) |
    (lit('#') >> +x3::xdigit);
const auto number_def = -(char_("bBsuIilLfdT") >> ':')[set_tag] >> x3::raw[digits][set_digits];

constexpr auto set_scale = [](auto& ctx) { x3::_val(ctx).scale = x3::_attr(ctx); };
constexpr auto set_unscaled = [](auto& ctx) { x3::_val(ctx).value = x3::_attr(ctx); };
const x3::uint_parser<std::uint8_t> scale;
const x3::uint_parser<std::uint32_t> unscaled;
const auto decimal_def = (lit("D:") >> scale[set_scale] > '/') >> unscaled[set_unscaled];

constexpr auto set_key = [](auto& ctx) { x3::_val(ctx).key = std::move(x3::_attr(ctx)); };
constexpr auto set_value = [](auto& ctx) { x3::_val(ctx).value = std::move(x3::_attr(ctx)); };
constexpr auto add_entry = [](auto& ctx) {
  x3::_val(ctx).entries.push_back(std::move(x3::_attr(ctx)));
};
constexpr auto add_item = [](auto& ctx) {
  x3::_val(ctx).items.push_back(std::move(x3::_attr(ctx)));
};
constexpr auto set_void = [](auto& ctx) { x3::_val(ctx).of = Void{}; };
constexpr auto set_true = [](auto& ctx) { x3::_val(ctx).of = true; };
constexpr auto set_false = [](auto& ctx) { x3::_val(ctx).of = false; };

// x:"..." is how methods are printed: text with escapes; it must not have variables.
constexpr auto set_bytes = [](auto& ctx) {
  Bytes made;
  for (const TextPart& part : x3::_attr(ctx).parts) {
    if (part.variable) x3::_pass(ctx) = false;
    made.bytes += part.text;
  }
  x3::_val(ctx).of = std::move(made);
};
const auto byte_text = lit("x:") >> must(quoted);

const auto entry_def = (quoted[set_key] >> space > ':') >> space >> must(cell)[set_value];
const auto table_def =
    lit('{') >> space >>
    -(entry[add_entry] >> *(space >> ',' >> space >> must(entry)[add_entry])) >> space > '}';
const auto array_def =
    lit('[') >> space >>
    -(cell[add_item] >> *(space >> ',' >> space >> must(cell)[add_item])) >> space > ']';
const auto cell_def = table[wrap<TableLiteral>] | array[wrap<ArrayLiteral>] | bytes[wrap<Bytes>] |
                      quoted[wrap<Text>] | variable_text[wrap<Text>] | lit("true")[set_true] |
                      lit("false")[set_false] | lit("null")[set_void] | byte_text[set_bytes] |
                      decimal[wrap<Decimal>] | number[wrap<Number>];
const auto value_def = table[wrap<TableLiteral>] | array[wrap<ArrayLiteral>] | bytes[wrap<Bytes>] |
                       quoted[wrap<Text>] | word[wrap<Text>];

x3::symbols<Operator> make_operators() {
  x3::symbols<Operator> known;
  known.add("=>", Operator::Captures)("!=", Operator::Differs)("^=", Operator::Prefix)(
      "*=", Operator::Contains)("=", Operator::Equals)("~", Operator::Matches);
  return known;
}
const x3::symbols<Operator> operator_symbol = make_operators();

constexpr auto set_name = [](auto& ctx) { x3::_val(ctx).name = x3::_attr(ctx); };
constexpr auto set_operator = [](auto& ctx) { x3::_val(ctx).op = x3::_attr(ctx); };
constexpr auto set_absent = [](auto& ctx) {
  x3::_val(ctx).op = Operator::Absent;
  x3::_val(ctx).name = x3::_attr(ctx);
};
const auto named = &(name >> operator_symbol) >> name[set_name] >> operator_symbol[set_operator] >>
                   must(value)[set_value];
const auto absent = lit('!') >> name[set_absent];
const auto argument_def = absent | named | value[set_value];

constexpr auto set_connection = [](auto& ctx) { x3::_val(ctx).connection = x3::_attr(ctx); };
constexpr auto set_channel = [](auto& ctx) { x3::_val(ctx).channel = x3::_attr(ctx); };
constexpr auto set_verb = [](auto& ctx) { x3::_val(ctx).verb = x3::_attr(ctx); };
template <Direction D>
constexpr auto set_direction = [](auto& ctx) { x3::_val(ctx).direction = D; };
constexpr auto add_argument = [](auto& ctx) {
  x3::_val(ctx).arguments.push_back(std::move(x3::_attr(ctx)));
};

const x3::rule<struct ChannelTag, std::uint16_t> channel = "a channel number";
const auto channel_def = x3::uint16;
const x3::rule<struct ConnectionNameTag, std::string> connection_name =
    "a connection (a capital letter first)";
const x3::rule<struct VerbTag, std::string> verb = "a method or an action";
const auto connection_name_def = char_("A-Z") >> *char_("A-Za-z0-9_");
const auto verb_def = char_("a-z") >> *char_("a-z0-9.-");
const auto comment = -(lit('#') >> x3::omit[*char_]);
const auto arguments = *(gap >> !lit('#') >> argument[add_argument]);

const auto arrow = (lit("<*") > gap)[set_direction<Direction::ExpectAmong>] |
                   (lit('<') > gap)[set_direction<Direction::Expect>] |
                   (lit("call") >> gap)[set_direction<Direction::Call>] | x3::eps;
const auto step_def = (connection_name[set_connection] >>
                       -(lit('.') >> must(channel)[set_channel]) > gap) >>
                      arrow >> must(verb)[set_verb] >> arguments;

x3::symbols<std::string> make_directives() {
  x3::symbols<std::string> known;
  for (const char* word_of : {"only", "differs", "varies", "repeat", "for", "end", "let"})
    known.add(word_of, word_of);
  return known;
}
const x3::symbols<std::string> directive_name = make_directives();
const auto directive_def = directive_name[set_name] >> arguments;

BOOST_SPIRIT_DEFINE(variable, name, interpolated, quoted, word, variable_text, bytes, number,
                    decimal, entry, table, array, cell, value, argument, hex_code, gap, channel,
                    connection_name, verb, step, directive)

[[noreturn]] void fail(const std::string& path, std::size_t line, std::size_t column,
                       const std::string& what, std::string_view source) {
  throw ScriptError(path + ":" + std::to_string(line) + ":" + std::to_string(column) + ": " + what +
                    "\n  " + std::string(source) + "\n  " + std::string(column - 1, ' ') + "^");
}

// nullopt: an empty line or a comment.
std::optional<Line> parse_line(std::string_view source, std::size_t line_number,
                               const std::string& path) {
  auto at = source.begin();
  const auto column = [&](auto where) {
    return static_cast<std::size_t>(where - source.begin()) + 1;
  };
  try {
    Line line{line_number, std::string(source), {}};
    const auto set_step = [&](auto& ctx) { line.of = std::move(x3::_attr(ctx)); };
    bool any = false;
    const auto mark = [&](auto&) { any = true; };
    const auto statement = (step[set_step] | directive[set_step]) >> x3::eps[mark];
    const bool ok = x3::parse(at, source.end(), space >> -statement >> space >> comment >> x3::eoi);
    if (!ok) {
      const std::size_t first = source.find_first_not_of(" \t");
      const bool capital = source[first] >= 'A' && source[first] <= 'Z';
      if (!any && !capital) {
        fail(path, line_number, first + 1,
             "expected a connection (a capital letter first) or a directive", source);
      }
      // Arguments stop at the first text that is none: find it by parsing the statement alone.
      at = source.begin();
      Line ignored;
      x3::parse(at, source.end(), space >> -statement >> space);
      fail(path, line_number, column(at), "unexpected text", source);
    }
    if (!any) return std::nullopt;
    return line;
  } catch (const x3::expectation_failure<std::string_view::iterator>& failure) {
    fail(path, line_number, column(failure.where()), "expected " + failure.which(), source);
  }
}

// Collects "C-324" and so on from a comment.
void note_items(std::string_view comment_text, std::vector<std::string>& items) {
  for (std::size_t at = comment_text.find("C-"); at != std::string_view::npos;
       at = comment_text.find("C-", at + 2)) {
    std::size_t end = at + 2;
    while (end < comment_text.size() && comment_text[end] >= '0' && comment_text[end] <= '9') ++end;
    if (end > at + 2) items.emplace_back(comment_text.substr(at, end - at));
  }
}

void check_blocks(const Script& script) {
  std::vector<const Line*> open;
  for (const Line& line : script.lines) {
    const auto* found = std::get_if<Directive>(&line.of);
    if (found == nullptr) continue;
    if (found->name == "repeat" || found->name == "for") open.push_back(&line);
    if (found->name != "end") continue;
    if (open.empty()) fail(script.path, line.number, 1, "end without repeat or for", line.source);
    open.pop_back();
  }
  if (!open.empty())
    fail(script.path, open.back()->number, 1, "repeat or for without end", open.back()->source);
}

}  // namespace

Script parse_script(std::string_view text, std::string path) {
  Script script;
  script.path = std::move(path);
  std::size_t line_number = 0;
  while (!text.empty()) {
    const std::size_t end = text.find('\n');
    const std::string_view source = text.substr(0, end);
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    ++line_number;
    if (auto line = parse_line(source, line_number, script.path)) {
      script.lines.push_back(std::move(*line));
    } else if (const std::size_t hash = source.find('#');
               hash != std::string_view::npos && script.lines.empty()) {
      std::string_view remark = source.substr(hash + 1);
      remark.remove_prefix(std::min(remark.find_first_not_of(' '), remark.size()));
      if (script.title.empty() && !remark.starts_with("SPDX")) script.title = remark;
      note_items(remark, script.items);
    }
  }
  check_blocks(script);
  return script;
}

}  // namespace harrier::scripts
