// SPDX-License-Identifier: Apache-2.0
//
// The grammar of .amqp scripts (Spirit X3 inside the source file only): text -> script_ast. No
// state, no I/O. Failure is a ScriptError that says line and column and shows the place.
//
//   line      = [ step | directive ] [ '#' comment ]
//   step      = connection [ '.' channel ] ( [ "call" ] | '<' | "<*" ) verb { argument }
//   directive = ( "only" | "differs" | "varies" | "repeat" | "for" | "let" | "end" ) { argument }
//   argument  = '!' name | name operator value | value
//   operator  = "=>" | "!=" | "^=" | "*=" | '=' | '~'
//   value     = table | array | bytes | quoted | word         bytes = x"00 ff"
//   table     = '{' [ key ':' cell { ',' key ':' cell } ] '}'  array = '[' [ cell { ',' cell } ]
//   ']' cell      = table | array | bytes | quoted | $variable | "true" | "false" | "null" | [ tag
//   ':' ] number
//             | "D:" scale '/' value | "x:" quoted           the same as in protocol/value_text.hpp
#pragma once

#include <stdexcept>
#include <string>
#include <string_view>

#include "tests/scripts/script_ast.hpp"

namespace harrier::scripts {

class ScriptError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// `path` only names the script in errors and reports.
Script parse_script(std::string_view text, std::string path);

}  // namespace harrier::scripts
