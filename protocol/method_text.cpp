// SPDX-License-Identifier: Apache-2.0
//
// print() and parse_method(): methods as one line of text, by the same field lists as the codec.
#include <algorithm>
#include <deque>
#include <limits>
#include <vector>

#include "protocol/codec.hpp"
#include "protocol/value_text.hpp"

namespace harrier::protocol {
namespace {

bool is_bare(std::string_view text) {
  const auto plain = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           std::string_view("-_.:/@#*+").find(c) != std::string_view::npos;
  };
  return !text.empty() && std::all_of(text.begin(), text.end(), plain);
}

void append_value(std::string& out, bool value) { out += value ? "true" : "false"; }
void append_value(std::string& out, TableView value) { out += table_text(value, ValueText::Typed); }
void append_value(std::string& out, std::string_view value) {
  if (is_bare(value)) {
    out += value;
  } else {
    append_quoted(out, value);
  }
}
template <class Integer>
void append_value(std::string& out, Integer value) {
  out += std::to_string(value);
}

template <class M>
std::string print_one(const M& method) {
  std::string out(M::kName);
  detail::for_each_field<M>([&](auto index) {
    constexpr auto field = std::get<decltype(index)::value>(M::kFields);
    const auto& value = method.*(field.member);
    if constexpr (field.reserved) {
      if (value == 0) return;
    }
    out += ' ';
    out += field.name;
    out += '=';
    append_value(out, value);
  });
  return out;
}

// What the views of a parsed method point to. Deques, because their elements do not move.
struct Storage {
  std::deque<std::string> strings;
  std::deque<Table> tables;
};

void parse_into(TextReader& reader, Storage&, WireType, bool& value) {
  const std::string_view word = reader.word("");
  if (word != "true" && word != "false") reader.fail("expected true or false");
  value = word == "true";
}

template <class Integer>
void parse_into(TextReader& reader, Storage&, WireType, Integer& value) {
  const std::size_t start = reader.position();
  std::uint64_t number = 0;
  if (!parse_unsigned(reader.word(""), std::numeric_limits<Integer>::max(), number)) {
    reader.fail_at(start, "not a number, or out of range");
  }
  value = static_cast<Integer>(number);
}

void parse_into(TextReader& reader, Storage& storage, WireType wire, std::string_view& value) {
  const std::size_t start = reader.position();
  const bool quoted = reader.peek() == '"';
  value = storage.strings.emplace_back(quoted ? reader.quoted() : std::string(reader.word("")));
  if (wire == WireType::ShortStr && value.size() > detail::kShortStrMax) {
    reader.fail_at(start, "short string longer than 255 bytes");
  }
}

void parse_into(TextReader& reader, Storage& storage, WireType, TableView& value) {
  value = storage.tables.emplace_back(parse_table(reader)).view();
}

std::string spelled(std::string_view field_name) {
  std::string name(field_name);
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
}

template <class M>
bool parse_field(TextReader& reader, Storage& storage, std::string_view name, M& method) {
  bool known = false;
  detail::for_each_field<M>([&](auto index) {
    constexpr auto field = std::get<decltype(index)::value>(M::kFields);
    if (field.name != name) return;
    known = true;
    parse_into(reader, storage, field.wire, method.*(field.member));
  });
  return known;
}

template <class M>
void parse_fields(TextReader& reader, Storage& storage, M& method) {
  std::vector<std::string> seen;
  for (reader.skip_blanks(); reader.ok() && !reader.at_end(); reader.skip_blanks()) {
    const std::size_t start = reader.position();
    const std::string name = spelled(reader.word("="));
    reader.expect('=');
    if (std::find(seen.begin(), seen.end(), name) != seen.end()) {
      reader.fail_at(start, "field '" + name + "' is given twice");
    }
    if (!reader.ok()) return;
    if (!parse_field(reader, storage, name, method)) {
      reader.fail_at(start, std::string(M::kName) + " has no field '" + name + "'");
    }
    seen.push_back(name);
  }
}

template <class M>
bool parse_if_named(std::string_view name, TextReader& reader, Storage& storage, Method& out) {
  if (name != M::kName) return false;
  parse_fields(reader, storage, out.emplace<M>());
  return true;
}

template <std::size_t... I>
bool parse_named(std::string_view name, TextReader& reader, Storage& storage, Method& out,
                 std::index_sequence<I...>) {
  return (parse_if_named<std::variant_alternative_t<I, Method>>(name, reader, storage, out) || ...);
}

}  // namespace

std::string print(const Method& method) {
  return std::visit([](const auto& m) { return print_one(m); }, method);
}

std::optional<OwnedMethod> parse_method(std::string_view text, std::string& error) {
  TextReader reader(text);
  reader.skip_blanks();
  const std::size_t start = reader.position();
  const std::string_view name = reader.word("");
  const auto storage = std::make_shared<Storage>();
  OwnedMethod parsed;
  if (!parse_named(name, reader, *storage, parsed.method_,
                   std::make_index_sequence<std::variant_size_v<Method>>{})) {
    reader.fail_at(start, "unknown method '" + std::string(name) + "'");
  }
  if (!reader.ok()) {
    error = reader.error();
    return std::nullopt;
  }
  parsed.storage_ = storage;
  return parsed;
}

}  // namespace harrier::protocol
