// SPDX-License-Identifier: Apache-2.0
//
// The workload of the power test: steps, each one batch or the parts of a joined transaction, the
// same for the same seed. A store must come back with the effect of a prefix of them. drive() runs
// in the recorded process, everything else in the one that builds the images; single-threaded both,
// except that dones come from where the store likes.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "persistence/write_batch.hpp"

namespace harrier::power {

using Step = std::vector<persistence::WriteBatch>;

std::vector<Step> make_steps(std::uint64_t seed, std::size_t count);

// What a store holds after each prefix, as text: [0] is the empty store.
class Prefixes {
 public:
  explicit Prefixes(std::vector<Step> steps);
  // The longest prefix with these contents; -1: there is none.
  long find(const std::string& contents) const;
  std::string text(std::size_t prefix) const;

 private:
  std::vector<Step> steps_;
  std::vector<std::size_t> hashes_;
};

struct Drive {
  std::string store;
  std::string directory;
  std::uint64_t seed = 0;
  std::size_t first = 0;  // steps that the directory holds already
  std::size_t end = 0;    // one behind the last step to do
  std::size_t lives = 1;  // how often the store is opened meanwhile
};
// Commits the steps and marks in the log how many are confirmed. Throws if the store fails.
void drive(const Drive& drive);

}  // namespace harrier::power
