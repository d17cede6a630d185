// SPDX-License-Identifier: Apache-2.0
//
// The checks of basic.publish that look at properties, in the order of C-304: expiration, CC/BCC
// types, user-id. Pure functions; any thread may call them. What is refused throws AmqpError 406
// with the exact texts of C-310..C-312; the method is left at 0/0, that is: the one being handled.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "protocol/properties.hpp"

namespace harrier::broker {

// The time to live in ms that the expiration property asks for; nullopt if it is absent (C-310).
std::optional<std::int64_t> check_expiration(const protocol::PropertiesView& properties);

// The headers CC and BCC, if present, must be arrays; what is in them is the router's business
// (C-312 as corrected in 0.3).
void check_sender_selected(const protocol::PropertiesView& properties);

// The user-id property, if present, names the connection's user; users with the tag `impersonator`
// may name others (C-311).
void check_user_id(const protocol::PropertiesView& properties, std::string_view connection_user,
                   bool impersonator);

}  // namespace harrier::broker
