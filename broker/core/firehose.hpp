// SPDX-License-Identifier: Apache-2.0
//
// Firehose: the copies of messages that go to amq.rabbitmq.trace while tracing is on for a virtual
// host (8.16): with the original's body, and headers that tell what happened to it. Pure functions;
// any thread may call them. Messages of the trace exchange itself are never traced (C-517).
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "protocol/message.hpp"

namespace harrier::broker {

inline constexpr std::string_view kTraceExchange = "amq.rabbitmq.trace";

// Who published, or gets it.
struct TracePoint {
  std::string_view node;
  std::string_view vhost;
  std::string_view connection;
  std::string_view user;
  std::uint16_t channel = 0;
};

// Key `publish.<exchange>`; `queues`: where it went.
protocol::MessagePtr trace_publish(const protocol::Message& message,
                                   std::span<const std::string> extra_keys,
                                   std::span<const std::string> queues, const TracePoint& point);

// Key `deliver.<queue>`.
protocol::MessagePtr trace_deliver(const protocol::Message& message, std::string_view queue,
                                   bool redelivered, const TracePoint& point);

}  // namespace harrier::broker
