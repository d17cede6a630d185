// SPDX-License-Identifier: Apache-2.0
#include "broker/auth/user_directory.hpp"

#include <algorithm>
#include <utility>

namespace harrier::broker {
namespace {

NamePattern compiled(std::string_view text) {
  auto parsed = NamePattern::parse(text);
  NamePattern* const pattern = std::get_if<NamePattern>(&parsed);
  return pattern == nullptr ? NamePattern() : std::move(*pattern);
}

TallyPtr kept_or_new(const TallyPtr& previous) {
  return previous ? previous : std::make_shared<Tally>(0);
}

std::optional<std::uint32_t> limit_of(const std::optional<std::int64_t>& value) {
  return value ? broker::limit_of(*value) : std::nullopt;
}

}  // namespace

UserDirectory::UserDirectory(const UserTable& table, std::vector<std::string> loopback_users,
                             const UserDirectory* previous)
    : loopback_users_(std::move(loopback_users)) {
  for (const auto& [name, entry] : table.users) {
    const Known* before = previous == nullptr ? nullptr : previous->find(name);
    const UserQuotas counted = before == nullptr ? UserQuotas{} : before->quotas;
    UserQuotas quotas;
    quotas.connections = {limit_of(entry.connections_max), kept_or_new(counted.connections.tally)};
    quotas.channels = {limit_of(entry.channels_max), kept_or_new(counted.channels.tally)};
    users_.emplace(name, Known{entry, std::move(quotas)});
  }
  std::map<VhostUser, Permission> permissions;
  for (const auto& [where, entry] : table.permissions) {
    permissions[where] = {
        compiled(entry.configure), compiled(entry.write), compiled(entry.read), {}};
  }
  for (const auto& [key, entry] : table.topics) {
    const auto& [where, exchange] = key;
    const auto at = permissions.find(where);
    if (at == permissions.end()) continue;  // without access to the vhost it means nothing
    const auto pattern = [&, &place = where](const std::string& text) {
      return compiled(expand_topic_pattern(text, place.user, place.vhost));
    };
    at->second.topics[exchange] = {pattern(entry.write), pattern(entry.read)};
  }
  for (auto& [where, permission] : permissions) {
    // Null stands for everything, and costs nothing to ask.
    permissions_[where] = permission.allows_everything()
                              ? nullptr
                              : std::make_shared<const Permission>(std::move(permission));
  }
}

const UserDirectory::Known* UserDirectory::find(std::string_view name) const {
  const auto at = users_.find(name);
  return at == users_.end() ? nullptr : &at->second;
}

std::optional<User> UserDirectory::log_in(const Credentials& credentials,
                                          std::string_view peer_address) const {
  static const PasswordHash kNobody;
  const Known* const known = find(credentials.user);
  // An unknown user costs a hash too: the duration does not tell who exists.
  const PasswordHash& hash = known == nullptr ? kNobody : known->entry.password;
  if (!hash.verifies(credentials.password) || credentials.password.empty()) return std::nullopt;
  const bool loopback_only = std::ranges::count(loopback_users_, credentials.user) > 0;
  if (loopback_only && !is_loopback(peer_address)) return std::nullopt;
  return User{credentials.user, known->entry.tags};
}

VhostAccess UserDirectory::access(const User& user, std::string_view vhost) const {
  const auto at = permissions_.find({std::string(vhost), user.name});
  if (find(user.name) == nullptr || at == permissions_.end()) return {};
  return {true, at->second};
}

UserQuotas UserDirectory::quotas(const User& user) const {
  const Known* const known = find(user.name);
  return known == nullptr ? UserQuotas{} : known->quotas;
}

}  // namespace harrier::broker
