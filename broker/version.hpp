// SPDX-License-Identifier: Apache-2.0
//
// The version of this broker: the one place where it is written. The build reads it from here, the
// command line prints it, connection.start announces it (C-013: dotted numbers).
#pragma once

#include <string_view>

namespace harrier::broker {

inline constexpr std::string_view kVersion = "0.1.0";

}  // namespace harrier::broker
