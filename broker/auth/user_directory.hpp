// SPDX-License-Identifier: Apache-2.0
//
// The users that operators define, with their permissions and limits. UserTable is the plain value
// that the control shard keeps and the store holds; UserDirectory is what every shard asks: made
// from the table after each change, immutable, shared. Tallies outlive the directory: a limit that
// changes counts what is open already.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

#include "broker/auth/authenticator.hpp"
#include "broker/auth/password_hash.hpp"

namespace harrier::broker {

struct UserEntry {
  PasswordHash password;
  std::vector<std::string> tags;
  std::optional<std::int64_t> connections_max;  // negative: no limit
  std::optional<std::int64_t> channels_max;
  friend bool operator==(const UserEntry&, const UserEntry&) = default;
};

// As written by the operator; the directory compiles them.
struct PermissionEntry {
  std::string configure;
  std::string write;
  std::string read;
  friend bool operator==(const PermissionEntry&, const PermissionEntry&) = default;
};
struct TopicPermissionEntry {
  std::string write;
  std::string read;
  friend bool operator==(const TopicPermissionEntry&, const TopicPermissionEntry&) = default;
};

struct VhostUser {
  std::string vhost;
  std::string user;
  friend auto operator<=>(const VhostUser&, const VhostUser&) = default;
};

struct UserTable {
  std::map<std::string, UserEntry, std::less<>> users;
  std::map<VhostUser, PermissionEntry> permissions;
  std::map<std::pair<VhostUser, std::string>, TopicPermissionEntry> topics;  // and exchange
  friend bool operator==(const UserTable&, const UserTable&) = default;
};

class UserDirectory final : public Authenticator {
 public:
  // Every pattern of the table has been parsed before: one that cannot be matches nothing.
  // Counts go on in `previous`, if there is one.
  UserDirectory(const UserTable& table, std::vector<std::string> loopback_users,
                const UserDirectory* previous = nullptr);

  std::optional<User> log_in(const Credentials& credentials,
                             std::string_view peer_address) const override;
  VhostAccess access(const User& user, std::string_view vhost) const override;
  UserQuotas quotas(const User& user) const override;

 private:
  struct Known {
    UserEntry entry;
    UserQuotas quotas;
  };
  const Known* find(std::string_view name) const;

  std::map<std::string, Known, std::less<>> users_;
  std::map<VhostUser, PermissionPtr> permissions_;
  std::vector<std::string> loopback_users_;
};

}  // namespace harrier::broker
