// SPDX-License-Identifier: Apache-2.0
#include "tests/crash/power/make_store.hpp"

#include <stdexcept>

#include "persistence/lmdb_store.hpp"
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
  if (name == "real") {
    persistence::StoreSettings settings;
    settings.directory = directory;
    // Small, so that a short workload sees segments change hands and many checkpoints.
    settings.segment_bytes = 64 * 1024;
    settings.map_bytes = std::uint64_t{1} << 30;
    settings.checkpoint_interval = std::chrono::milliseconds(5);
    settings.checkpoint_bytes = 128 * 1024;
    settings.checkpoint_slice_bytes = 4 * 1024;
    std::unique_ptr<persistence::LmdbStore> store;
    const persistence::Status status = persistence::LmdbStore::open(settings, store);
    if (!status.ok()) throw std::runtime_error(status.error());
    return store;
  }
  throw std::invalid_argument("no store is called " + name);
}

}  // namespace harrier::power
