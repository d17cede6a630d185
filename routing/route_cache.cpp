// SPDX-License-Identifier: Apache-2.0
#include "routing/route_cache.hpp"

#include "routing/text.hpp"

namespace harrier::routing {
namespace {

constexpr std::size_t kSets = 2048;  // a power of two
constexpr std::size_t kWays = 2;     // two hot keys of one set do not chase each other away
// With more destinations, copying them out costs as much as matching; 8 MiB at most for all
// entries.
constexpr std::size_t kQueuesPerEntryMax = 256;

constexpr std::uint32_t kWindow = 1024;  // keys asked for
constexpr std::uint32_t kHitsMin = kWindow / 16;

}  // namespace

RouteCache::Key::Key(std::uint64_t key_registry, std::uint64_t key_version, ExchangeId key_exchange,
                     std::string_view key)
    : registry(key_registry),
      version(key_version),
      exchange(key_exchange),
      routing_key(key),
      hash(hash_text(key, registry << 32 ^ static_cast<std::uint64_t>(exchange))) {}

bool RouteCache::Entry::holds(const Key& key) const {
  return hash == key.hash && version == key.version && exchange == key.exchange &&
         registry == key.registry && routing_key == key.routing_key;
}

std::size_t RouteCache::first_way(const Key& key) { return (key.hash & (kSets - 1)) * kWays; }

void RouteCache::count(bool hit) {
  hits_ += hit ? 1 : 0;
  if (++asked_ < kWindow) return;
  cold_ = hits_ < kHitsMin;
  asked_ = hits_ = 0;
}

const std::vector<QueueId>* RouteCache::find(const Key& key) {
  const std::vector<QueueId>* found = nullptr;
  if (!entries_.empty()) {
    const std::size_t first = first_way(key);
    for (std::size_t way = first; way < first + kWays; ++way) {
      if (entries_[way].holds(key)) found = &entries_[way].queues;
    }
  }
  count(found != nullptr);
  return found;
}

void RouteCache::store(const Key& key, const std::vector<QueueId>& queues) {
  if (queues.size() > kQueuesPerEntryMax) return;
  if (entries_.empty()) entries_.resize(kSets * kWays);
  const std::size_t first = first_way(key);
  const auto is_stale = [&](const Entry& entry) {
    return entry.registry != key.registry || entry.version != key.version;
  };
  std::size_t chosen = first + (evict_++ & (kWays - 1));
  if (is_stale(entries_[first])) {
    chosen = first;
  } else if (is_stale(entries_[first + 1])) {
    chosen = first + 1;
  }
  Entry& entry = entries_[chosen];
  entry.registry = key.registry;
  entry.version = key.version;
  entry.hash = key.hash;
  entry.exchange = key.exchange;
  entry.routing_key = key.routing_key;
  entry.queues = queues;
}

}  // namespace harrier::routing
