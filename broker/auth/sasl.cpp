// SPDX-License-Identifier: Apache-2.0
#include "broker/auth/sasl.hpp"

#include <array>

#include "protocol/bytes.hpp"
#include "protocol/field_table.hpp"

namespace harrier::broker {
namespace {

constexpr std::array kMechanisms{SaslMechanism::Plain, SaslMechanism::Amqplain,
                                 SaslMechanism::Anonymous};

bool is_offered(SaslMechanism mechanism, const SaslSettings& settings) {
  return mechanism != SaslMechanism::Anonymous || settings.anonymous_login.has_value();
}

// NUL user NUL password; an authorisation identity in front is not supported, a NUL inside a field
// is not possible.
std::optional<Credentials> read_plain(std::string_view response) {
  if (response.empty() || response.front() != '\0') return std::nullopt;
  response.remove_prefix(1);
  const std::size_t separator = response.find('\0');
  if (separator == std::string_view::npos) return std::nullopt;
  const std::string_view password = response.substr(separator + 1);
  if (password.find('\0') != std::string_view::npos) return std::nullopt;
  return Credentials{std::string(response.substr(0, separator)), std::string(password)};
}

// A table body without its length, keys LOGIN and PASSWORD, as string or as byte array.
std::optional<Credentials> read_amqplain(std::string_view response) {
  const protocol::ByteView bytes = protocol::as_bytes(response);
  if (!protocol::validate_table(bytes)) return std::nullopt;
  const protocol::TableView table(bytes);
  const auto field = [&](std::string_view key) -> std::optional<std::string> {
    const auto value = table.find(key);
    if (!value || (value->tag != 'S' && value->tag != 'x')) return std::nullopt;
    return std::string(protocol::as_text(value->payload));
  };
  auto user = field("LOGIN");
  auto password = field("PASSWORD");
  if (!user || !password) return std::nullopt;
  return Credentials{*std::move(user), *std::move(password)};
}

}  // namespace

std::string_view name(SaslMechanism mechanism) {
  switch (mechanism) {
    case SaslMechanism::Plain:
      return "PLAIN";
    case SaslMechanism::Amqplain:
      return "AMQPLAIN";
    case SaslMechanism::Anonymous:
      return "ANONYMOUS";
  }
  return "";
}

std::string sasl_mechanisms(const SaslSettings& settings) {
  std::string names;
  for (const SaslMechanism mechanism : kMechanisms) {
    if (!is_offered(mechanism, settings)) continue;
    if (!names.empty()) names += ' ';
    names += name(mechanism);
  }
  return names;
}

std::optional<SaslMechanism> find_sasl_mechanism(std::string_view wanted,
                                                 const SaslSettings& settings) {
  for (const SaslMechanism mechanism : kMechanisms) {
    if (name(mechanism) == wanted && is_offered(mechanism, settings)) return mechanism;
  }
  return std::nullopt;
}

std::optional<Credentials> read_sasl_response(SaslMechanism mechanism, std::string_view response,
                                              const SaslSettings& settings) {
  switch (mechanism) {
    case SaslMechanism::Plain:
      return read_plain(response);
    case SaslMechanism::Amqplain:
      return read_amqplain(response);
    case SaslMechanism::Anonymous:
      return settings.anonymous_login;
  }
  return std::nullopt;
}

}  // namespace harrier::broker
