// SPDX-License-Identifier: Apache-2.0
//
// Basic properties. PropertiesView keeps the bytes as received (flag words and values) and locates
// fields on demand; Properties is the owning, editable form for clients, tests and the few places
// where the broker changes a header.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "protocol/bytes.hpp"
#include "protocol/field_table.hpp"

namespace harrier::protocol {

// Bits of the first flag word (C-415).
enum PropertyFlag : std::uint16_t {
  kContentType = 1u << 15,
  kContentEncoding = 1u << 14,
  kHeaders = 1u << 13,
  kDeliveryMode = 1u << 12,
  kPriority = 1u << 11,
  kCorrelationId = 1u << 10,
  kReplyTo = 1u << 9,
  kExpiration = 1u << 8,
  kMessageId = 1u << 7,
  kTimestamp = 1u << 6,
  kType = 1u << 5,
  kUserId = 1u << 4,
  kAppId = 1u << 3,
  kClusterId = 1u << 2,
};

class PropertiesView {
 public:
  PropertiesView() = default;

  // `bytes` is the part of a content header after the body size. nullopt: flags and values do not
  // agree, the flag word continues into properties that do not exist, or the headers table is
  // malformed (C-098, C-099, C-409). The meaningless bit 1 is ignored (C-416).
  static std::optional<PropertiesView> parse(ByteView bytes);
  // For bytes that parse() has accepted before.
  static PropertiesView trusted(ByteView bytes);

  ByteView bytes() const { return bytes_; }
  std::uint16_t flags() const { return flags_; }
  bool has(PropertyFlag flag) const { return (flags_ & flag) != 0; }

  std::optional<std::string_view> text(PropertyFlag flag) const;  // the short-string properties
  std::optional<std::uint8_t> delivery_mode() const;
  std::optional<std::uint8_t> priority() const;
  std::optional<std::uint64_t> timestamp() const;                         // seconds since 1970
  TableView headers() const;                                              // empty if absent
  bool persistent() const { return delivery_mode() == std::uint8_t{2}; }  // C-316

  // The same properties with one of them set or replaced; everything else keeps its bytes.
  std::vector<std::uint8_t> with_text(PropertyFlag flag, std::string_view text) const;
  std::vector<std::uint8_t> with_headers(TableView headers) const;
  // And with one of them taken out.
  std::vector<std::uint8_t> without(PropertyFlag flag) const;

 private:
  // The encoded value; if it is absent, the empty place where it would stand.
  ByteView value_bytes(PropertyFlag flag) const;
  std::vector<std::uint8_t> with_value(PropertyFlag flag, ByteView size, ByteView content) const;
  ByteView bytes_;
  std::uint16_t flags_ = 0;
};

// Present and absent are different from empty (C-417).
struct Properties {
  std::optional<std::string> content_type, content_encoding;
  std::optional<Table> headers;
  std::optional<std::uint8_t> delivery_mode, priority;
  std::optional<std::string> correlation_id, reply_to, expiration, message_id;
  std::optional<std::uint64_t> timestamp;
  std::optional<std::string> type, user_id, app_id, cluster_id;

  static Properties from(const PropertiesView& view);
  std::vector<std::uint8_t> encode() const;  // flag word and values
  friend bool operator==(const Properties&, const Properties&) = default;
};

}  // namespace harrier::protocol
