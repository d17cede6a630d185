// SPDX-License-Identifier: Apache-2.0
//
// Methods and contents of a script: made from arguments, and compared with arguments. The generated
// field lists of protocol/methods.hpp say which names exist, so the language follows the protocol
// definition by itself.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "protocol/methods.hpp"
#include "tests/scripts/runner_values.hpp"

namespace harrier::scripts {

// Header and body of a message, as sent or as received.
struct Content {
  std::uint16_t class_id = 60;
  std::uint16_t weight = 0;
  std::uint64_t announced_size = 0;
  ByteVector properties;  // flag words and values
  ByteVector body;
  std::size_t body_frames = 0;
};

bool is_method(std::string_view name);

// The payload of a method frame. Arguments that are no fields of the method are put into `rest`.
// append=x"..." adds bytes behind the last field, cut=N drops the last N bytes: arguments that do
// not decode.
ByteVector build_method(std::string_view name, const std::vector<Argument>& arguments,
                        Variables& variables, std::vector<Argument>& rest);

// Content from body=, body_size=, the properties by name, and announced_size=, weight=, class=,
// properties=x"...".
Content build_content(const std::vector<Argument>& arguments, Variables& variables);

// nullopt if method and content are what the arguments ask for. `content` is null for a method
// without one.
std::optional<std::string> method_mismatch(const protocol::Method& method, const Content* content,
                                           const std::vector<Argument>& arguments,
                                           Variables& variables, Captures& captures);

std::string content_text(const Content& content);  // for reports; long bodies are cut

}  // namespace harrier::scripts
