// SPDX-License-Identifier: Apache-2.0
//
// The payload of a method frame.
// Invariants:
// - decoding never crashes and never yields a view outside of the payload;
// - what decodes encodes to exactly encoded_size() bytes of the same length as the payload;
// - decoding those bytes gives an equal method, and encoding that gives the same bytes (the payload
//   itself may differ from them only in unused bits);
// - the printed method is read back to the same bytes.
#include <cstdint>
#include <cstdlib>
#include <string>
#include <vector>

#include "protocol/codec.hpp"

namespace {

using namespace harrier::protocol;  // NOLINT: a fuzz target is one translation unit

void require(bool condition) {
  if (!condition) std::abort();
}

std::vector<std::uint8_t> encoded(const Method& method) {
  std::vector<std::uint8_t> out(encoded_size(method));
  require(encode(method, out.data()) == out.data() + out.size());
  return out;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const ByteView payload(data, size);
  Method method;
  const DecodeStatus status = decode_method(payload, method);
  const auto id = peek_method(payload);
  if (status == DecodeStatus::UnknownMethod) require(id && name_of(*id).empty());
  if (status != DecodeStatus::Ok) return 0;
  require(id && *id == id_of(method) && name_of(*id) == name_of(method));

  const std::vector<std::uint8_t> bytes = encoded(method);
  require(bytes.size() == size);
  Method again;
  require(decode_method(bytes, again) == DecodeStatus::Ok);
  require(again == method);
  require(encoded(again) == bytes);

  std::string error;
  const auto parsed = parse_method(print(method), error);
  require(parsed.has_value());
  require(encoded(parsed->get()) == bytes);
  return 0;
}
