// SPDX-License-Identifier: Apache-2.0
//
// Templates that the channel's sources share; included by those only.
#pragma once

#include <algorithm>
#include <string>
#include <string_view>

#include "broker/core/channel.hpp"
#include "broker/core/session.hpp"
#include "protocol/error.hpp"

namespace harrier::broker {

inline constexpr std::string_view kReplyToName = "amq.rabbitmq.reply-to";
inline constexpr std::string_view kReplyToPrefix = "amq.rabbitmq.reply-to.";

template <class M>
void Channel::send(const M& method) {
  session_.send(number(), method);
}

// Names lose CR and LF where the protocol's users may have pasted them (C-158, C-210).
inline std::string without_line_feeds(std::string_view name) {
  std::string clean(name);
  std::erase_if(clean, [](char c) { return c == '\r' || c == '\n'; });
  return clean;
}

inline std::string in_vhost(std::string_view kind, std::string_view name, std::string_view vhost) {
  return std::string(kind) + " '" + std::string(name) + "' in vhost '" + std::string(vhost) + "'";
}

inline void refuse_default_exchange(std::string_view name) {
  if (!name.empty()) return;
  throw protocol::AmqpError(protocol::ReplyCode::AccessRefused,
                            "operation not permitted on the default exchange");
}

}  // namespace harrier::broker
