// SPDX-License-Identifier: Apache-2.0
//
// Which stores must keep the contract.
#include <chrono>
#include <filesystem>
#include <stdexcept>
#include <thread>

#include "persistence/lmdb_store.hpp"
#include "persistence/memory_store.hpp"
#include "tests/contract/faulty_store.hpp"
#include "tests/contract/living_copy.hpp"
#include "tests/contract/store_contract.hpp"

namespace harrier::store_tests {
namespace {

// A restart keeps the object: it is all the durability that this store has.
class MemoryHarness final : public StoreHarness {
 public:
  persistence::MessageStore& store() override { return store_; }
  void reopen() override {}

 private:
  persistence::MemoryStore store_;
};

// Every done comes late and from another thread.
class DelayedHarness final : public StoreHarness {
 public:
  persistence::MessageStore& store() override { return faulty_; }
  void reopen() override { faulty_.crash(); }  // loses nothing: all is durable by now

 private:
  persistence::MemoryStore memory_;
  FaultyStore faulty_{memory_};
  std::jthread releasing_{[this](std::stop_token stop) {
    while (faulty_.await_pending(stop)) faulty_.release_next();
  }};
};

// The durable one, in a folder of its own.
class LmdbHarness : public StoreHarness {
 public:
  explicit LmdbHarness(std::chrono::milliseconds checkpoint_interval)
      : checkpoint_interval_(checkpoint_interval) {
    open();
  }
  ~LmdbHarness() override {
    store_.reset();
    std::filesystem::remove_all(root_);
  }
  persistence::MessageStore& store() override { return *store_; }
  void reopen() override {
    store_.reset();
    open();
  }

 protected:
  void open() {
    persistence::StoreSettings settings;
    settings.directory = root_ / std::to_string(life_);
    std::filesystem::create_directory(settings.directory);
    settings.segment_bytes = 64 * 1024;
    settings.map_bytes = 1 << 30;
    settings.checkpoint_interval = checkpoint_interval_;
    settings.checkpoint_bytes = 256 * 1024;
    settings.checkpoint_slice_bytes = 1024;
    const persistence::Status status = persistence::LmdbStore::open(settings, store_);
    if (!status.ok()) throw std::runtime_error(status.error());
  }
  static std::filesystem::path temporary_folder() {
    std::string name = std::filesystem::temp_directory_path() / "harrier-contract-XXXXXX";
    if (::mkdtemp(name.data()) == nullptr) throw std::runtime_error("mkdtemp");
    return name;
  }

  const std::chrono::milliseconds checkpoint_interval_;
  const std::filesystem::path root_ = temporary_folder();
  int life_ = 0;
  std::unique_ptr<persistence::LmdbStore> store_;
};

// Stopped in order, after a last checkpoint.
class StoppedHarness final : public LmdbHarness {
 public:
  StoppedHarness() : LmdbHarness(std::chrono::seconds(1)) {}
};

// A checkpoint whenever there is something to write.
class BusyHarness final : public LmdbHarness {
 public:
  BusyHarness() : LmdbHarness(std::chrono::milliseconds(0)) {}
};

// Killed: goes on with what the files hold at that moment. Only the journal has it: no checkpoint
// comes by itself.
class KilledHarness final : public LmdbHarness {
 public:
  KilledHarness() : LmdbHarness(std::chrono::hours(1)) {}
  void reopen() override {
    const std::filesystem::path before = root_ / std::to_string(life_++);
    copy_living(before, root_ / std::to_string(life_));
    store_.reset();
    open();
  }
};

template <class Harness>
StoreUnderContract store_of(std::string name) {
  return {std::move(name), [] { return std::make_unique<Harness>(); }};
}

INSTANTIATE_TEST_SUITE_P(Stores, StoreContract,
                         testing::Values(store_of<MemoryHarness>("memory"),
                                         store_of<DelayedHarness>("delayed"),
                                         store_of<StoppedHarness>("lmdb"),
                                         store_of<BusyHarness>("lmdb_busy"),
                                         store_of<KilledHarness>("lmdb_killed")),
                         [](const auto& store) { return store.param.name; });

}  // namespace
}  // namespace harrier::store_tests
