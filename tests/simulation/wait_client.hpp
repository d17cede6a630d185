// SPDX-License-Identifier: Apache-2.0
//
// WaitClient: a client of a run about messages that wait: it publishes through the exchange that
// delays, with confirms, consumes the queue behind it, and acknowledges, rejects and gives back
// what it gets. It cancels and replaces what it has published itself. What it does and hears goes
// to the ledger.
#pragma once

#include <map>
#include <optional>
#include <vector>

#include "tests/simulation/waits.hpp"
#include "tests/simulation/wire_client.hpp"

namespace harrier::simulation {

class WaitClient : public WireClient {
 public:
  // A drain takes everything; others do as the dice say.
  enum class Kind : std::uint8_t { Declarer, Random, Drain };
  WaitClient(World& world, Waits& waits, Dice& dice, Kind kind);

  void act();  // one random action
  void cut();
  void check_at_rest() const;

 private:
  void set_up() override;
  void on_method(const protocol::Method& method) override;
  void on_delivery(const Incoming& delivery) override;
  void confirm(std::uint64_t tag, bool multiple);
  void declare();
  struct Sent {
    std::optional<MessageNumber> message;  // none: a cancel
    std::vector<MessageNumber> cancels;
  };
  using Ids = std::map<MessageNumber, std::vector<MessageNumber>>;

  void publish();
  void cancel(bool replaces);
  void send_message(const protocol::Properties& properties, const Bytes& body, Sent sent);
  void settle();

  World& world_;
  Waits& waits_;
  Dice& dice_;
  const Kind kind_;
  const ChannelSerial serial_;
  bool running_ = false;
  std::uint64_t published_ = 0;
  std::map<std::uint64_t, Sent> unconfirmed_;
  Ids ids_;  // an id is the number of the first message that has it
  std::map<std::uint64_t, MessageNumber> held_;  // by delivery tag
};

}  // namespace harrier::simulation
