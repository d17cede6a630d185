// SPDX-License-Identifier: Apache-2.0
//
// The SASL mechanisms of connection.start-ok: PLAIN, AMQPLAIN and ANONYMOUS, all of one round
// (C-026..C-028). Pure functions from the response's bytes to credentials; whether these are right
// is the Authenticator's business. Unknown mechanism and malformed response are nullopt: the
// connection closes without a frame (C-035).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "broker/auth/authenticator.hpp"

namespace harrier::broker {

enum class SaslMechanism : std::uint8_t { Plain, Amqplain, Anonymous };
std::string_view name(SaslMechanism mechanism);  // "AMQPLAIN"

struct SaslSettings {
  // Who an ANONYMOUS client is; without it the mechanism is neither offered nor accepted (C-028).
  std::optional<Credentials> anonymous_login = Credentials{"guest", "guest"};
};

std::string sasl_mechanisms(
    const SaslSettings& settings);  // for connection.start: "PLAIN AMQPLAIN ANONYMOUS"

// nullopt: unknown, or known but not offered.
std::optional<SaslMechanism> find_sasl_mechanism(std::string_view name,
                                                 const SaslSettings& settings);

// nullopt: the response is malformed.
std::optional<Credentials> read_sasl_response(SaslMechanism mechanism, std::string_view response,
                                              const SaslSettings& settings);

}  // namespace harrier::broker
