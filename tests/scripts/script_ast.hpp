// SPDX-License-Identifier: Apache-2.0
//
// What a .amqp script means, free of its syntax: plain values made by script_grammar and read by
// the runner. Texts keep their variables unexpanded, because most variables get their value while
// the script runs. README.md beside this file describes the language.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

namespace harrier::scripts {

struct TextPart {
  bool variable = false;
  std::string text;  // the name, for a variable
};

struct Text {
  std::vector<TextPart> parts;
  bool quoted = false;
};

// A number in a table with its field type tag: 5 is I, 1.5 is d, others say it (l:5, T:1700000000,
// f:#7fc00000).
struct Number {
  std::string digits;
  char tag = 'I';
};

struct Decimal {
  std::uint8_t scale = 0;
  std::uint32_t value = 0;
};

struct Bytes {
  std::string bytes;
};

struct Void {};

struct Entry;
struct Value;

struct TableLiteral {
  std::vector<Entry> entries;
};

struct ArrayLiteral {
  std::vector<Value> items;
};

struct Value {
  std::variant<Text, Number, Decimal, Bytes, bool, Void, TableLiteral, ArrayLiteral> of;
};

struct Entry {
  Text key;
  Value value;
};

enum class Operator {
  Positional,  // value
  Equals,      // name=value
  Differs,     // name!=value
  Matches,     // name~"regular expression", found anywhere in the text
  Prefix,      // name^="start of the text"
  Contains,    // name*="part", name*={entries that are among others}
  Captures,    // name=>$variable
  Absent,      // !name
};

struct Argument {
  Operator op = Operator::Positional;
  std::string name;
  Value value;
};

enum class Direction {
  Send,         // A method ...
  Call,         // A call method ...: send, then expect its -ok
  Expect,       // A < method ...: the next one
  ExpectAmong,  // A <* method ...: the first that matches; what came before it stays to be read
};

struct Step {
  std::string connection;
  std::optional<std::uint16_t> channel;
  Direction direction = Direction::Send;
  std::string verb;
  std::vector<Argument> arguments;
};

// only, differs, varies, repeat, for, end, let
struct Directive {
  std::string name;
  std::vector<Argument> arguments;
};

struct Line {
  std::size_t number = 0;
  std::string source;
  std::variant<Step, Directive> of;
};

struct Script {
  std::string path;
  std::string title;               // the first comment line
  std::vector<std::string> items;  // "C-324", ... named in comments before the first step
  std::vector<Line> lines;
};

}  // namespace harrier::scripts
