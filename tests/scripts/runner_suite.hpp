// SPDX-License-Identifier: Apache-2.0
//
// Many scripts against one target: found, parsed, run by a few threads, reported one line each.
// Expected differences
// (`only`, `differs` and `varies` lines) are part of the verdict: a difference that is claimed by
// `differs` and does not exist is a failure.
#pragma once

#include <iosfwd>
#include <string>
#include <vector>

#include "tests/scripts/runner_target.hpp"
#include "tests/scripts/script_ast.hpp"

namespace harrier::scripts {

// Files, and the .amqp files below folders, sorted. Throws ScriptError for a script that does not
// parse.
std::vector<Script> load_scripts(const std::vector<std::string>& paths);

struct SuiteResult {
  std::size_t passed = 0;
  std::size_t failed = 0;
  std::size_t different =
      0;  // expected differences, scripts that are not for this product included
};

SuiteResult run_suite(const std::vector<Script>& scripts, const Target& target, unsigned jobs,
                      std::ostream& out);

// The table of expected differences, in Markdown.
void print_differences(const std::vector<Script>& scripts, std::ostream& out);
// One line per script: items, path, title.
void print_list(const std::vector<Script>& scripts, std::ostream& out);

}  // namespace harrier::scripts
