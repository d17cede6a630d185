// SPDX-License-Identifier: Apache-2.0
#include "persistence/fold_journal.hpp"

#include <memory>

#include "persistence/lmdb_store.hpp"

namespace harrier::persistence {
namespace {

// Of the segment that stays. The next start makes one of full size.
constexpr std::uint64_t kSegmentBytes = std::uint64_t{16} * 4096;

}  // namespace

Status fold_journal(const std::string& directory) {
  Status failure;  // of the last checkpoint
  StoreSettings settings;
  settings.directory = directory;
  settings.segment_bytes = kSegmentBytes;
  settings.delivers = false;
  settings.on_failed = [&failure](const Status& status) { failure = status; };
  std::unique_ptr<LmdbStore> store;
  if (Status status = LmdbStore::open(settings, store); !status.ok()) return status;
  store.reset();
  return failure;
}

}  // namespace harrier::persistence
