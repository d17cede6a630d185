// SPDX-License-Identifier: Apache-2.0
#include "broker/definitions/json_values.hpp"

#include <limits>
#include <utility>

namespace harrier::broker {
namespace {

constexpr std::size_t kShortMax = 255;
constexpr std::size_t kShownMax = 60;
constexpr std::size_t kDepthMax = 16;  // of arguments; AMQP's own limit is far above

// The slashes of a pointer, which is as deep as the value.
std::size_t depth(const std::string& pointer) {
  return static_cast<std::size_t>(std::count(pointer.begin(), pointer.end(), '/'));
}

std::string escaped(std::string_view key) {
  std::string out;
  for (const char c : key) {
    if (c == '~') {
      out += "~0";
    } else if (c == '/') {
      out += "~1";
    } else {
      out += c;
    }
  }
  return out;
}

std::string shown(const Json& value) {
  if (value.is_object()) return "an object";
  if (value.is_array()) return "an array";
  std::string text = value.dump(-1, ' ', false, Json::error_handler_t::replace);
  if (text.size() > kShownMax) text = text.substr(0, kShownMax) + "...";
  return text;
}

const Json& null_value() {
  static const Json kNull;
  return kNull;
}

void add_array(protocol::Table& table, std::string_view key, const JsonPlace& place) {
  protocol::Table elements;  // keeps what the values point to
  for (const JsonPlace& element : place.elements()) add_field(elements, "", element);
  std::vector<protocol::FieldValue> values;
  elements.view().for_each([&](std::string_view, const protocol::FieldValue& value) {
    values.push_back(value);
    return true;
  });
  table.add_array(key, values);
}

void add_object(protocol::Table& table, std::string_view key, const JsonPlace& place) {
  protocol::Table nested;
  for (const auto& item : place.value().items()) {
    add_field(nested, item.key(), place.at(item.key()));
  }
  table.add_table(key, nested);
}

}  // namespace

void JsonPlace::fault_expected(std::string_view what) const {
  fault("expected " + std::string(what) + ", got " + shown(value_));
}

bool JsonPlace::has(std::string_view key) const {
  if (!value_.is_object()) return false;
  const auto found = value_.find(key);
  return found != value_.end() && !found->is_null();
}

JsonPlace JsonPlace::at(std::string_view key) const {
  const std::string pointer = pointer_ + "/" + escaped(key);
  const auto found = value_.is_object() ? value_.find(key) : value_.end();
  return {found == value_.end() ? null_value() : *found, pointer, faults_};
}

std::vector<JsonPlace> JsonPlace::elements() const {
  std::vector<JsonPlace> found;
  if (!value_.is_array()) {
    fault_expected("an array");
    return found;
  }
  for (std::size_t i = 0; i < value_.size(); ++i) {
    found.emplace_back(value_[i], pointer_ + "/" + std::to_string(i), faults_);
  }
  return found;
}

std::optional<std::string> JsonPlace::optional_text(std::string_view key) const {
  if (!has(key)) return std::nullopt;
  const JsonPlace place = at(key);
  if (place.value().is_string()) return place.value().get<std::string>();
  place.fault_expected("a text");
  return "";
}

std::string JsonPlace::text(std::string_view key) const {
  auto found = optional_text(key);
  if (!found) at(key).fault("is missing");
  return std::move(found).value_or("");
}

std::string JsonPlace::text(std::string_view key, std::string_view otherwise) const {
  return optional_text(key).value_or(std::string(otherwise));
}

std::string JsonPlace::short_text(std::string_view key) const {
  std::string found = text(key);
  if (found.size() > kShortMax) {
    at(key).fault("has " + std::to_string(found.size()) + " bytes, at most 255 can be");
  }
  return found;
}

std::string JsonPlace::name(std::string_view key) const {
  const bool there = has(key) && at(key).value().is_string();
  std::string found = short_text(key);
  if (there && found.empty()) at(key).fault("is empty");
  if (found.find('\0') != std::string::npos) at(key).fault("has a NUL in it");
  return found;
}

bool JsonPlace::boolean(std::string_view key, bool otherwise) const {
  if (!has(key)) return otherwise;
  const JsonPlace place = at(key);
  if (place.value().is_boolean()) return place.value().get<bool>();
  place.fault_expected("true or false");
  return otherwise;
}

std::optional<std::int64_t> JsonPlace::integer(std::string_view key) const {
  if (!has(key)) return std::nullopt;
  const JsonPlace place = at(key);
  const bool too_large = place.value().is_number_unsigned() &&
                         place.value().get<std::uint64_t>() >
                             static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max());
  if (place.value().is_number_integer() && !too_large) return place.value().get<std::int64_t>();
  place.fault_expected("an integer of 64 bits");
  return std::nullopt;
}

protocol::Table JsonPlace::table(std::string_view key) const {
  protocol::Table table;
  if (!has(key)) return table;
  const JsonPlace place = at(key);
  // Erlang has no empty objects of its own, and some versions write an empty list instead.
  if (place.value().is_array() && place.value().empty()) return table;
  if (!place.value().is_object()) {
    place.fault_expected("an object");
    return table;
  }
  for (const auto& item : place.value().items()) add_field(table, item.key(), place.at(item.key()));
  return table;
}

void add_field(protocol::Table& table, std::string_view key, const JsonPlace& place) {
  const Json& value = place.value();
  if (key.size() > kShortMax) {
    place.fault("a key of " + std::to_string(key.size()) + " bytes, at most 255 can be");
  } else if (depth(place.pointer()) > kDepthMax) {
    place.fault("is nested too deeply");
  } else if (value.is_string()) {
    table.add(key, std::string_view(value.get_ref<const std::string&>()));
  } else if (value.is_boolean()) {
    table.add_bool(key, value.get<bool>());
  } else if (value.is_number_unsigned() &&
             value.get<std::uint64_t>() >
                 static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max())) {
    place.fault_expected("an integer of 64 bits");
  } else if (value.is_number_integer()) {
    table.add_int64(key, value.get<std::int64_t>());
  } else if (value.is_number()) {
    table.add_double(key, value.get<double>());
  } else if (value.is_array()) {
    add_array(table, key, place);
  } else if (value.is_object()) {
    add_object(table, key, place);
  } else {
    table.add_void(key);
  }
}

}  // namespace harrier::broker
