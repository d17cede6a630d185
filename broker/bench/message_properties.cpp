// SPDX-License-Identifier: Apache-2.0
#include "broker/bench/message_properties.hpp"

#include <algorithm>
#include <string>

#include "broker/bench/setup.hpp"
#include "protocol/properties.hpp"

namespace harrier::bench {
namespace {

constexpr std::uint8_t kTransient = 1, kPersistent = 2;
// Six hexadecimal digits of the stream, ten of the sequence: as many as a body's header has.
constexpr std::size_t kIdDigits = 16;
constexpr std::size_t kStreamDigits = 6;
constexpr std::int64_t kPendingMs = 3'600'000;

void put_hex(std::uint64_t value, std::uint8_t* out, std::size_t digits) {
  for (std::size_t i = digits; i > 0; --i, value >>= 4) {
    out[i - 1] = static_cast<std::uint8_t>("0123456789abcdef"[value & 0xF]);
  }
}

}  // namespace

MessageProperties::MessageProperties(const Workload& workload)
    : workload_(workload),
      classes_(workload.message.classes()),
      by_headers_(routing_type(workload) == "headers") {
  for (std::uint32_t i = 0; i < (by_headers_ ? 1 : classes_); ++i) {
    encoded_.push_back(encode(i, 0));
  }
  if (workload.pending != 0) {
    protocol::Properties properties;
    properties.delivery_mode = workload.persistent ? kPersistent : kTransient;
    properties.headers.emplace().add_int64("x-delay", kPendingMs);
    pending_ = properties.encode();
  }
}

std::vector<std::uint8_t> MessageProperties::encode(std::uint32_t message_class,
                                                    std::uint32_t binding) const {
  const MessageOptions& options = workload_.message;
  protocol::Properties properties;
  properties.delivery_mode = workload_.persistent ? kPersistent : kTransient;
  protocol::Table headers = options.headers;
  if (!options.group_header.empty()) {
    headers.add(options.group_header, "g" + std::to_string(message_class));
  }
  if (by_headers_) headers.add_int32(kBindingHeader, static_cast<std::int32_t>(binding));
  if (!headers.empty()) properties.headers = headers;
  if (options.priorities != 0) properties.priority = static_cast<std::uint8_t>(message_class);
  if (!options.expiration.empty()) properties.expiration = options.expiration;
  if (options.message_id) properties.message_id = std::string(kIdDigits, '0');
  return properties.encode();
}

void MessageProperties::write_id(const BodyHeader& header,
                                 std::vector<std::uint8_t>& encoded) const {
  // The last of the properties that are used here.
  std::uint8_t* const id = encoded.data() + encoded.size() - kIdDigits;
  put_hex(header.stream, id, kStreamDigits);
  put_hex(header.sequence, id + kStreamDigits, kIdDigits - kStreamDigits);
}

protocol::ByteView MessageProperties::of(const BodyHeader& header, std::uint32_t binding) {
  const std::uint32_t message_class = class_of(header, classes_);
  if (by_headers_) encoded_.front() = encode(message_class, binding);
  std::vector<std::uint8_t>& encoded = encoded_[by_headers_ ? 0 : message_class];
  if (workload_.message.message_id) write_id(header, encoded);
  return encoded;
}

}  // namespace harrier::bench
