// SPDX-License-Identifier: Apache-2.0
//
// Names of direct reply-to consumers (conformance 8.11): amq.rabbitmq.reply-to.<where>.<secret>.
// <where> says which channel waits, so that a reply needs no look-up; <secret> is random, so that
// nobody else can make one up (C-492).
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "broker/core/ids.hpp"

namespace harrier::broker {

// `secret` is 22 URL-safe characters.
std::string make_direct_reply_name(const ChannelRef& channel, std::string_view secret);

// Where a name of the right form points; whether anybody waits there under this name, that
// channel's session knows.
std::optional<ChannelRef> parse_direct_reply_name(std::string_view name);

}  // namespace harrier::broker
