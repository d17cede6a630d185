// SPDX-License-Identifier: Apache-2.0
//
// LetterClient: a client of a run about dead letters, on one simulated connection with one channel:
// it publishes with confirms, consumes some queues, and acknowledges, rejects and gives back what
// it gets. What it does and hears goes to the ledger. It ends by losing its connection only.
#pragma once

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "tests/simulation/letters.hpp"
#include "tests/simulation/wire_client.hpp"

namespace harrier::simulation {

class LetterClient : public WireClient {
 public:
  // A drain takes everything from every queue; others do as the dice say.
  enum class Kind : std::uint8_t { Declarer, Random, Drain };
  LetterClient(World& world, Letters& letters, Dice& dice, Kind kind);

  void act();  // one random action
  void cut();
  void check_at_rest() const;

 private:
  struct Held {
    MessageNumber message = 0;
    QueueIndex queue = 0;
  };
  void set_up() override;
  void on_method(const protocol::Method& method) override;
  void on_delivery(const Incoming& in) override;
  void confirm(std::uint64_t tag, bool multiple, bool refused);
  void declare();
  void consume(QueueIndex queue);
  void publish();
  void settle();
  World& world_;
  Letters& letters_;
  Dice& dice_;
  Kind kind_;
  ChannelSerial serial_;
  bool running_ = false;
  std::map<QueueIndex, Letters::Order> orders_;  // of its consumers
  std::uint64_t published_ = 0;
  std::map<std::uint64_t, MessageNumber> unconfirmed_;
  std::map<std::uint64_t, Held> held_;  // by delivery tag
};

}  // namespace harrier::simulation
