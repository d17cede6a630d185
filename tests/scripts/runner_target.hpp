// SPDX-License-Identifier: Apache-2.0
//
// The broker that scripts are run against, and the log-in that opens a connection to it in the
// ordinary way.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

#include "protocol/codec.hpp"
#include "tests/scripts/runner_connection.hpp"

namespace harrier::scripts {

struct Target {
  std::string host = "127.0.0.1";
  std::uint16_t port = 5672;
  std::string user = "guest";
  std::string password = "guest";
  std::string product;  // harrier or rabbitmq
  std::chrono::milliseconds timeout{5000};
  bool verbose = false;  // show what happened in expected differences, too

  Deadline deadline() const { return SteadyClock::now() + timeout; }
};

struct Login {
  std::string user;
  std::string password;
  std::string vhost = "/";
  std::string mechanism = "PLAIN";
  ByteVector client_properties;            // a table body
  std::optional<std::uint64_t> frame_max;  // what the broker proposes unless set
  std::optional<std::uint64_t> channel_max;
  std::uint64_t heartbeat = 0;
};

Login default_login(const Target& target);

// From the protocol header to connection.open-ok.
void log_in(Connection& connection, const Login& login, Deadline deadline);
void open_channel(Connection& connection, std::uint16_t channel, Deadline deadline);

// Sends a method made of values and waits for the method `Reply` on that channel; a close instead
// is a StepError.
template <class Reply, class Request>
Received call(Connection& connection, std::uint16_t channel, const Request& request,
              Deadline deadline);

// "rabbitmq" or "harrier", from the server properties.
std::string probe_product(const Target& target);

// The name of the reply or of the close that came instead.
Received await_reply(Connection& connection, std::uint16_t channel, std::string_view reply,
                     Deadline deadline);

template <class Request>
ByteVector encoded(const Request& request) {
  ByteVector payload(protocol::encoded_size(request));
  protocol::encode(request, payload.data());
  return payload;
}

template <class Reply, class Request>
Received call(Connection& connection, std::uint16_t channel, const Request& request,
              Deadline deadline) {
  connection.send_method(channel, encoded(request), deadline);
  return await_reply(connection, channel, Reply::kName, deadline);
}

}  // namespace harrier::scripts
