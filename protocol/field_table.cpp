// SPDX-License-Identifier: Apache-2.0
#include "protocol/field_table.hpp"

#include <algorithm>
#include <bit>
#include <limits>
#include <utility>

#include "protocol/check.hpp"
#include "protocol/value_text.hpp"

namespace harrier::protocol {
namespace {

constexpr std::size_t kKeySizeMax = 255;
constexpr int kVariableSize = -1;
constexpr int kUnknownTag = -2;

// Bytes after the tag: the tags as the reference broker reads them (conformance section 7.2).
constexpr int payload_size(char tag) {
  switch (tag) {
    case 'V':
      return 0;
    case 't':
    case 'b':
    case 'B':
      return 1;
    case 's':
    case 'u':
      return 2;
    case 'I':
    case 'i':
    case 'f':
      return 4;
    case 'D':
      return 5;
    case 'l':
    case 'L':
    case 'd':
    case 'T':
      return 8;
    case 'S':
    case 'x':
    case 'A':
    case 'F':
      return kVariableSize;
    default:
      return kUnknownTag;
  }
}

bool validate_entries(ByteView bytes, int depth);
bool validate_elements(ByteView bytes, int depth);

bool validate_nested(const FieldValue& value, int depth) {
  if (value.tag == 'F') return validate_entries(value.payload, depth + 1);
  if (value.tag == 'A') return validate_elements(value.payload, depth + 1);
  return true;
}

bool validate_entries(ByteView bytes, int depth) {
  if (depth > kTableDepthMax) return false;
  ByteReader reader(bytes);
  while (reader.remaining() > 0) {
    reader.shortstr();
    const FieldValue value = read_value(reader);
    if (!reader.ok() || !validate_nested(value, depth)) return false;
  }
  return reader.ok();
}

bool validate_elements(ByteView bytes, int depth) {
  if (depth > kTableDepthMax) return false;
  ByteReader reader(bytes);
  while (reader.remaining() > 0) {
    const FieldValue value = read_value(reader);
    if (!reader.ok() || !validate_nested(value, depth)) return false;
  }
  return reader.ok();
}

void append_raw(std::string& out, ByteView bytes) { out += as_text(bytes); }

void append_canonical(std::string& out, const FieldValue& value) {
  out += value.tag;
  const bool nested = value.tag == 'F' || value.tag == 'A';
  if (payload_size(value.tag) == kVariableSize) {
    std::uint8_t size[4];
    put_u32(size, static_cast<std::uint32_t>(value.payload.size()));
    append_raw(out, size);
  }
  if (!nested) return append_raw(out, value.payload);
  if (value.tag == 'F') {
    out += canonical_form(TableView(value.payload));
    return;
  }
  ArrayView(value.payload).for_each([&](const FieldValue& element) {
    append_canonical(out, element);
    return true;
  });
}

}  // namespace

bool FieldValue::is_integer() const {
  switch (tag) {
    case 'b':
    case 'B':
    case 's':
    case 'u':
    case 'I':
    case 'i':
    case 'l':
    case 'L':
      return true;
    default:
      return false;
  }
}

std::optional<std::int64_t> FieldValue::as_integer() const {
  if (!is_integer()) return std::nullopt;
  ByteReader reader(payload);
  std::int64_t value = 0;
  switch (tag) {
    case 'b':
      value = static_cast<std::int8_t>(reader.u8());
      break;
    case 'B':
      value = reader.u8();
      break;
    case 's':
      value = static_cast<std::int16_t>(reader.u16());
      break;
    case 'u':
      value = reader.u16();
      break;
    case 'I':
      value = static_cast<std::int32_t>(reader.u32());
      break;
    case 'i':
      value = reader.u32();
      break;
    default:
      value = static_cast<std::int64_t>(reader.u64());
      break;  // both l and L are signed
  }
  if (!reader.ok()) return std::nullopt;
  return value;
}

std::optional<bool> FieldValue::as_bool() const {
  if (tag != 't' || payload.empty()) return std::nullopt;
  return payload[0] != 0;
}

std::optional<double> FieldValue::as_double() const {
  ByteReader reader(payload);
  double value = 0;
  if (tag == 'f') {
    value = static_cast<double>(std::bit_cast<float>(reader.u32()));
  } else if (tag == 'd') {
    value = std::bit_cast<double>(reader.u64());
  } else {
    return std::nullopt;
  }
  if (!reader.ok()) return std::nullopt;
  return value;
}

std::optional<std::string_view> FieldValue::as_text() const {
  if (tag != 'S') return std::nullopt;
  return protocol::as_text(payload);
}

std::optional<std::uint64_t> FieldValue::as_timestamp() const {
  if (tag != 'T') return std::nullopt;
  ByteReader reader(payload);
  const std::uint64_t seconds = reader.u64();
  if (!reader.ok()) return std::nullopt;
  return seconds;
}

std::optional<TableView> FieldValue::as_table() const {
  if (tag != 'F') return std::nullopt;
  return TableView(payload);
}

std::optional<ArrayView> FieldValue::as_array() const {
  if (tag != 'A') return std::nullopt;
  return ArrayView(payload);
}

std::string_view FieldValue::type_name() const {
  switch (tag) {
    case 'S':
      return "longstr";
    case 'I':
      return "signedint";
    case 'l':
    case 'L':
      return "long";
    case 't':
      return "bool";
    case 'd':
      return "double";
    case 'f':
      return "float";
    case 'V':
      return "void";
    case 'T':
      return "timestamp";
    case 'F':
      return "table";
    case 'A':
      return "array";
    case 'x':
      return "binary";
    case 'b':
      return "byte";
    case 's':
      return "short";
    case 'B':
      return "unsignedbyte";
    case 'u':
      return "unsignedshort";
    case 'i':
      return "unsignedint";
    case 'D':
      return "decimal";
    default:
      return "unknown";
  }
}

bool equal_values(const FieldValue& a, const FieldValue& b) {
  if (a.is_integer() && b.is_integer()) return a.as_integer() == b.as_integer();
  if (a.tag != b.tag) return false;
  if (a.tag == 't') return a.as_bool() == b.as_bool();
  return as_text(a.payload) == as_text(b.payload);
}

FieldValue read_value(ByteReader& reader) {
  FieldValue value;
  value.tag = static_cast<char>(reader.u8());
  const int size = payload_size(value.tag);
  if (size == kUnknownTag) {
    reader.fail();
  } else if (size == kVariableSize) {
    value.payload = reader.raw(reader.u32());
  } else {
    value.payload = reader.raw(static_cast<std::size_t>(size));
  }
  return value;
}

bool validate_table(ByteView bytes) { return validate_entries(bytes, 1); }

std::optional<FieldValue> TableView::find(std::string_view key) const {
  std::optional<FieldValue> found;
  for_each([&](std::string_view name, const FieldValue& value) {
    if (name != key) return true;
    found = value;
    return false;
  });
  return found;
}

std::string canonical_form(TableView table) {
  std::vector<std::pair<std::string_view, std::string>> entries;
  table.for_each([&](std::string_view key, const FieldValue& value) {
    std::string encoded;
    append_canonical(encoded, value);
    entries.emplace_back(key, std::move(encoded));
    return true;
  });
  std::sort(entries.begin(), entries.end());
  std::string form;
  form.reserve(table.bytes().size());
  for (const auto& [key, encoded] : entries) {
    form += static_cast<char>(key.size());
    form += key;
    form += encoded;
  }
  return form;
}

std::string to_text(const FieldValue& value) { return value_text(value, ValueText::Plain); }

std::string to_text(TableView table) { return table_text(table, ValueText::Plain); }

namespace {

std::uint8_t* grow(std::vector<std::uint8_t>& bytes, std::size_t size) {
  bytes.resize(bytes.size() + size);
  return bytes.data() + bytes.size() - size;
}

}  // namespace

void Table::key_and_tag(std::string_view key, char tag) {
  HARRIER_CHECK(key.size() <= kKeySizeMax);
  std::uint8_t* const out = grow(bytes_, 1 + key.size() + 1);
  put_u8(put_shortstr(out, key), static_cast<std::uint8_t>(tag));
}

namespace {

constexpr std::size_t kSizeBytes = 4;  // of a size before what it is of

void append_sized(std::vector<std::uint8_t>& bytes, ByteView content) {
  HARRIER_CHECK(content.size() <= std::numeric_limits<std::uint32_t>::max());
  std::uint8_t* const out = grow(bytes, kSizeBytes + content.size());
  put_raw(put_u32(out, static_cast<std::uint32_t>(content.size())), content);
}

void append_payload(std::vector<std::uint8_t>& bytes, const FieldValue& value) {
  const int size = payload_size(value.tag);
  HARRIER_CHECK(size != kUnknownTag);
  if (size == kVariableSize) return append_sized(bytes, value.payload);
  HARRIER_CHECK(value.payload.size() == static_cast<std::size_t>(size));
  bytes.insert(bytes.end(), value.payload.begin(), value.payload.end());
}

}  // namespace

Table& Table::add(std::string_view key, std::string_view longstr) {
  key_and_tag(key, 'S');
  append_sized(bytes_, as_bytes(longstr));
  return *this;
}

Table& Table::add_bool(std::string_view key, bool value) {
  key_and_tag(key, 't');
  bytes_.push_back(value ? 1 : 0);
  return *this;
}

Table& Table::add_int32(std::string_view key, std::int32_t value) {
  key_and_tag(key, 'I');
  put_u32(grow(bytes_, 4), static_cast<std::uint32_t>(value));
  return *this;
}

Table& Table::add_int64(std::string_view key, std::int64_t value) {
  key_and_tag(key, 'l');
  put_u64(grow(bytes_, 8), static_cast<std::uint64_t>(value));
  return *this;
}

Table& Table::add_double(std::string_view key, double value) {
  key_and_tag(key, 'd');
  put_u64(grow(bytes_, 8), std::bit_cast<std::uint64_t>(value));
  return *this;
}

Table& Table::add_timestamp(std::string_view key, std::uint64_t seconds) {
  key_and_tag(key, 'T');
  put_u64(grow(bytes_, 8), seconds);
  return *this;
}

Table& Table::add_void(std::string_view key) {
  key_and_tag(key, 'V');
  return *this;
}

Table& Table::add_table(std::string_view key, TableView value) {
  key_and_tag(key, 'F');
  append_sized(bytes_, value.bytes());
  return *this;
}

Table& Table::add_array(std::string_view key, std::span<const FieldValue> values) {
  key_and_tag(key, 'A');
  const std::size_t start = bytes_.size();
  grow(bytes_, kSizeBytes);
  for (const FieldValue& value : values) {
    bytes_.push_back(static_cast<std::uint8_t>(value.tag));
    append_payload(bytes_, value);
  }
  const std::size_t size = bytes_.size() - start - kSizeBytes;
  HARRIER_CHECK(size <= std::numeric_limits<std::uint32_t>::max());
  put_u32(bytes_.data() + start, static_cast<std::uint32_t>(size));
  return *this;
}

Table& Table::add_value(std::string_view key, const FieldValue& value) {
  key_and_tag(key, value.tag);
  append_payload(bytes_, value);
  return *this;
}

Table& Table::remove(std::string_view key) {
  return remove_if([&](std::string_view name) { return name == key; });
}

}  // namespace harrier::protocol
