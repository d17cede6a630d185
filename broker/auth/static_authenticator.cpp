// SPDX-License-Identifier: Apache-2.0
#include "broker/auth/static_authenticator.hpp"

#include <algorithm>
#include <utility>

namespace harrier::broker {
namespace {

// '*' matches any run of characters. On a mismatch the last '*' takes one character more: no
// recursion, so that a pattern of many stars costs at most pattern times text.
bool matches(std::string_view pattern, std::string_view text) {
  std::size_t p = 0;
  std::size_t t = 0;
  std::size_t star = std::string_view::npos;
  std::size_t star_text = 0;
  while (t < text.size()) {
    if (p < pattern.size() && pattern[p] == '*') {
      star = p++;
      star_text = t;
    } else if (p < pattern.size() && pattern[p] == text[t]) {
      ++p;
      ++t;
    } else if (star != std::string_view::npos) {
      p = star + 1;
      t = ++star_text;
    } else {
      return false;
    }
  }
  return pattern.find_first_not_of('*', p) == std::string_view::npos;
}

}  // namespace

StaticAuthenticator::StaticAuthenticator(std::vector<StaticUser> users)
    : users_(std::move(users)) {}

const StaticUser* StaticAuthenticator::find(std::string_view name) const {
  const auto found = std::find_if(users_.begin(), users_.end(),
                                  [&](const StaticUser& u) { return u.name == name; });
  return found == users_.end() ? nullptr : &*found;
}

std::optional<User> StaticAuthenticator::log_in(const Credentials& credentials,
                                                std::string_view peer_address) const {
  const StaticUser* const user = find(credentials.user);
  // An unknown user costs a comparison too: the duration does not tell who exists.
  const bool password_right =
      equal_in_constant_time(credentials.password, user ? user->password : credentials.user);
  if (!user || !password_right || credentials.password.empty()) return std::nullopt;
  if (user->loopback_only && !is_loopback(peer_address)) return std::nullopt;
  return User{user->name, user->tags};
}

VhostAccess StaticAuthenticator::access(const User& user, std::string_view vhost) const {
  const StaticUser* const known = find(user.name);
  if (!known) return {};
  const auto& patterns = known->vhost_patterns;
  const bool allowed = std::any_of(patterns.begin(), patterns.end(),
                                   [&](const std::string& p) { return matches(p, vhost); });
  return {allowed, nullptr};
}

}  // namespace harrier::broker
