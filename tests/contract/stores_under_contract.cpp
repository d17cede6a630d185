// SPDX-License-Identifier: Apache-2.0
//
// Which stores must keep the contract.
#include <thread>

#include "persistence/memory_store.hpp"
#include "tests/contract/faulty_store.hpp"
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

template <class Harness>
StoreUnderContract store_of(std::string name) {
  return {std::move(name), [] { return std::make_unique<Harness>(); }};
}

INSTANTIATE_TEST_SUITE_P(Stores, StoreContract,
                         testing::Values(store_of<MemoryHarness>("memory"),
                                         store_of<DelayedHarness>("delayed")),
                         [](const auto& store) { return store.param.name; });

}  // namespace
}  // namespace harrier::store_tests
