// SPDX-License-Identifier: Apache-2.0
//
// The body of a field table, and the same bytes as the properties of a content header.
// Invariants:
// - validation never crashes or overflows the stack, whatever the nesting;
// - for a valid table every accessor of every value is total, and the visit covers every byte;
// - find() agrees with the visit: the first of duplicate keys;
// - canonical_form is a valid table of the same size and its own canonical form;
// - the typed text is read back to the same bytes;
// - properties that parse survive Properties and back, apart from the meaningless flag bit 1.
#include "protocol/field_table.hpp"

#include <cstdint>
#include <cstdlib>
#include <string>
#include <vector>

#include "protocol/properties.hpp"
#include "protocol/value_text.hpp"

namespace {

using namespace harrier::protocol;  // NOLINT: a fuzz target is one translation unit

void require(bool condition) {
  if (!condition) std::abort();
}

void visit_table(TableView table);

void visit_value(const FieldValue& value) {
  require(value.as_integer().has_value() == value.is_integer());
  require(value.as_bool().has_value() == (value.tag == 't'));
  require(value.as_double().has_value() == (value.tag == 'f' || value.tag == 'd'));
  require(value.as_text().has_value() == (value.tag == 'S'));
  require(value.as_timestamp().has_value() == (value.tag == 'T'));
  require(value.type_name() != "unknown");
  require(equal_values(value, value));
  if (const auto table = value.as_table()) visit_table(*table);
  if (const auto array = value.as_array()) {
    array->for_each([](const FieldValue& element) {
      visit_value(element);
      return true;
    });
  }
}

void visit_table(TableView table) {
  const std::uint8_t* end = table.bytes().data();
  table.for_each([&](std::string_view key, const FieldValue& value) {
    const auto first = table.find(key);
    require(first.has_value() && first->payload.data() <= value.payload.data());
    visit_value(value);
    end = value.payload.data() + value.payload.size();
    return true;
  });
  require(end == table.bytes().data() + table.bytes().size());
}

void check_table(ByteView bytes) {
  if (!validate_table(bytes)) return;
  const TableView table(bytes);
  visit_table(table);
  const std::string form = canonical_form(table);
  require(form.size() == bytes.size() && validate_table(as_bytes(form)));
  require(canonical_form(TableView(as_bytes(form))) == form);
  require(!to_text(table).empty());
  const std::string text = table_text(table, ValueText::Typed);
  TextReader reader(text);
  const Table parsed = parse_table(reader);
  require(reader.ok() && parsed.view() == table);
}

void check_properties(ByteView bytes) {
  const auto view = PropertiesView::parse(bytes);
  if (!view) return;
  const Properties properties = Properties::from(*view);
  std::vector<std::uint8_t> expected(bytes.begin(), bytes.end());
  expected[1] = static_cast<std::uint8_t>(expected[1] & ~2);
  require(properties.encode() == expected);
  const auto edited = view->with_text(kReplyTo, "edited");
  const auto again = PropertiesView::parse(edited);
  require(again && again->text(kReplyTo) == "edited");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  check_table({data, size});
  check_properties({data, size});
  return 0;
}
