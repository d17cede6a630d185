// SPDX-License-Identifier: Apache-2.0
//
// Dice: every choice of a simulation, from one seed, so that a seed replays the same run on every
// machine (the standard's distributions may differ between libraries, its engines may not).
// Violation: what a run throws when an invariant does not hold.
#pragma once

#include <cstdint>
#include <random>
#include <stdexcept>
#include <string>

namespace harrier::simulation {

class Dice {
 public:
  explicit Dice(std::uint64_t seed) : engine_(seed) {}

  std::size_t below(std::size_t bound) { return bound == 0 ? 0 : engine_() % bound; }
  std::size_t between(std::size_t low, std::size_t high) { return low + below(high - low + 1); }
  bool chance(std::size_t percent) { return below(100) < percent; }

 private:
  std::mt19937_64 engine_;
};

class Violation : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

inline void require(bool condition, const std::string& text) {
  if (!condition) throw Violation(text);
}

}  // namespace harrier::simulation
