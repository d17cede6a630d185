// SPDX-License-Identifier: Apache-2.0
//
// RouteCache: the queues that (exchange, routing key) led to, valid for one version of one
// topology. Bounded in entries, in ids per entry and in bytes per key, so that no peer makes it
// grow; what does not fit is computed each time. Belongs to one router. A hit allocates nothing.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "routing/topology.hpp"

namespace harrier::routing {

class RouteCache {
 public:
  struct Key {
    Key(std::uint64_t key_registry, std::uint64_t key_version, ExchangeId key_exchange,
        std::string_view key);
    std::uint64_t registry;
    std::uint64_t version;
    ExchangeId exchange;
    std::string_view routing_key;
    std::uint64_t hash;
  };

  // False for most keys while hardly any is found: with tens of thousands of keys in use, asking
  // and storing only cost.
  bool worth_asking() { return !cold_ || (++passed_ & (kSample - 1)) == 0; }

  // Valid until the next store(); null if unknown.
  const std::vector<QueueId>* find(const Key& key);
  void store(const Key& key, const std::vector<QueueId>& queues);

 private:
  struct Entry {
    std::uint64_t registry = 0;  // 0: free
    std::uint64_t version = 0;
    std::uint64_t hash = 0;
    ExchangeId exchange{};
    std::string routing_key;
    std::vector<QueueId> queues;
    bool holds(const Key& key) const;
  };

  static constexpr std::uint32_t kSample = 8;  // one in so many is asked for while it is cold

  static std::size_t first_way(const Key& key);
  void count(bool hit);

  std::vector<Entry> entries_;  // sets of two ways; made with the first store
  std::size_t evict_ = 0;
  std::uint32_t asked_ = 0;  // in this window
  std::uint32_t hits_ = 0;
  std::uint32_t passed_ = 0;
  bool cold_ = false;  // after the window before
};

}  // namespace harrier::routing
