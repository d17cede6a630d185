// SPDX-License-Identifier: Apache-2.0
//
// Script values made concrete: variables expanded, tables encoded, received values compared with
// expected ones. Plain values without I/O. A StepError is a step that cannot be done or did not
// hold; its text goes to the report.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "protocol/field_table.hpp"
#include "tests/scripts/script_ast.hpp"

namespace harrier::scripts {

using ByteVector = std::vector<std::uint8_t>;

class StepError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// Variables of one run of one script. An unknown one becomes a name that no other run has.
class Variables {
 public:
  explicit Variables(std::string run_id) : run_id_(std::move(run_id)) {}

  std::string expand(const Text& text);
  void set(const std::string& name, std::string value) { values_[name] = std::move(value); }

 private:
  std::string run_id_;
  std::map<std::string, std::string> values_;
};

// The text of a scalar argument; StepError for tables and arrays.
std::string text_of(const Value& value, Variables& variables);
std::uint64_t number_of(const Value& value, Variables& variables);
bool flag_of(const Value& value, Variables& variables);

// A table body: a table literal, or bytes taken as they are (for tables that are broken on
// purpose).
ByteVector table_bytes(const Value& value, Variables& variables);

// What a field held: absent, a scalar as text, or a table.
using Actual = std::variant<std::monostate, std::string, protocol::TableView>;
std::string to_text(const Actual& actual);

// Values to store once the whole expectation has matched.
using Captures = std::vector<std::pair<std::string, std::string>>;

// nullopt if `actual` is what the argument asks for, otherwise what differs.
std::optional<std::string> mismatch(const Argument& argument, const Actual& actual,
                                    Variables& variables, Captures& captures);

// The body that body_size=N stands for: every position differs from its neighbours in a way that a
// lost, doubled or swapped part shows.
ByteVector pattern_body(std::size_t size);

}  // namespace harrier::scripts
