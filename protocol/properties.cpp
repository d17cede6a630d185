// SPDX-License-Identifier: Apache-2.0
//
// properties = flags *value; flags = u16, bit 0 announces another flag word; values in bit order.
// Basic has 14 properties, which fit the first word, so a continuation is always an error (C-098).
// Bit 1 means nothing (C-416); the broker uses it for itself, see protocol/private_headers.hpp.
#include "protocol/properties.hpp"

#include <array>
#include <bit>
#include <utility>

#include "protocol/check.hpp"

namespace harrier::protocol {
namespace {

constexpr std::size_t kFlagsSize = 2;
constexpr std::uint16_t kContinuation = 1u << 0;
constexpr std::uint16_t kLowestProperty = kClusterId;

constexpr std::uint16_t kProperties = 0xFFFC;

// Removes the highest flag, whose value comes first on the wire.
constexpr std::uint16_t take_highest(std::uint16_t& flags) {
  const std::uint16_t flag = std::bit_floor(flags);
  flags = static_cast<std::uint16_t>(flags ^ flag);
  return flag;
}

enum class Kind { ShortStr, Table, Octet, Timestamp };

constexpr Kind kind_of(std::uint16_t flag) {
  switch (flag) {
    case kHeaders:
      return Kind::Table;
    case kDeliveryMode:
    case kPriority:
      return Kind::Octet;
    case kTimestamp:
      return Kind::Timestamp;
    default:
      return Kind::ShortStr;
  }
}

ByteView skip_value(ByteReader& reader, Kind kind) {
  const std::uint8_t* const start = reader.position();
  switch (kind) {
    case Kind::ShortStr:
      reader.shortstr();
      break;
    case Kind::Table:
      reader.longstr();
      break;
    case Kind::Octet:
      reader.u8();
      break;
    case Kind::Timestamp:
      reader.u64();
      break;
  }
  return {start, reader.position()};
}

}  // namespace

std::optional<PropertiesView> PropertiesView::parse(ByteView bytes) {
  ByteReader reader(bytes);
  const std::uint16_t flags = reader.u16();
  if (!reader.ok() || (flags & kContinuation) != 0) return std::nullopt;
  for (std::uint16_t rest = flags & kProperties; rest != 0;) {
    const std::uint16_t flag = take_highest(rest);
    const ByteView value = skip_value(reader, kind_of(flag));
    if (!reader.ok()) return std::nullopt;
    if (flag == kHeaders && !validate_table(value.subspan(4))) return std::nullopt;
  }
  if (reader.remaining() != 0) return std::nullopt;
  return trusted(bytes);
}

PropertiesView PropertiesView::trusted(ByteView bytes) {
  PropertiesView view;
  view.bytes_ = bytes;
  view.flags_ = ByteReader(bytes).u16();
  return view;
}

ByteView PropertiesView::value_bytes(PropertyFlag wanted) const {
  ByteReader reader(bytes_);
  reader.u16();
  const auto above = static_cast<std::uint16_t>(~(2u * wanted - 1u));  // wanted is one bit
  for (std::uint16_t rest = flags_ & above; rest != 0;)
    skip_value(reader, kind_of(take_highest(rest)));
  if (!has(wanted)) return {reader.position(), std::size_t{0}};
  return skip_value(reader, kind_of(wanted));
}

std::optional<std::string_view> PropertiesView::text(PropertyFlag flag) const {
  HARRIER_CHECK(kind_of(flag) == Kind::ShortStr);
  if (!has(flag)) return std::nullopt;
  return ByteReader(value_bytes(flag)).shortstr();
}

std::optional<std::uint8_t> PropertiesView::delivery_mode() const {
  if (!has(kDeliveryMode)) return std::nullopt;
  return ByteReader(value_bytes(kDeliveryMode)).u8();
}

std::optional<std::uint8_t> PropertiesView::priority() const {
  if (!has(kPriority)) return std::nullopt;
  return ByteReader(value_bytes(kPriority)).u8();
}

std::optional<std::uint64_t> PropertiesView::timestamp() const {
  if (!has(kTimestamp)) return std::nullopt;
  return ByteReader(value_bytes(kTimestamp)).u64();
}

TableView PropertiesView::headers() const {
  if (!has(kHeaders)) return {};
  return TableView(as_bytes(ByteReader(value_bytes(kHeaders)).longstr()));
}

std::vector<std::uint8_t> PropertiesView::with_value(PropertyFlag flag, ByteView size,
                                                     ByteView content) const {
  ByteView before;
  ByteView after;
  // Bytes that are missing altogether stand for "no properties".
  if (bytes_.size() >= kFlagsSize) {
    const ByteView old_value = value_bytes(flag);
    before = {bytes_.data() + kFlagsSize, old_value.data()};
    after = {old_value.data() + old_value.size(), bytes_.data() + bytes_.size()};
  }
  std::vector<std::uint8_t> out(kFlagsSize + before.size() + size.size() + content.size() +
                                after.size());
  std::uint8_t* at = put_u16(out.data(), static_cast<std::uint16_t>(flags_ | flag));
  for (const ByteView part : {before, size, content, after}) at = put_raw(at, part);
  return out;
}

std::vector<std::uint8_t> PropertiesView::with_text(PropertyFlag flag,
                                                    std::string_view text) const {
  HARRIER_CHECK(kind_of(flag) == Kind::ShortStr && text.size() <= 255);
  const auto size = static_cast<std::uint8_t>(text.size());
  return with_value(flag, {&size, 1}, as_bytes(text));
}

std::vector<std::uint8_t> PropertiesView::with_headers(TableView headers) const {
  std::array<std::uint8_t, 4> size{};
  put_u32(size.data(), static_cast<std::uint32_t>(headers.bytes().size()));
  return with_value(kHeaders, size, headers.bytes());
}

std::vector<std::uint8_t> PropertiesView::without(PropertyFlag flag) const {
  std::vector<std::uint8_t> out(bytes_.begin(), bytes_.end());
  if (!has(flag)) return out;
  const ByteView value = value_bytes(flag);
  const auto at = out.begin() + (value.data() - bytes_.data());
  out.erase(at, at + static_cast<std::ptrdiff_t>(value.size()));
  put_u16(out.data(), static_cast<std::uint16_t>(flags_ & ~flag));
  return out;
}

namespace {

// The short-string properties, high bit first.
constexpr std::array<std::pair<PropertyFlag, std::optional<std::string> Properties::*>, 10> kTexts{{
    {kContentType, &Properties::content_type},
    {kContentEncoding, &Properties::content_encoding},
    {kCorrelationId, &Properties::correlation_id},
    {kReplyTo, &Properties::reply_to},
    {kExpiration, &Properties::expiration},
    {kMessageId, &Properties::message_id},
    {kType, &Properties::type},
    {kUserId, &Properties::user_id},
    {kAppId, &Properties::app_id},
    {kClusterId, &Properties::cluster_id},
}};

std::optional<std::string> Properties::*text_member(std::uint16_t flag) {
  for (const auto& [text_flag, member] : kTexts) {
    if (text_flag == flag) return member;
  }
  return nullptr;
}

// Appends the value of one property; false if it is absent.
bool append_property(const Properties& from, std::uint16_t flag, std::vector<std::uint8_t>& out) {
  const auto grow = [&out](std::size_t size) {
    out.resize(out.size() + size);
    return out.data() + out.size() - size;
  };
  if (flag == kHeaders) {
    if (!from.headers) return false;
    const ByteView bytes = from.headers->view().bytes();
    put_longstr(grow(4 + bytes.size()), as_text(bytes));
  } else if (flag == kDeliveryMode || flag == kPriority) {
    const auto& octet = flag == kPriority ? from.priority : from.delivery_mode;
    if (!octet) return false;
    put_u8(grow(1), *octet);
  } else if (flag == kTimestamp) {
    if (!from.timestamp) return false;
    put_u64(grow(8), *from.timestamp);
  } else {
    const std::optional<std::string>& text = from.*text_member(flag);
    if (!text) return false;
    HARRIER_CHECK(text->size() <= 255);
    put_shortstr(grow(1 + text->size()), *text);
  }
  return true;
}

}  // namespace

Properties Properties::from(const PropertiesView& view) {
  Properties out;
  for (const auto& [flag, member] : kTexts) {
    if (const auto text = view.text(flag)) out.*member = std::string(*text);
  }
  if (view.has(kHeaders)) out.headers = Table(view.headers());
  out.delivery_mode = view.delivery_mode();
  out.priority = view.priority();
  out.timestamp = view.timestamp();
  return out;
}

std::vector<std::uint8_t> Properties::encode() const {
  std::vector<std::uint8_t> out(kFlagsSize);
  std::uint16_t flags = 0;
  for (std::uint16_t flag = kContentType; flag >= kLowestProperty; flag >>= 1) {
    if (append_property(*this, flag, out)) flags |= flag;
  }
  put_u16(out.data(), flags);
  return out;
}

}  // namespace harrier::protocol
