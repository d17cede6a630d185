// SPDX-License-Identifier: Apache-2.0
//
// WireClient: one simulated connection with channel 1 on it, as far as every client of a run needs
// it: the handshake, frames, contents. What it says and makes of what it hears is its subclass's.
// It ends by losing its connection only. Bytes that are not the protocol are a Violation.
#pragma once

#include <string>

#include "protocol/codec.hpp"
#include "tests/simulation/world.hpp"

namespace harrier::simulation {

class WireClient {
 public:
  explicit WireClient(World& world);
  virtual ~WireClient() = default;
  WireClient(const WireClient&) = delete;
  WireClient& operator=(const WireClient&) = delete;

  void read(std::size_t size);  // up to so many bytes that have arrived
  bool gone() const { return link_->cut; }

 protected:
  struct Incoming {
    bool wanted = false;
    std::string consumer = {};
    std::uint64_t tag = 0;
    bool redelivered = false;
    std::uint64_t size = 0;
    bool header_seen = false;
    Bytes properties = {};
    Bytes body = {};
  };

  virtual void set_up() = 0;  // the connection is open, or will be
  // All but those of connections and basic.deliver.
  virtual void on_method(const protocol::Method& method) = 0;
  virtual void on_delivery(const Incoming& delivery) = 0;

  template <class M>
  void send(const M& method, std::uint16_t channel = 1);
  void send_content(const protocol::Properties& properties, const Bytes& body);
  void lose_connection() { link_->cut = true; }
  bool between_contents() const { return inbox_.empty() && !incoming_.wanted; }

 private:
  bool on_connection(const protocol::Method& method);
  void on_content(const protocol::Frame& frame);

  LinkPtr link_;
  Bytes inbox_;
  Incoming incoming_;
};

template <class M>
void WireClient::send(const M& method, std::uint16_t channel) {
  const std::size_t at = link_->to_broker.size();
  link_->to_broker.resize(at + protocol::frame_size(method));
  protocol::encode_frame(channel, method, link_->to_broker.data() + at);
}

}  // namespace harrier::simulation
