// SPDX-License-Identifier: Apache-2.0
//
// The contract of MessageStore as tests: persistence/message_store.hpp in executable form. A store
// joins by instantiating StoreContract with a way to make it and to restart it
// (stores_under_contract.cpp). One harness per test, owned by it.
#pragma once

#include <functional>
#include <memory>
#include <ostream>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "persistence/message_store.hpp"

namespace harrier::store_tests {

class StoreHarness {
 public:
  virtual ~StoreHarness() = default;
  virtual persistence::MessageStore& store() = 0;
  // The broker stops and starts again; references to the store of before are void. All dones have
  // been called.
  virtual void reopen() = 0;
};

struct StoreUnderContract {
  std::string name;
  std::function<std::unique_ptr<StoreHarness>()> make;
};
inline std::ostream& operator<<(std::ostream& out, const StoreUnderContract& store) {
  return out << store.name;
}

class StoreContract : public testing::TestWithParam<StoreUnderContract> {
 protected:
  persistence::MessageStore& store() { return harness_->store(); }
  void reopen() { harness_->reopen(); }
  // Commits and waits until the batch is durable.
  void commit(persistence::WriteBatch batch);
  void page_out(std::uint64_t queue, std::vector<persistence::StoredMessage> messages);
  persistence::Fetched fetch(std::uint64_t queue, persistence::Seq from, std::size_t bytes_max);

 private:
  std::unique_ptr<StoreHarness> harness_ = GetParam().make();
};

}  // namespace harrier::store_tests
