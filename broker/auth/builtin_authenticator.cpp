// SPDX-License-Identifier: Apache-2.0
#include "broker/auth/builtin_authenticator.hpp"

#include <algorithm>
#include <utility>

namespace harrier::broker {

BuiltinAuthenticator::BuiltinAuthenticator(BuiltinUserSettings settings)
    : settings_(std::move(settings)) {}

std::optional<User> BuiltinAuthenticator::log_in(const Credentials& credentials,
                                                 std::string_view peer_address) const {
  // Both are compared always, so that the duration does not tell which of them was wrong.
  const bool user_known = equal_in_constant_time(credentials.user, settings_.credentials.user);
  const bool password_right =
      equal_in_constant_time(credentials.password, settings_.credentials.password);
  if (!user_known || !password_right || credentials.password.empty()) return std::nullopt;

  const auto& restricted = settings_.loopback_users;
  const bool loopback_only =
      std::find(restricted.begin(), restricted.end(), credentials.user) != restricted.end();
  if (loopback_only && !is_loopback(peer_address)) return std::nullopt;
  return User{credentials.user, settings_.tags};
}

VhostAccess BuiltinAuthenticator::access(const User& user, std::string_view /*vhost*/) const {
  return {user.name == settings_.credentials.user, nullptr};
}

}  // namespace harrier::broker
