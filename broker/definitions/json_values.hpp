// SPDX-License-Identifier: Apache-2.0
//
// What the definitions reader needs of JSON: a place in the document with the ways of taking typed
// values from it, and JSON values as the field values that AMQP has. Included by this folder's
// sources only. Nothing throws: a wrong value is a fault on the list, and a default is returned.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json.hpp>

#include "protocol/field_table.hpp"

namespace harrier::broker {

using Json = nlohmann::json;

class JsonPlace {
 public:
  JsonPlace(const Json& value, std::string pointer, std::vector<std::string>& faults)
      : value_(value), pointer_(std::move(pointer)), faults_(faults) {}

  const Json& value() const { return value_; }
  const std::string& pointer() const { return pointer_; }
  void fault(const std::string& text) const {
    faults_.push_back((pointer_.empty() ? "the document" : pointer_) + ": " + text);
  }
  void fault_expected(std::string_view what) const;

  bool has(std::string_view key) const;  // and is not null
  JsonPlace at(std::string_view key) const;
  std::vector<JsonPlace> elements() const;  // of an array; a fault if it is none

  // Of an object's entry; absent or null: the default, or a fault if there is none.
  std::string text(std::string_view key) const;
  std::string text(std::string_view key, std::string_view otherwise) const;
  std::string name(std::string_view key) const;        // a text of 1 to 255 bytes, without NUL
  std::string short_text(std::string_view key) const;  // of 0 to 255 bytes
  bool boolean(std::string_view key, bool otherwise) const;
  std::optional<std::int64_t> integer(std::string_view key) const;
  protocol::Table table(std::string_view key) const;  // absent: empty

 private:
  std::optional<std::string> optional_text(std::string_view key) const;

  const Json& value_;
  std::string pointer_;
  std::vector<std::string>& faults_;
};

// Integers become 64-bit ones, numbers with a fraction doubles, null void. A value that AMQP cannot
// have is a fault and left out.
void add_field(protocol::Table& table, std::string_view key, const JsonPlace& place);

}  // namespace harrier::broker
