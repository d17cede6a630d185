// SPDX-License-Identifier: Apache-2.0
//
// amqp:// and amqps:// URIs as values, for whoever connects: what one says, or where it is wrong.
// Values without owner or thread. The grammar is uri_grammar.hpp's.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace harrier::protocol {

struct AmqpUri {
  bool tls = false;
  std::optional<std::string> user, password;
  std::string host;  // "" if absent; an IPv6 address without its brackets
  std::optional<std::uint16_t> port;
  std::optional<std::string> vhost;
  std::vector<std::pair<std::string, std::string>> query;

  std::uint16_t port_or_default() const { return port.value_or(tls ? 5671 : 5672); }
  friend bool operator==(const AmqpUri&, const AmqpUri&) = default;
};

struct UriError {
  std::size_t position = 0;  // of the offending character
  std::string message;       // "expected a port between 1 and 65535"
  friend bool operator==(const UriError&, const UriError&) = default;
};

std::variant<AmqpUri, UriError> parse_uri(std::string_view text);

// The text, and a caret under the character that `error` is about.
std::string describe(const UriError& error, std::string_view text);

}  // namespace harrier::protocol
