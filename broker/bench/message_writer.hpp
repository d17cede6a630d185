// SPDX-License-Identifier: Apache-2.0
//
// Writes whole messages into a connection's output: basic.publish, content header, body frames.
// Bodies up to a few KiB are copied, the filler of larger ones is referred to. Owned by a
// publisher.
#pragma once

#include <cstdint>

#include "broker/bench/body.hpp"
#include "broker/bench/connection.hpp"

namespace harrier::bench {

class MessageWriter {
 public:
  MessageWriter(Connection& connection, const BodyFormat& format)
      : connection_(connection), format_(format) {}

  // `properties`: flags and values, as they follow the body size.
  void put(const protocol::BasicPublish& method, protocol::ByteView properties,
           const BodyHeader& header, std::uint32_t body_size);

 private:
  void put_copied(const BodyHeader& header, std::uint32_t body_size);
  void put_referred(const BodyHeader& header, std::uint32_t body_size);

  Connection& connection_;
  const BodyFormat& format_;
};

}  // namespace harrier::bench
