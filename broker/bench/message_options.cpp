// SPDX-License-Identifier: Apache-2.0
#include "broker/bench/message_options.hpp"

#include <charconv>

namespace harrier::bench {
namespace {

constexpr std::size_t kNameMax = 255;  // of a key in a field table
// A property list each is kept; as many as anybody has groups at a time.
constexpr std::uint32_t kGroupsMax = 1'000'000;
constexpr std::uint32_t kPrioritiesMax = 256;

template <class Number>
bool read_all(std::string_view text, Number& out) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out);
  return error == std::errc{} && end == text.data() + text.size();
}

std::string quoted(std::string_view text) { return "\"" + std::string(text) + "\""; }

bool split(std::string_view text, std::string_view& name, std::string_view& value) {
  const auto equals = text.find('=');
  if (equals == text.npos || equals == 0 || equals > kNameMax) return false;
  name = text.substr(0, equals);
  value = text.substr(equals + 1);
  return true;
}

}  // namespace

std::string parse_entry(std::string_view text, protocol::Table& out) {
  std::string_view name, value;
  if (!split(text, name, value)) return quoted(text) + " is no NAME=VALUE";
  std::int64_t number = 0;
  if (read_all(value, number)) {
    out.add_int64(name, number);
  } else if (value == "true" || value == "false") {
    out.add_bool(name, value == "true");
  } else if (value.size() >= 2 && value.front() == '"' && value.back() == '"') {
    out.add(name, value.substr(1, value.size() - 2));
  } else {
    out.add(name, value);
  }
  return "";
}

std::string parse_groups(std::string_view text, MessageOptions& out) {
  std::string_view name, value;
  if (!split(text, name, value) || !read_all(value, out.groups)) {
    return quoted(text) + " is no NAME=COUNT";
  }
  out.group_header = name;
  return "";
}

std::string check(const MessageOptions& options) {
  if (options.priorities > kPrioritiesMax) return "a priority is of one byte: at most 256 of them";
  if (options.priorities != 0 && !options.group_header.empty()) {
    return "priorities change the order within groups: one of the two";
  }
  if (!options.group_header.empty() && (options.groups == 0 || options.groups > kGroupsMax)) {
    return "between one and a million groups";
  }
  return "";
}

std::string describe(const MessageOptions& options) {
  std::string text;
  if (options.priorities != 0) text += ", " + std::to_string(options.priorities) + " priorities";
  if (!options.group_header.empty()) {
    text += ", " + std::to_string(options.groups) + " groups by " + options.group_header;
  }
  if (!options.expiration.empty()) text += ", expiring after " + options.expiration + " ms";
  if (options.message_id) text += ", with message ids";
  if (!options.headers.empty()) text += ", headers " + to_text(options.headers.view());
  return text;
}

}  // namespace harrier::bench
