// SPDX-License-Identifier: Apache-2.0
#include "tests/simulation/seeds.hpp"

#include <stdexcept>
#include <string_view>

#include "broker/core/ids.hpp"

namespace harrier::simulation {

SeedOptions parse_seed_options(int argc, char** argv, std::uint64_t steps) {
  SeedOptions options;
  options.steps = steps;
  for (int i = 1; i < argc; ++i) {
    const std::string_view word = argv[i];
    if (i + 1 == argc) throw std::runtime_error(std::string(word) + " needs a number");
    const std::uint64_t number = std::stoull(argv[++i]);
    if (word == "--seed") {
      options.first = options.last = number;
    } else if (word == "--from") {
      options.first = number;
    } else if (word == "--to") {
      options.last = number;
    } else if (word == "--shards" && number >= 1 && number <= broker::kShardsMax) {
      options.shards = static_cast<unsigned>(number);
    } else if (word == "--steps") {
      options.steps = number;
    } else if (word == "--crashes") {
      options.crashes = number;
    } else {
      throw std::runtime_error("what is " + std::string(word) + " " + argv[i] + "?");
    }
  }
  return options;
}

std::string repeat_command(const char* program, std::uint64_t seed, const SeedOptions& options) {
  return std::string(program) + " --seed " + std::to_string(seed) + " --shards " +
         std::to_string(options.shards) + " --steps " + std::to_string(options.steps) +
         " --crashes " + std::to_string(options.crashes);
}

}  // namespace harrier::simulation
