// SPDX-License-Identifier: Apache-2.0
//
// Field values as text. Plain is for logs and error texts; Typed keeps every type and bit, so that
// parse_table() gives the same bytes back: printed methods, golden files and test dialogues.
//
//   table   = "{" [ string ": " value *( ", " string ": " value ) ] "}"
//   array   = "[" [ value *( ", " value ) ] "]"
//   value   = table | array | string (S) | integer (I) | decimal number (d) | "true" | "false" (t)
//           | "null" (V) | tag ":" literal
//   literal = integer (b B s u i l L T t), number or "#" bits in hex (f d), scale "/" value (D),
//             string (x)
//   string  = '"' with \" \\ \n \r \t \xHH escapes '"'
#pragma once

#include <string>
#include <string_view>

#include "protocol/field_table.hpp"

namespace harrier::protocol {

enum class ValueText { Plain, Typed };

std::string value_text(const FieldValue& value, ValueText style);
std::string table_text(TableView table, ValueText style);

void append_quoted(std::string& out, std::string_view text);

// A position in a text that is being parsed; the first failure sticks.
class TextReader {
 public:
  explicit TextReader(std::string_view text) : text_(text) {}

  bool at_end() const { return at_ >= text_.size(); }
  char peek() const { return at_end() ? '\0' : text_[at_]; }
  std::size_t position() const { return at_; }
  void skip_blanks();
  bool skip(char expected);                       // consumes it if it is next
  void expect(char expected);                     // fails if it is not next
  std::string_view word(std::string_view stops);  // up to a blank or one of `stops`
  std::string quoted();                           // the unescaped content of a quoted string

  bool ok() const { return error_.empty(); }
  void fail(std::string_view what) { fail_at(at_, what); }
  void fail_at(std::size_t position, std::string_view what);
  const std::string& error() const { return error_; }  // "at 12: expected ':'"

 private:
  std::string_view text_;
  std::size_t at_ = 0;
  std::string error_;
};

// Reads a Typed table. On failure the reader has the error and the result means nothing.
Table parse_table(TextReader& reader);

// A whole number without sign or blanks; false if `text` is anything else or does not fit.
bool parse_unsigned(std::string_view text, std::uint64_t max, std::uint64_t& value);

}  // namespace harrier::protocol
