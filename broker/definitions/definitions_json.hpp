// SPDX-License-Identifier: Apache-2.0
//
// Reads the JSON that RabbitMQ and LavinMQ export. Every value is checked alone: types, patterns,
// password hashes, policy keys. A pure function from text; any thread may call it. All mistakes are
// collected, each with its place; sections and fields that are not known are passed over.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "broker/definitions/definitions.hpp"

namespace harrier::broker {

struct ReadDefinitions {
  Definitions definitions;            // of use only without errors
  std::vector<std::string> errors;    // "/users/0/name: expected a text, got 5"
  std::vector<std::string> warnings;  // what was passed over, or has no effect here
};

ReadDefinitions read_definitions(std::string_view json);

}  // namespace harrier::broker
