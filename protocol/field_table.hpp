// SPDX-License-Identifier: Apache-2.0
//
// Field tables. TableView is encoded bytes (without the 4-byte length) with lazy look-up and no
// ownership; Table is the owning form with a builder. Both keep the bytes as received, so types and
// order survive the round trip (C-344, C-412). Bytes are checked once, by validate(), at the edge;
// after that every accessor is total.
#pragma once

#include <cstdint>
#include <cstring>
#include <initializer_list>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "protocol/bytes.hpp"
#include "protocol/check.hpp"

namespace harrier::protocol {

// Deepest nesting of tables and arrays that is accepted: far above any client's use, far below the
// stack's end.
inline constexpr int kTableDepthMax = 64;

class TableView;
class ArrayView;

// One tagged value; `payload` holds the encoded bytes after the tag, for strings, arrays and tables
// without their length.
struct FieldValue {
  char tag = 'V';
  ByteView payload;

  bool is_integer() const;                            // b B s u I i l L
  std::optional<std::int64_t> as_integer() const;     // any integer width; nullopt for other tags
  std::optional<bool> as_bool() const;                // 't' only
  std::optional<double> as_double() const;            // 'f' and 'd' only
  std::optional<std::string_view> as_text() const;    // 'S' only
  std::optional<std::uint64_t> as_timestamp() const;  // 'T' only
  std::optional<TableView> as_table() const;          // 'F' only
  std::optional<ArrayView> as_array() const;          // 'A' only

  // The name that error texts use: longstr, signedint, long, bool, double, float, void, timestamp,
  // table, array, binary, byte, short, unsignedbyte, unsignedshort, unsignedint, decimal (C-230,
  // C-234).
  std::string_view type_name() const;
};

// Equal as values: integers across widths; otherwise the same tag and equal content (C-233, C-525).
bool equal_values(const FieldValue& a, const FieldValue& b);

// For logs and error texts: 5, "text", true, {"a": 1}, [1, 2].
std::string to_text(const FieldValue& value);

class ArrayView {
 public:
  ArrayView() = default;
  explicit ArrayView(ByteView bytes) : bytes_(bytes) {}
  ByteView bytes() const { return bytes_; }
  bool empty() const { return bytes_.empty(); }

  // visit(const FieldValue&) for each element; stops early when visit returns false.
  template <class Visit>
  void for_each(Visit&& visit) const;

 private:
  ByteView bytes_;
};

class TableView {
 public:
  TableView() = default;
  explicit TableView(ByteView bytes) : bytes_(bytes) {}
  ByteView bytes() const { return bytes_; }
  bool empty() const { return bytes_.empty(); }

  std::optional<FieldValue> find(
      std::string_view key) const;  // the first of duplicate keys (C-411)

  // The same bytes; see canonical_form for equality regardless of order.
  friend bool operator==(TableView a, TableView b) {
    return as_text(a.bytes_) == as_text(b.bytes_);
  }

  // visit(std::string_view key, const FieldValue&); stops early when visit returns false.
  template <class Visit>
  void for_each(Visit&& visit) const;

 private:
  ByteView bytes_;
};

// True if the bytes are a well-formed table body: known tags, lengths inside, nested no deeper than
// kTableDepthMax.
bool validate_table(ByteView bytes);

// Reads one value (tag and payload) off the reader; on malformed input the reader fails. Lengths
// are checked, nested content is not (validate_table does that).
FieldValue read_value(ByteReader& reader);

// "{"x-match": "all", "n": 5}"
std::string to_text(TableView table);

// Entries sorted by key and then by encoded value: equal for tables that differ only in order.
// Identity of bindings (C-174).
std::string canonical_form(TableView table);

// Owning table; the builder appends in call order. Keys are at most 255 bytes; what is added must
// not point into the same table.
class Table {
 public:
  Table() = default;
  explicit Table(TableView view) : bytes_(view.bytes().begin(), view.bytes().end()) {}

  TableView view() const { return TableView(bytes_); }
  operator TableView() const { return view(); }
  bool empty() const { return bytes_.empty(); }

  Table& add(std::string_view key, std::string_view longstr);  // S
  Table& add(std::string_view key, const char* longstr) {
    return add(key, std::string_view(longstr));
  }
  Table& add_bool(std::string_view key, bool value);                           // t
  Table& add_int32(std::string_view key, std::int32_t value);                  // I
  Table& add_int64(std::string_view key, std::int64_t value);                  // l
  Table& add_double(std::string_view key, double value);                       // d
  Table& add_timestamp(std::string_view key, std::uint64_t seconds);           // T
  Table& add_void(std::string_view key);                                       // V
  Table& add_table(std::string_view key, TableView value);                     // F
  Table& add_array(std::string_view key, std::span<const FieldValue> values);  // A
  Table& add_array(std::string_view key, std::initializer_list<FieldValue> values) {
    return add_array(key, std::span(values.begin(), values.size()));
  }
  Table& add_value(std::string_view key, const FieldValue& value);  // as it stands
  Table& remove(std::string_view key);                              // every entry of that key
  // Those for whose key the predicate holds; it sees each once.
  template <class IsUnwanted>
  Table& remove_if(IsUnwanted&& is_unwanted);
  // Room for so many bytes in all: what is added up to then is copied once.
  Table& reserve(std::size_t bytes) {
    bytes_.reserve(bytes);
    return *this;
  }

  friend bool operator==(const Table&, const Table&) = default;

 private:
  void key_and_tag(std::string_view key, char tag);
  std::vector<std::uint8_t> bytes_;
};

template <class Visit>
void ArrayView::for_each(Visit&& visit) const {
  ByteReader reader(bytes_);
  while (reader.remaining() > 0) {
    const FieldValue value = read_value(reader);
    if (!reader.ok() || !visit(value)) return;
  }
}

template <class Visit>
void TableView::for_each(Visit&& visit) const {
  ByteReader reader(bytes_);
  while (reader.remaining() > 0) {
    const std::string_view key = reader.shortstr();
    const FieldValue value = read_value(reader);
    if (!reader.ok() || !visit(key, value)) return;
  }
}

// In place: what is kept moves down over what has gone.
template <class IsUnwanted>
Table& Table::remove_if(IsUnwanted&& is_unwanted) {
  ByteReader reader(bytes_);
  std::uint8_t* kept_to = bytes_.data();
  while (reader.remaining() > 0) {
    const std::uint8_t* const start = reader.position();
    const std::string_view key = reader.shortstr();
    read_value(reader);
    HARRIER_CHECK(reader.ok());
    if (is_unwanted(key)) continue;
    const auto size = static_cast<std::size_t>(reader.position() - start);
    if (kept_to != start) std::memmove(kept_to, start, size);
    kept_to += size;
  }
  bytes_.resize(static_cast<std::size_t>(kept_to - bytes_.data()));
  return *this;
}

}  // namespace harrier::protocol
