// SPDX-License-Identifier: Apache-2.0
#include "tests/scripts/runner_values.hpp"

#include <algorithm>
#include <bit>
#include <charconv>
#include <cstdlib>
#include <limits>
#include <regex>

#include "protocol/value_text.hpp"

namespace harrier::scripts {
namespace {

using protocol::FieldValue;
using protocol::TableView;

template <class... Cases>
struct Overloaded : Cases... {
  using Cases::operator()...;
};

void append_u16(ByteVector& out, std::uint16_t value) {
  out.resize(out.size() + 2);
  protocol::put_u16(out.data() + out.size() - 2, value);
}
void append_u32(ByteVector& out, std::uint32_t value) {
  out.resize(out.size() + 4);
  protocol::put_u32(out.data() + out.size() - 4, value);
}
void append_u64(ByteVector& out, std::uint64_t value) {
  out.resize(out.size() + 8);
  protocol::put_u64(out.data() + out.size() - 8, value);
}
void append_sized(ByteVector& out, std::string_view bytes) {
  append_u32(out, static_cast<std::uint32_t>(bytes.size()));
  out.insert(out.end(), bytes.begin(), bytes.end());
}

// Two's complement of a decimal number of any sign that fits 64 bits.
std::uint64_t integer_bits(const std::string& digits) {
  const char* const end = digits.data() + digits.size();
  std::int64_t with_sign = 0;
  if (const auto done = std::from_chars(digits.data(), end, with_sign);
      done.ptr == end && done.ec == std::errc{}) {
    return static_cast<std::uint64_t>(with_sign);
  }
  std::uint64_t plain = 0;
  if (const auto done = std::from_chars(digits.data(), end, plain);
      done.ptr == end && done.ec == std::errc{}) {
    return plain;
  }
  throw StepError("not an integer of at most 64 bits: " + digits);
}

// Bits of a floating value; "#7fc00000" gives them as they are.
template <class Float, class Bits>
Bits float_bits(const std::string& digits) {
  if (digits.starts_with('#'))
    return static_cast<Bits>(std::strtoull(digits.c_str() + 1, nullptr, 16));
  return std::bit_cast<Bits>(static_cast<Float>(std::strtod(digits.c_str(), nullptr)));
}

void append_number(ByteVector& out, const Number& number) {
  out.push_back(static_cast<std::uint8_t>(number.tag));
  if (number.tag == 'f') return append_u32(out, float_bits<float, std::uint32_t>(number.digits));
  if (number.tag == 'd') return append_u64(out, float_bits<double, std::uint64_t>(number.digits));
  const std::uint64_t bits = integer_bits(number.digits);
  switch (number.tag) {
    case 'b':
    case 'B':
    case 't':
      out.push_back(static_cast<std::uint8_t>(bits));
      break;
    case 's':
    case 'u':
      append_u16(out, static_cast<std::uint16_t>(bits));
      break;
    case 'I':
    case 'i':
      append_u32(out, static_cast<std::uint32_t>(bits));
      break;
    default:
      append_u64(out, bits);
      break;  // l L T
  }
}

void append_table(ByteVector& out, const TableLiteral& table, Variables& variables);

void append_cell(ByteVector& out, const Value& value, Variables& variables) {
  const auto tag = [&out](char letter) { out.push_back(static_cast<std::uint8_t>(letter)); };
  const auto nested = [&](char letter, const ByteVector& bytes) {
    tag(letter);
    append_sized(out, protocol::as_text(bytes));
  };
  std::visit(Overloaded{
                 [&](const Text& text) {
                   tag('S');
                   append_sized(out, variables.expand(text));
                 },
                 [&](const Number& number) { append_number(out, number); },
                 [&](const Decimal& decimal) {
                   tag('D');
                   out.push_back(decimal.scale);
                   append_u32(out, decimal.value);
                 },
                 [&](const Bytes& bytes) {
                   tag('x');
                   append_sized(out, bytes.bytes);
                 },
                 [&](bool flag) {
                   tag('t');
                   out.push_back(flag ? 1 : 0);
                 },
                 [&](const Void&) { tag('V'); },
                 [&](const TableLiteral& table) {
                   ByteVector inner;
                   append_table(inner, table, variables);
                   nested('F', inner);
                 },
                 [&](const ArrayLiteral& array) {
                   ByteVector inner;
                   for (const Value& item : array.items) append_cell(inner, item, variables);
                   nested('A', inner);
                 },
             },
             value.of);
}

void append_table(ByteVector& out, const TableLiteral& table, Variables& variables) {
  for (const Entry& entry : table.entries) {
    const std::string key = variables.expand(entry.key);
    if (key.size() > 255) throw StepError("a table key has more than 255 bytes");
    out.push_back(static_cast<std::uint8_t>(key.size()));
    out.insert(out.end(), key.begin(), key.end());
    append_cell(out, entry.value, variables);
  }
}

bool contains(TableView actual, TableView expected);

std::vector<FieldValue> elements(const FieldValue& array) {
  std::vector<FieldValue> out;
  array.as_array()->for_each([&](const FieldValue& element) {
    out.push_back(element);
    return true;
  });
  return out;
}

// Nested tables are compared as the outer one, arrays element by element, everything else by type
// and bytes; null stands for any value.
bool fits(const FieldValue& actual, const FieldValue& wanted) {
  if (wanted.tag == 'V') return true;
  if (wanted.tag != actual.tag) return false;
  if (wanted.tag == 'F') return contains(*actual.as_table(), *wanted.as_table());
  if (wanted.tag == 'A') return std::ranges::equal(elements(actual), elements(wanted), fits);
  return protocol::as_text(actual.payload) == protocol::as_text(wanted.payload);
}

bool contains(TableView actual, TableView expected) {
  bool all = true;
  expected.for_each([&](std::string_view key, const FieldValue& wanted) {
    const auto found = actual.find(key);
    all = found && fits(*found, wanted);
    return all;
  });
  return all;
}

std::string quote(const std::string& text) {
  std::string out;
  protocol::append_quoted(out, text);
  return out;
}

std::optional<std::string> table_mismatch(const Argument& argument, TableView actual,
                                          Variables& variables) {
  const ByteVector bytes = table_bytes(argument.value, variables);
  const TableView expected{bytes};
  const bool equal = canonical_form(actual) == canonical_form(expected);
  bool ok = false;
  switch (argument.op) {
    case Operator::Equals:
      ok = equal;
      break;
    case Operator::Differs:
      ok = !equal;
      break;
    case Operator::Contains:
      ok = contains(actual, expected);
      break;
    default:
      throw StepError(argument.name + " is a table: use =, != or *=");
  }
  if (ok) return std::nullopt;
  return argument.name + ": expected " +
         (argument.op == Operator::Contains ? "among others " : "") +
         table_text(expected, protocol::ValueText::Typed) + ", received " +
         table_text(actual, protocol::ValueText::Typed);
}

bool text_matches(Operator op, const std::string& actual, const std::string& expected) {
  switch (op) {
    case Operator::Equals:
      return actual == expected;
    case Operator::Differs:
      return actual != expected;
    case Operator::Prefix:
      return actual.starts_with(expected);
    case Operator::Contains:
      return actual.find(expected) != std::string::npos;
    case Operator::Matches:
      return std::regex_search(actual, std::regex(expected));
    default:
      throw StepError("this operator is not for texts");
  }
}

}  // namespace

std::string Variables::expand(const Text& text) {
  std::string out;
  for (const TextPart& part : text.parts) {
    if (!part.variable) {
      out += part.text;
      continue;
    }
    auto [at, added] = values_.try_emplace(part.text);
    if (added) at->second = "script-" + run_id_ + "-" + part.text;
    out += at->second;
  }
  return out;
}

std::string text_of(const Value& value, Variables& variables) {
  if (const auto* text = std::get_if<Text>(&value.of)) return variables.expand(*text);
  if (const auto* bytes = std::get_if<Bytes>(&value.of)) return bytes->bytes;
  throw StepError("expected a text here, not a table or an array");
}

std::uint64_t number_of(const Value& value, Variables& variables) {
  const std::string text = text_of(value, variables);
  std::uint64_t number = 0;
  const char* const end = text.data() + text.size();
  const auto done = std::from_chars(text.data(), end, number);
  if (done.ec != std::errc{} || done.ptr != end)
    throw StepError("expected a number, not " + quote(text));
  return number;
}

bool flag_of(const Value& value, Variables& variables) {
  const std::string text = text_of(value, variables);
  if (text != "true" && text != "false")
    throw StepError("expected true or false, not " + quote(text));
  return text == "true";
}

ByteVector table_bytes(const Value& value, Variables& variables) {
  ByteVector out;
  if (const auto* bytes = std::get_if<Bytes>(&value.of)) {
    out.assign(bytes->bytes.begin(), bytes->bytes.end());
  } else if (const auto* table = std::get_if<TableLiteral>(&value.of)) {
    append_table(out, *table, variables);
  } else {
    throw StepError("expected a table such as {\"key\": 1}");
  }
  return out;
}

std::string to_text(const Actual& actual) {
  if (const auto* text = std::get_if<std::string>(&actual)) return quote(*text);
  if (const auto* table = std::get_if<TableView>(&actual))
    return table_text(*table, protocol::ValueText::Typed);
  return "absent";
}

std::optional<std::string> mismatch(const Argument& argument, const Actual& actual,
                                    Variables& variables, Captures& captures) {
  if (argument.op == Operator::Absent) {
    if (std::holds_alternative<std::monostate>(actual)) return std::nullopt;
    return argument.name + ": expected absent, received " + to_text(actual);
  }
  if (std::holds_alternative<std::monostate>(actual)) return argument.name + ": absent";
  if (const auto* table = std::get_if<TableView>(&actual))
    return table_mismatch(argument, *table, variables);
  const std::string& text = std::get<std::string>(actual);
  if (argument.op == Operator::Captures) {
    const auto* target = std::get_if<Text>(&argument.value.of);
    if (target == nullptr || target->parts.size() != 1 || !target->parts.front().variable) {
      throw StepError("=> needs a variable: " + argument.name + "=>$name");
    }
    captures.emplace_back(target->parts.front().text, text);
    return std::nullopt;
  }
  const std::string expected = text_of(argument.value, variables);
  if (text_matches(argument.op, text, expected)) return std::nullopt;
  const char* const how = argument.op == Operator::Differs    ? "anything but "
                          : argument.op == Operator::Prefix   ? "a text that starts with "
                          : argument.op == Operator::Contains ? "a text with "
                          : argument.op == Operator::Matches  ? "a match of "
                                                              : "";
  return argument.name + ": expected " + how + quote(expected) + ", received " + quote(text);
}

ByteVector pattern_body(std::size_t size) {
  constexpr std::uint32_t kMultiplier = 2'654'435'761;  // Knuth's multiplicative hash
  ByteVector body(size);
  for (std::size_t i = 0; i < size; ++i) {
    body[i] = static_cast<std::uint8_t>((static_cast<std::uint32_t>(i) * kMultiplier) >> 24);
  }
  return body;
}

}  // namespace harrier::scripts
