// SPDX-License-Identifier: Apache-2.0
#include "protocol/value_text.hpp"

#include <bit>
#include <charconv>
#include <limits>
#include <vector>

namespace harrier::protocol {
namespace {

constexpr std::string_view kBlanks = " \t\r\n";
constexpr std::string_view kHexDigits = "0123456789abcdef";

template <class T>
std::string number_text(T value) {
  char buffer[32];
  const auto end = std::to_chars(buffer, buffer + sizeof buffer, value);
  return {buffer, end.ptr};
}

template <class T>
std::string hex_text(T bits) {
  char buffer[20];
  const auto end = std::to_chars(buffer, buffer + sizeof buffer, bits, 16);
  return {buffer, end.ptr};
}

bool is_finite_bits(double value) { return value - value == 0; }

// Shortest text that reads back as the same number; the bits where there is no such number.
std::string real_text(const FieldValue& value, ValueText style) {
  const bool is_single = value.tag == 'f';
  const double number = value.as_double().value_or(0);
  const bool finite = is_finite_bits(number);
  if (style == ValueText::Plain || finite) {
    const std::string text =
        is_single ? number_text(static_cast<float>(number)) : number_text(number);
    const bool looks_real = finite && text.find_first_of(".e") != std::string::npos;
    if (style == ValueText::Plain || (!is_single && looks_real)) return text;
    return std::string(1, value.tag) + ':' + text;
  }
  ByteReader reader(value.payload);
  const std::string bits = is_single ? hex_text(reader.u32()) : hex_text(reader.u64());
  return std::string(1, value.tag) + ":#" + bits;
}

std::string decimal_text(const FieldValue& value, ValueText style) {
  ByteReader reader(value.payload);
  const unsigned scale = reader.u8();
  const std::uint32_t digits = reader.u32();
  if (style == ValueText::Plain) return number_text(digits) + "e-" + number_text(scale);
  return "D:" + number_text(scale) + '/' + number_text(digits);
}

std::string array_text(ArrayView array, ValueText style) {
  std::string out = "[";
  array.for_each([&](const FieldValue& element) {
    if (out.size() > 1) out += ", ";
    out += value_text(element, style);
    return true;
  });
  return out + ']';
}

std::string bool_text(const FieldValue& value, ValueText style) {
  const unsigned octet = value.payload.empty() ? 0 : value.payload[0];
  if (style == ValueText::Typed && octet > 1) return "t:" + number_text(octet);
  return octet != 0 ? "true" : "false";
}

}  // namespace

void append_quoted(std::string& out, std::string_view text) {
  out += '"';
  for (const char c : text) {
    const auto octet = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (octet >= 0x20 && octet != 0x7F && octet < 0x80) {
      out += c;
    } else {
      out += "\\x";
      out += kHexDigits[octet >> 4];
      out += kHexDigits[octet & 15];
    }
  }
  out += '"';
}

std::string value_text(const FieldValue& value, ValueText style) {
  const bool typed = style == ValueText::Typed;
  std::string out;
  switch (value.tag) {
    case 'F':
      return table_text(TableView(value.payload), style);
    case 'A':
      return array_text(ArrayView(value.payload), style);
    case 't':
      return bool_text(value, style);
    case 'V':
      return "null";
    case 'f':
    case 'd':
      return real_text(value, style);
    case 'D':
      return decimal_text(value, style);
    case 'S':
      break;
    case 'x':
      if (typed) out += "x:";
      break;
    case 'T':
      if (typed) out += "T:";
      return out + number_text(value.as_timestamp().value_or(0));
    default:
      if (typed && value.tag != 'I') out = std::string(1, value.tag) + ':';
      return out + number_text(value.as_integer().value_or(0));
  }
  append_quoted(out, as_text(value.payload));
  return out;
}

std::string table_text(TableView table, ValueText style) {
  std::string out = "{";
  table.for_each([&](std::string_view key, const FieldValue& value) {
    if (out.size() > 1) out += ", ";
    append_quoted(out, key);
    out += ": ";
    out += value_text(value, style);
    return true;
  });
  return out + '}';
}

void TextReader::skip_blanks() {
  while (!at_end() && kBlanks.find(peek()) != std::string_view::npos) ++at_;
}

bool TextReader::skip(char expected) {
  if (at_end() || peek() != expected) return false;
  ++at_;
  return true;
}

void TextReader::expect(char expected) {
  if (!skip(expected)) fail(std::string("expected '") + expected + "'");
}

std::string_view TextReader::word(std::string_view stops) {
  const std::size_t start = at_;
  while (!at_end() && kBlanks.find(peek()) == std::string_view::npos &&
         stops.find(peek()) == std::string_view::npos) {
    ++at_;
  }
  return text_.substr(start, at_ - start);
}

void TextReader::fail_at(std::size_t position, std::string_view what) {
  if (!ok()) return;
  error_ = "at " + number_text(position) + ": " + std::string(what);
}

namespace {

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

}  // namespace

std::string TextReader::quoted() {
  const std::size_t start = at_;
  std::string out;
  expect('"');
  while (ok() && !at_end() && peek() != '"') {
    const char c = text_[at_++];
    if (c != '\\') {
      out += c;
      continue;
    }
    const char escape = peek();
    ++at_;
    switch (escape) {
      case '"':
      case '\\':
        out += escape;
        break;
      case 'n':
        out += '\n';
        break;
      case 'r':
        out += '\r';
        break;
      case 't':
        out += '\t';
        break;
      case 'x': {
        const int high = hex_digit(peek());
        const int low = at_ + 1 < text_.size() ? hex_digit(text_[at_ + 1]) : -1;
        if (high < 0 || low < 0) {
          fail("expected two hex digits");
          break;
        }
        out += static_cast<char>(high * 16 + low);
        at_ += 2;
        break;
      }
      default:
        fail_at(at_ - 1, "unknown escape");
        break;
    }
  }
  if (ok() && !skip('"')) fail_at(start, "string without closing quote");
  return out;
}

bool parse_unsigned(std::string_view text, std::uint64_t max, std::uint64_t& value) {
  const char* const end = text.data() + text.size();
  const auto result = std::from_chars(text.data(), end, value);
  return result.ec == std::errc() && result.ptr == end && value <= max;
}

namespace {

// The bytes of a value while it is being parsed.
struct Encoded {
  char tag = 'V';
  std::vector<std::uint8_t> payload;
  FieldValue view() const { return {tag, payload}; }
};

Encoded parse_value(TextReader& reader, int depth);

Table parse_entries(TextReader& reader, int depth) {
  Table table;
  if (depth > kTableDepthMax) reader.fail("nested too deeply");
  reader.expect('{');
  reader.skip_blanks();
  if (reader.skip('}')) return table;
  while (reader.ok()) {
    reader.skip_blanks();
    const std::size_t start = reader.position();
    const std::string key = reader.quoted();
    if (key.size() > 255) reader.fail_at(start, "key longer than 255 bytes");
    reader.skip_blanks();
    if (reader.ok()) reader.expect(':');
    reader.skip_blanks();
    if (!reader.ok()) break;
    const Encoded value = parse_value(reader, depth);
    if (!reader.ok()) break;
    table.add_value(key, value.view());
    reader.skip_blanks();
    if (reader.skip('}')) break;
    reader.expect(',');
  }
  return table;
}

std::vector<std::uint8_t> parse_elements(TextReader& reader, int depth) {
  std::vector<std::uint8_t> elements;
  if (depth > kTableDepthMax) reader.fail("nested too deeply");
  reader.expect('[');
  reader.skip_blanks();
  if (reader.skip(']')) return elements;
  while (reader.ok()) {
    reader.skip_blanks();
    const Encoded value = parse_value(reader, depth);
    if (!reader.ok()) break;
    // A one-entry table with an empty key is the element behind one length octet.
    const Table one = Table().add_value("", value.view());
    const ByteView bytes = one.view().bytes().subspan(1);
    elements.insert(elements.end(), bytes.begin(), bytes.end());
    reader.skip_blanks();
    if (reader.skip(']')) break;
    reader.expect(',');
  }
  return elements;
}

template <class T>
void put_big_endian(std::vector<std::uint8_t>& out, T value) {
  for (int shift = static_cast<int>(sizeof(T)) * 8 - 8; shift >= 0; shift -= 8) {
    out.push_back(static_cast<std::uint8_t>(value >> shift));
  }
}

template <class T>
bool encode_integer(std::string_view text, Encoded& out) {
  T value{};
  const char* const end = text.data() + text.size();
  const auto result = std::from_chars(text.data(), end, value);
  if (result.ec != std::errc() || result.ptr != end) return false;
  put_big_endian(out.payload, static_cast<std::make_unsigned_t<T>>(value));
  return true;
}

template <class Real, class Bits>
bool encode_real(std::string_view text, Encoded& out) {
  const bool is_bits = text.starts_with('#');
  if (is_bits) text.remove_prefix(1);
  const char* const end = text.data() + text.size();
  Bits bits = 0;
  Real value = 0;
  const auto result = is_bits ? std::from_chars(text.data(), end, bits, 16)
                              : std::from_chars(text.data(), end, value);
  if (result.ec != std::errc() || result.ptr != end) return false;
  put_big_endian(out.payload, is_bits ? bits : std::bit_cast<Bits>(value));
  return true;
}

bool encode_decimal(std::string_view text, Encoded& out) {
  const std::size_t slash = text.find('/');
  if (slash == std::string_view::npos) return false;
  return encode_integer<std::uint8_t>(text.substr(0, slash), out) &&
         encode_integer<std::uint32_t>(text.substr(slash + 1), out);
}

bool encode_literal(std::string_view text, Encoded& out) {
  switch (out.tag) {
    case 't':
    case 'B':
      return encode_integer<std::uint8_t>(text, out);
    case 'b':
      return encode_integer<std::int8_t>(text, out);
    case 's':
      return encode_integer<std::int16_t>(text, out);
    case 'u':
      return encode_integer<std::uint16_t>(text, out);
    case 'I':
      return encode_integer<std::int32_t>(text, out);
    case 'i':
      return encode_integer<std::uint32_t>(text, out);
    case 'l':
    case 'L':
      return encode_integer<std::int64_t>(text, out);
    case 'T':
      return encode_integer<std::uint64_t>(text, out);
    case 'f':
      return encode_real<float, std::uint32_t>(text, out);
    case 'd':
      return encode_real<double, std::uint64_t>(text, out);
    case 'D':
      return encode_decimal(text, out);
    default:
      return false;
  }
}

Encoded parse_bare(TextReader& reader) {
  const std::size_t start = reader.position();
  const std::string_view text = reader.word(",]}\"");
  Encoded out;
  if (text == "null") return out;
  if (text == "true" || text == "false")
    return {'t', {text == "true" ? std::uint8_t{1} : std::uint8_t{0}}};
  if (text == "x:") {
    const std::string bytes = reader.quoted();
    return {'x', {bytes.begin(), bytes.end()}};
  }
  std::string_view literal = text;
  if (text.size() > 1 && text[1] == ':') {
    out.tag = text[0];
    literal = text.substr(2);
  } else {
    out.tag = text.find_first_of(".e") != std::string_view::npos ? 'd' : 'I';
  }
  if (!encode_literal(literal, out)) reader.fail_at(start, "not a value, or out of range");
  return out;
}

Encoded parse_value(TextReader& reader, int depth) {
  switch (reader.peek()) {
    case '"': {
      const std::string text = reader.quoted();
      return {'S', {text.begin(), text.end()}};
    }
    case '{': {
      const Table table = parse_entries(reader, depth + 1);
      const ByteView bytes = table.view().bytes();
      return {'F', {bytes.begin(), bytes.end()}};
    }
    case '[':
      return {'A', parse_elements(reader, depth + 1)};
    default:
      return parse_bare(reader);
  }
}

}  // namespace

Table parse_table(TextReader& reader) { return parse_entries(reader, 1); }

}  // namespace harrier::protocol
