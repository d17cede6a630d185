// SPDX-License-Identifier: Apache-2.0
#include "broker/bench/target.hpp"

#include <netdb.h>

#include <cstring>
#include <memory>
#include <variant>

#include "broker/bench/loop.hpp"
#include "protocol/uri.hpp"

namespace harrier::bench {

std::string apply_uri(const std::string& text, Target& out) {
  const auto parsed = protocol::parse_uri(text);
  if (const auto* error = std::get_if<protocol::UriError>(&parsed)) {
    return protocol::describe(*error, text);
  }
  const auto& uri = std::get<protocol::AmqpUri>(parsed);
  if (uri.tls) return "amqps:// is not spoken yet; use amqp://";
  if (!uri.host.empty()) out.host = uri.host;
  out.port = uri.port_or_default();
  if (uri.user) out.user = *uri.user;
  if (uri.password) out.password = *uri.password;
  if (uri.vhost) out.vhost = *uri.vhost;
  return "";
}

Endpoint resolve(const Target& target) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  const std::string port = std::to_string(target.port);
  const int error = ::getaddrinfo(target.host.c_str(), port.c_str(), &hints, &found);
  if (error != 0) throw BenchError("cannot resolve " + target.host + ": " + ::gai_strerror(error));
  const std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)> owner(found, &::freeaddrinfo);
  const addrinfo* chosen = found;
  for (const addrinfo* each = found; each != nullptr; each = each->ai_next) {
    if (each->ai_family == AF_INET) {
      chosen = each;
      break;
    }
  }
  Endpoint endpoint{target, {}, chosen->ai_addrlen};
  std::memcpy(&endpoint.address, chosen->ai_addr, chosen->ai_addrlen);
  return endpoint;
}

}  // namespace harrier::bench
