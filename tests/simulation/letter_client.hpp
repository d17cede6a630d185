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

#include "protocol/codec.hpp"
#include "tests/simulation/letters.hpp"
#include "tests/simulation/world.hpp"

namespace harrier::simulation {

class LetterClient {
 public:
  // A drain takes everything from every queue; others do as the dice say.
  enum class Kind : std::uint8_t { Declarer, Random, Drain };
  LetterClient(World& world, Letters& letters, Dice& dice, Kind kind);

  void read(std::size_t size);  // up to so many bytes that have arrived
  void act();                   // one random action
  void cut();
  bool gone() const { return link_->cut; }
  void check_at_rest() const;

 private:
  struct Held {
    MessageNumber message = 0;
    QueueIndex queue = 0;
  };
  struct Incoming {
    bool wanted = false;
    QueueIndex queue = 0;
    std::uint64_t tag = 0;
    bool redelivered = false;
    std::uint64_t size = 0;
    bool header_seen = false;
    Bytes properties = {};
    Bytes body = {};
  };

  void on_method(const protocol::Method& method);
  void on_content(const protocol::Frame& frame);
  void on_delivery();
  void confirm(std::uint64_t tag, bool multiple, bool refused);
  void set_up();
  void declare();
  void consume(QueueIndex queue);
  void publish();
  void settle();
  template <class M>
  void send(const M& method, std::uint16_t channel = 1);

  World& world_;
  Letters& letters_;
  Dice& dice_;
  Kind kind_;
  LinkPtr link_;
  Bytes inbox_;
  ChannelSerial serial_;
  bool running_ = false;
  std::map<QueueIndex, Letters::Order> orders_;  // of its consumers
  std::uint64_t published_ = 0;
  std::map<std::uint64_t, MessageNumber> unconfirmed_;
  std::map<std::uint64_t, Held> held_;  // by delivery tag
  Incoming incoming_;
};

template <class M>
void LetterClient::send(const M& method, std::uint16_t channel) {
  const std::size_t at = link_->to_broker.size();
  link_->to_broker.resize(at + protocol::frame_size(method));
  protocol::encode_frame(channel, method, link_->to_broker.data() + at);
}

}  // namespace harrier::simulation
