// SPDX-License-Identifier: Apache-2.0
#include "tests/crash/power/make_store.hpp"

#include <stdexcept>

#include "tests/crash/power/toy_store.hpp"

namespace harrier::power {

std::unique_ptr<persistence::MessageStore> make_store(const std::string& name,
                                                      const std::string& directory) {
  if (name == "toy") return std::make_unique<ToyStore>(directory, Flaw::None);
  if (name == "toy-no-flush") return std::make_unique<ToyStore>(directory, Flaw::NoFlush);
  if (name == "toy-no-directory-flush") {
    return std::make_unique<ToyStore>(directory, Flaw::NoDirectoryFlush);
  }
  if (name == "toy-no-checksum") return std::make_unique<ToyStore>(directory, Flaw::NoChecksum);
  throw std::invalid_argument("no store is called " + name);
}

}  // namespace harrier::power
