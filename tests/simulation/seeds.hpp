// SPDX-License-Identifier: Apache-2.0
//
// What every simulation program does around its runs: the command line, a run for each seed, and
// what is printed. A Run has a constructor of seed and shards, execute(steps, crashes), whose
// exception is a failure, and summary(). A seed decides everything: the command that a failure
// prints repeats it.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <exception>
#include <iostream>
#include <memory>
#include <string>

namespace harrier::simulation {

struct SeedOptions {
  std::uint64_t first = 1;
  std::uint64_t last = 1;
  unsigned shards = 2;
  std::uint64_t steps = 0;
  std::uint64_t crashes = 0;  // at random moments of each run
};

// `steps`: when the command line does not say. Throws std::runtime_error for what it cannot read.
SeedOptions parse_seed_options(int argc, char** argv, std::uint64_t steps);
// The command that repeats one seed.
std::string repeat_command(const char* program, std::uint64_t seed, const SeedOptions& options);

template <class Run>
bool run_seed(std::uint64_t seed, const SeedOptions& options, const char* program) {
  std::unique_ptr<Run> run;
  try {
    run = std::make_unique<Run>(seed, options.shards);
    run->execute(options.steps, options.crashes);
  } catch (const std::exception& error) {
    std::cerr << "seed " << seed << ": " << error.what() << '\n';
    if (run) std::cerr << "  (" << run->summary() << ")\n";
    std::cerr << "  again: " << repeat_command(program, seed, options) << '\n';
    return false;
  }
  if (options.first == options.last) std::cout << "seed " << seed << ": " << run->summary() << '\n';
  return true;
}

// The whole program; its exit status.
template <class Run>
int run_seeds(int argc, char** argv, std::uint64_t steps) {
  try {
    const SeedOptions options = parse_seed_options(argc, argv, steps);
    std::uint64_t failed = 0;
    for (std::uint64_t seed = options.first; seed <= options.last; ++seed) {
      if (!run_seed<Run>(seed, options, argv[0])) ++failed;
    }
    std::cout << options.last - options.first + 1 << " seeds on " << options.shards << " shards, "
              << failed << " failed\n";
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
  } catch (const std::exception& error) {
    std::cerr << argv[0] << ": " << error.what() << '\n';
    return EXIT_FAILURE;
  }
}

}  // namespace harrier::simulation
