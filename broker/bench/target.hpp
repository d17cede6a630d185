// SPDX-License-Identifier: Apache-2.0
//
// Which broker a run speaks to: as it was asked for, and resolved. Values.
#pragma once

#include <sys/socket.h>

#include <cstdint>
#include <string>

namespace harrier::bench {

struct Target {
  std::string host = "127.0.0.1";
  std::uint16_t port = 5672;
  std::string user = "guest";
  std::string password = "guest";
  std::string vhost = "/";
  int pid = 0;  // the broker's process, if it runs here and is to be watched

  std::string address() const { return host + ":" + std::to_string(port); }
};

// Takes what an amqp:// URI says over into `out`; returns what is wrong with it, or "".
std::string apply_uri(const std::string& uri, Target& out);

struct Endpoint {
  Target target;
  sockaddr_storage address{};
  socklen_t address_size = 0;
};

// IPv4 if the name has one, for brokers listen there by default. Throws BenchError.
Endpoint resolve(const Target& target);

}  // namespace harrier::bench
