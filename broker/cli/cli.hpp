// SPDX-License-Identifier: Apache-2.0
//
// The command line: harrier serve | definitions | config | bench | inspect | backup | compact |
// --version | --help. Parses, merges the configuration file with the options (options win) and
// hands one Config to `serve`, which runs the broker until it is told to stop. Exit codes are part
// of the interface (docs/operations.md); messages go to `err`.
#pragma once

#include <cstdint>
#include <functional>
#include <ostream>
#include <stdexcept>
#include <string>

#include "broker/config.hpp"

namespace harrier::broker {

enum class ExitCode : int {
  Ok = 0,
  Internal = 1,       // a fault of the broker
  Usage = 2,          // command line or configuration
  DataDirectory = 3,  // not writable, locked by another broker, or damaged
  Listen = 4,         // address in use, not ours, or not permitted
  BenchViolated = 5,  // the load tool found something lost, doubled, damaged, ...
  BenchFailed = 6,    // the load tool could not carry the run out
};

// Thrown by `serve` when it cannot start. The text is complete: cause and remedy.
class StartError : public std::runtime_error {
 public:
  StartError(ExitCode code, const std::string& text) : std::runtime_error(text), code_(code) {}
  ExitCode code() const { return code_; }

 private:
  ExitCode code_;
};

// What a Server is made for; all but the first end by themselves.
enum class Task : std::uint8_t {
  Serve,
  TellDefinitions,    // what importing config.definitions would change, on stdout
  ImportDefinitions,  // imports them into the data directory of a stopped broker
  CheckDefinitions,   // looks at the file alone; no data directory
};

using ServeFunction = std::function<ExitCode(const Config& config, Task task)>;

// What main() returns. Catches everything that `serve` throws.
int run_cli(int argc, const char* const* argv, std::ostream& out, std::ostream& err,
            const ServeFunction& serve);

}  // namespace harrier::broker
