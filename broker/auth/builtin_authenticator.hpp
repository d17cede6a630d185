// SPDX-License-Identifier: Apache-2.0
//
// The one user that a fresh broker knows: guest/guest, administrator, every virtual host, from
// loopback only unless the configuration lifts that (C-036). Immutable; shared by all shards. Wrong
// settings are refused by the configuration reader before they get here.
#pragma once

#include <string>
#include <vector>

#include "broker/auth/authenticator.hpp"

namespace harrier::broker {

struct BuiltinUserSettings {
  Credentials credentials{"guest", "guest"};
  std::vector<std::string> tags{std::string(kAdministratorTag)};
  std::vector<std::string> loopback_users{
      "guest"};  // names; empty: everybody may come from anywhere
};

class BuiltinAuthenticator final : public Authenticator {
 public:
  explicit BuiltinAuthenticator(BuiltinUserSettings settings = {});

  std::optional<User> log_in(const Credentials& credentials,
                             std::string_view peer_address) const override;
  VhostAccess access(const User& user, std::string_view vhost) const override;

 private:
  BuiltinUserSettings settings_;
};

}  // namespace harrier::broker
