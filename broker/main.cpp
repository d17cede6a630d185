// SPDX-License-Identifier: Apache-2.0
#include <iostream>

#include "broker/cli/cli.hpp"
#include "broker/server.hpp"

int main(int argc, char** argv) {
  using namespace harrier::broker;
  return run_cli(argc, argv, std::cout, std::cerr,
                 [](const Config& config, Task task) { return Server(config).run(task); });
}
