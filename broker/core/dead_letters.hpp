// SPDX-License-Identifier: Apache-2.0
//
// DeadLetters: what a queue makes of a message that dies in it: the message as its dead-letter
// exchange gets it, with the history in its headers (conformance 8.1). Owned by its queue; without
// a dead-letter exchange a queue has none and the message is dropped. Pure and total: it routes and
// stores nothing, the outlet takes the letter. A history that clients made up is not believed
// (C-429).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "broker/core/ids.hpp"
#include "protocol/message.hpp"

namespace harrier::broker {

enum class DeathReason : std::uint8_t { Rejected, Expired, MaxLength, DeliveryLimit };
std::string_view name(DeathReason reason);  // "rejected", as x-death has it (C-420)

// A message on its way from the queue where it died.
struct DeadLetter {
  std::string vhost;
  protocol::MessagePtr message;          // exchange and routing key are those it is published with
  std::vector<std::string> extra_keys;   // CC and BCC, if they still count
  std::vector<std::string> queues_past;  // none of them gets it again: the cycle ends (C-431)
  // Of a message that has waited: the exchange that delayed it, and routes it now.
  std::optional<std::string> delayed_by{};
  bool leaves_store = false;  // what takes it off the store is in the write batch of this turn
};

// The further routing keys of a message, shown and not shown, if they still count (C-430).
std::vector<std::string> sender_selected_keys(const protocol::Message& message);

class DeadLetters {
 public:
  // Without a routing key messages keep their own (C-421).
  DeadLetters(std::string vhost, std::string queue, std::string exchange,
              std::optional<std::string> routing_key)
      : vhost_(std::move(vhost)),
        queue_(std::move(queue)),
        exchange_(std::move(exchange)),
        routing_key_(std::move(routing_key)) {}

  DeadLetter letter(const protocol::Message& message, DeathReason reason, Millis unix_ms) const;

 private:
  std::string vhost_;
  std::string queue_;
  std::string exchange_;
  std::optional<std::string> routing_key_;
};

}  // namespace harrier::broker
