// SPDX-License-Identifier: Apache-2.0
#include "tests/crash/message_form.hpp"

#include <algorithm>
#include <cstring>

#include "protocol/properties.hpp"

namespace harrier::crash_tests {

std::string to_text(const MessageKey& key) {
  return "message " + std::to_string(key.number) + " of publisher " + std::to_string(key.publisher);
}

std::vector<std::uint8_t> make_body(const MessageKey& key, std::uint32_t size) {
  std::vector<std::uint8_t> body(std::max(size, kBodySizeMin));
  std::uint8_t* out = protocol::put_u32(body.data(), key.publisher);
  out = protocol::put_u32(out, static_cast<std::uint32_t>(body.size()));
  protocol::put_u64(out, key.number);
  // Every eight bytes differ from their neighbours and from the same place in other messages.
  std::uint64_t filling = (key.number + 1) * 0x9E37'79B9'7F4A'7C15u + key.publisher;
  for (std::size_t at = kBodySizeMin; at < body.size(); at += sizeof filling) {
    filling = filling * 6'364'136'223'846'793'005u + 1'442'695'040'888'963'407u;
    std::memcpy(body.data() + at, &filling, std::min(sizeof filling, body.size() - at));
  }
  return body;
}

std::vector<std::uint8_t> make_properties(const MessageKey& key, bool persistent) {
  protocol::Properties properties;
  properties.delivery_mode = persistent ? 2 : 1;
  properties.message_id = std::to_string(key.publisher) + "-" + std::to_string(key.number);
  properties.headers.emplace().add_int64("number", static_cast<std::int64_t>(key.number));
  return properties.encode();
}

std::optional<MessageKey> read_body(protocol::ByteView body) {
  protocol::ByteReader reader(body);
  MessageKey key;
  key.publisher = reader.u32();
  const std::uint32_t size = reader.u32();
  key.number = reader.u64();
  if (!reader.ok() || size != body.size()) return std::nullopt;
  const std::vector<std::uint8_t> expected = make_body(key, size);
  if (!std::equal(body.begin(), body.end(), expected.begin(), expected.end())) return std::nullopt;
  return key;
}

}  // namespace harrier::crash_tests
