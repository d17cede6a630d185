// SPDX-License-Identifier: Apache-2.0
//
// The commands on a data directory: harrier inspect | backup | compact. Options in, what came out
// on `out`, what went wrong on `err`; the work is done in persistence/. Lives for one run_cli().
// Exit codes: 0, or 3 if the directory is damaged or cannot be used (docs/operations.md).
#pragma once

#include <memory>
#include <ostream>

#include "broker/cli/cli.hpp"

namespace CLI {
class App;
}

namespace harrier::broker {

class StoreCommands {
 public:
  explicit StoreCommands(CLI::App& app);  // registers themselves
  ~StoreCommands();
  StoreCommands(const StoreCommands&) = delete;
  StoreCommands& operator=(const StoreCommands&) = delete;

  bool parsed() const;
  ExitCode run(std::ostream& out, std::ostream& err);

 private:
  struct Options;
  std::unique_ptr<Options> options_;
};

}  // namespace harrier::broker
