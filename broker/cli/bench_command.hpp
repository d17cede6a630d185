// SPDX-License-Identifier: Apache-2.0
//
// The command line of the load tool: harrier bench run | rpc | idle | declare | churn | case |
// suite | list. Turns options into a workload or a suite, runs it, prints what came out and says
// by the exit code whether everything that was checked held (docs/benchmarks.md). Lives for one
// run_cli(); mistakes in options are told on `err`.
#pragma once

#include <memory>
#include <ostream>

#include "broker/cli/cli.hpp"

namespace CLI {
class App;
}

namespace harrier::broker {

class BenchCommand {
 public:
  explicit BenchCommand(CLI::App& app);  // registers itself
  ~BenchCommand();
  BenchCommand(const BenchCommand&) = delete;
  BenchCommand& operator=(const BenchCommand&) = delete;

  bool parsed() const;
  ExitCode run(std::ostream& out, std::ostream& err);

 private:
  struct Options;
  std::unique_ptr<Options> options_;
};

}  // namespace harrier::broker
