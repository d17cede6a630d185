// SPDX-License-Identifier: Apache-2.0
//
// private = one entry of the headers table, named kName, a table of
//   "bcc": A of S, if there are any; "died": t, "replaced": t, if true
#include "protocol/private_headers.hpp"

#include <utility>

namespace harrier::protocol {
namespace {

constexpr std::string_view kName = "\x01harrier";  // no client's name begins like that
constexpr std::string_view kBcc = "bcc";
constexpr std::string_view kDied = "died";
constexpr std::string_view kReplaced = "replaced";
constexpr std::string_view kDeliveryCount = "x-delivery-count";
constexpr std::string_view kStreamOffset = "x-stream-offset";

void set_flags(std::vector<std::uint8_t>& properties, std::uint16_t flags) {
  put_u16(properties.data(), flags);
}

bool is_true(TableView table, std::string_view key) {
  const auto value = table.find(key);
  return value && value->as_bool() == true;
}

}  // namespace

PrivateHeaders read_private_headers(const PropertiesView& properties) {
  PrivateHeaders read;
  if (!has_private_headers(properties)) return read;
  const auto entry = properties.headers().find(kName);
  const auto table = entry ? entry->as_table() : std::nullopt;
  if (!table) return read;
  read.has_died = is_true(*table, kDied);
  read.keys_replaced = is_true(*table, kReplaced);
  const auto bcc = table->find(kBcc);
  const auto keys = bcc ? bcc->as_array() : std::nullopt;
  if (!keys) return read;
  keys->for_each([&](const FieldValue& key) {
    if (const auto text = key.as_text()) read.bcc.emplace_back(*text);
    return true;
  });
  return read;
}

std::vector<std::uint8_t> with_private_headers(const PropertiesView& properties, Table headers,
                                               const PrivateHeaders& private_headers) {
  headers.remove(kName);  // without the mark it is a client's
  const bool any = private_headers != PrivateHeaders{};
  if (any) {
    Table table;
    table.reserve(64);
    std::vector<FieldValue> bcc;
    for (const std::string& key : private_headers.bcc) bcc.push_back({'S', as_bytes(key)});
    if (!bcc.empty()) table.add_array(kBcc, bcc);
    if (private_headers.has_died) table.add_bool(kDied, true);
    if (private_headers.keys_replaced) table.add_bool(kReplaced, true);
    headers.add_table(kName, table);
  }
  std::vector<std::uint8_t> out = properties.with_headers(headers);
  const auto flags = static_cast<std::uint16_t>((properties.flags() & ~kPrivateMark) | kHeaders);
  set_flags(out, static_cast<std::uint16_t>(any ? flags | kPrivateMark : flags));
  return out;
}

std::vector<std::uint8_t> visible_properties(const PropertiesView& properties,
                                             std::uint32_t delivery_count,
                                             std::optional<std::int64_t> stream_offset) {
  Table headers(properties.headers());
  if (delivery_count > 0) headers.remove(kDeliveryCount).add_int64(kDeliveryCount, delivery_count);
  if (stream_offset) headers.remove(kStreamOffset).add_int64(kStreamOffset, *stream_offset);
  return with_private_headers(properties, std::move(headers), {});
}

std::vector<std::uint8_t> without_private_mark(const PropertiesView& properties) {
  std::vector<std::uint8_t> out(properties.bytes().begin(), properties.bytes().end());
  set_flags(out, static_cast<std::uint16_t>(properties.flags() & ~kPrivateMark));
  return out;
}

}  // namespace harrier::protocol
