// SPDX-License-Identifier: Apache-2.0
//
// The seam behind which users are known: who may log in, from where, and into which virtual host.
// Implementations are immutable after construction, so that every shard may ask without a lock. A
// refusal is a value and never says why: the client must not learn whether user, password or
// address was wrong (C-033); the caller logs the attempt.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "broker/auth/permission.hpp"
#include "broker/auth/quota.hpp"

namespace harrier::broker {

inline constexpr std::string_view kImpersonatorTag = "impersonator";  // may set any user-id (C-311)
inline constexpr std::string_view kAdministratorTag = "administrator";

struct Credentials {
  std::string user;
  std::string password;
  friend bool operator==(const Credentials&, const Credentials&) = default;
};

struct User {
  std::string name;
  std::vector<std::string> tags;

  bool has_tag(std::string_view tag) const;
  friend bool operator==(const User&, const User&) = default;
};

// `permission` null: everything.
struct VhostAccess {
  bool allowed = false;
  PermissionPtr permission;
};

struct UserQuotas {
  Quota connections;
  Quota channels;
};

class Authenticator {
 public:
  virtual ~Authenticator() = default;

  // `peer_address` is the numeric address of the other end, without port; some users are welcome
  // from loopback only (C-036). An empty password is always refused (C-026).
  virtual std::optional<User> log_in(const Credentials& credentials,
                                     std::string_view peer_address) const = 0;

  // Whether the user may open the virtual host, which exists (C-057), and what it may do there.
  virtual VhostAccess access(const User& user, std::string_view vhost) const = 0;
  bool may_access_vhost(const User& user, std::string_view vhost) const {
    return access(user, vhost).allowed;
  }

  // Without limits unless somebody sets some.
  virtual UserQuotas quotas(const User& /*user*/) const { return {}; }

 protected:
  Authenticator() = default;
  Authenticator(const Authenticator&) = default;
  Authenticator& operator=(const Authenticator&) = default;
};

using AuthenticatorPtr = std::shared_ptr<const Authenticator>;

// 127.0.0.0/8, ::1 and ::ffff:127.0.0.0/104, or no address at all: a local socket (C-036).
bool is_loopback(std::string_view address);

// Equality whose duration depends on the length of `received` only.
bool equal_in_constant_time(std::string_view received, std::string_view expected);

}  // namespace harrier::broker
