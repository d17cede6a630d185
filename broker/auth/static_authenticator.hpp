// SPDX-License-Identifier: Apache-2.0
//
// A fixed list of users, each with the virtual hosts that it may open: for tests, and the shape
// that a user database fills in. Immutable; shared by all shards. A user without a password cannot
// log in at all (C-037).
#pragma once

#include <string>
#include <vector>

#include "broker/auth/authenticator.hpp"

namespace harrier::broker {

struct StaticUser {
  std::string name;
  std::string password;
  std::vector<std::string> tags{};
  std::vector<std::string> vhost_patterns{
      "*"};  // '*' stands for any run of characters, all else for itself
  bool loopback_only = false;
};

class StaticAuthenticator final : public Authenticator {
 public:
  explicit StaticAuthenticator(
      std::vector<StaticUser> users);  // of users with one name the first counts

  std::optional<User> log_in(const Credentials& credentials,
                             std::string_view peer_address) const override;
  VhostAccess access(const User& user, std::string_view vhost) const override;

 private:
  const StaticUser* find(std::string_view name) const;
  std::vector<StaticUser> users_;
};

}  // namespace harrier::broker
