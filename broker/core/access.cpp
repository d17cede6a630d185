// SPDX-License-Identifier: Apache-2.0
#include "broker/core/access.hpp"

#include <utility>

#include "protocol/error.hpp"

namespace harrier::broker {

using protocol::AmqpError;
using protocol::ReplyCode;

void Access::grant(VhostAccess granted, std::string user, std::string vhost) {
  allowed_ = granted.allowed;
  permission_ = std::move(granted.permission);
  restricted_ = !allowed_ || permission_ != nullptr;
  user_ = std::move(user);
  vhost_ = std::move(vhost);
  kept_.clear();
  next_ = 0;
}

bool Access::has(Right right, std::string_view name) const {
  return allowed_ && (permission_ == nullptr || permission_->of(right).matches(name));
}

void Access::need(Right right, std::string_view kind, std::string_view name) {
  for (const Kept& kept : kept_) {
    if (kept.right == right && kept.kind == kind && kept.name == name) return;
  }
  if (!has(right, name)) refuse(right, kind, name);
  Kept kept{right, kind, std::string(name)};
  if (kept_.size() < kKeptMax) {
    kept_.push_back(std::move(kept));
  } else {
    kept_[next_++ % kKeptMax] = std::move(kept);
  }
}

void Access::need_some(std::string_view kind, std::string_view name) {
  if (!restricted_) return;
  if (has(Right::Read, name) || has(Right::Write, name) || has(Right::Configure, name)) return;
  refuse(Right::Configure, kind, name);
}

void Access::need_topic(Right right, std::string_view exchange,
                        std::string_view routing_key) const {
  if (permission_ == nullptr) return;
  const auto at = permission_->topics.find(exchange);
  if (at == permission_->topics.end()) return;
  const NamePattern& pattern = right == Right::Write ? at->second.write : at->second.read;
  if (pattern.matches(routing_key)) return;
  throw AmqpError(ReplyCode::AccessRefused,
                  std::string(broker::name(right)) + " access to topic '" +
                      std::string(routing_key) + "' in exchange '" + std::string(exchange) +
                      "' in vhost '" + vhost_ + "' refused for user '" + user_ + "'");
}

void Access::refuse(Right right, std::string_view kind, std::string_view name) const {
  throw AmqpError(ReplyCode::AccessRefused, std::string(broker::name(right)) + " access to " +
                                                std::string(kind) + " '" + std::string(name) +
                                                "' in vhost '" + vhost_ + "' refused for user '" +
                                                user_ + "'");
}

}  // namespace harrier::broker
