// SPDX-License-Identifier: Apache-2.0
//
// Readers on other threads route against new and old snapshots while the owner changes the
// registry: what the thread sanitizer is to look at. Every snapshot is published with what it must
// answer.
#include <atomic>
#include <latch>
#include <memory>
#include <mutex>
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "tests/unit/routing/fixture.hpp"

namespace harrier::routing_tests {
namespace {

struct Published {
  routing::TopologyPtr topology;
  Names direct;  // expected for key "k" of each exchange
  Names topic;
  Names fanout;
};

class Channel {
 public:
  void publish(Published next) {
    const std::lock_guard lock(mutex_);
    newest_ = std::make_shared<const Published>(std::move(next));
  }
  std::shared_ptr<const Published> newest() {
    const std::lock_guard lock(mutex_);
    return newest_;
  }

 private:
  std::mutex mutex_;
  std::shared_ptr<const Published> newest_;
};

class Reader {
 public:
  Reader(Channel& channel, std::latch& started, const std::atomic<bool>& stop, unsigned seed)
      : thread_([this, &channel, &started, &stop, seed] { run(channel, started, stop, seed); }) {}
  std::uint64_t join() {
    thread_.join();
    return wrong_;
  }

 private:
  void run(Channel& channel, std::latch& started, const std::atomic<bool>& stop, unsigned seed) {
    routing::Router router;
    check(router, *channel.newest());
    started.count_down();
    std::mt19937 random(seed);
    std::vector<std::shared_ptr<const Published>> kept;
    while (!stop) {
      kept.push_back(channel.newest());
      check(router, *kept.back());
      check(router, *kept[random() % kept.size()]);
      // Letting go of versions here makes nodes the writer's own again, on another thread.
      if (kept.size() > 8) kept.erase(kept.begin() + static_cast<long>(random() % kept.size()));
    }
  }
  void check(routing::Router& router, const Published& expected) {
    const routing::Topology& topology = *expected.topology;
    if (route_on(router, topology, "amq.direct", "k") != expected.direct) ++wrong_;
    if (route_on(router, topology, "amq.topic", "a.b.k") != expected.topic) ++wrong_;
    if (route_on(router, topology, "amq.topic", "a.b.k", {"a.b.k"}) != expected.topic) ++wrong_;
    if (route_on(router, topology, "amq.fanout", "k") != expected.fanout) ++wrong_;
  }

  std::uint64_t wrong_ = 0;
  std::thread thread_;
};

TEST(Threads, ReadersSeeWholeSnapshotsWhileTheOwnerChangesThem) {
  constexpr int kQueues = 20;
  constexpr int kChanges = 1500;
  Broker broker;
  Published state;
  std::vector<bool> bound(kQueues, false);
  Channel channel;
  for (int i = 0; i < kQueues; ++i) broker.queue("q" + std::to_string(i));
  // Ballast, so that paths through the maps are deep and shared.
  for (int i = 0; i < 500; ++i) {
    broker.bind("amq.topic", "q0", "a.b.other" + std::to_string(i) + ".#");
    broker.bind("amq.direct", "q0", "other" + std::to_string(i));
  }
  state.topology = broker.registry.snapshot();
  channel.publish(state);

  constexpr unsigned kReaders = 3;
  std::atomic<bool> stop{false};
  std::latch started(kReaders);
  std::vector<std::unique_ptr<Reader>> readers;
  for (unsigned seed = 0; seed < kReaders; ++seed) {
    readers.push_back(std::make_unique<Reader>(channel, started, stop, seed));
  }
  started.wait();
  std::mt19937 random(1);
  for (int change = 0; change < kChanges; ++change) {
    const auto i = random() % kQueues;
    const std::string queue = "q" + std::to_string(i);
    const std::string pattern = i % 3 == 0 ? "a.*.k" : i % 3 == 1 ? "#.k" : "a.b.k";
    for (const auto& [exchange, key] : {std::pair<std::string, std::string>("amq.direct", "k"),
                                        {"amq.topic", pattern},
                                        {"amq.fanout", ""}}) {
      if (bound[i]) {
        broker.unbind(exchange, queue, key);
      } else {
        broker.bind(exchange, queue, key);
      }
    }
    bound[i] = !bound[i];
    Names names;
    for (std::size_t q = 0; q < kQueues; ++q) {
      if (bound[q]) names.push_back("q" + std::to_string(q));
    }
    std::sort(names.begin(), names.end());
    state = {broker.registry.snapshot(), names, names, names};
    channel.publish(state);
  }
  stop = true;
  for (const auto& reader : readers) EXPECT_EQ(reader->join(), 0U);
}

}  // namespace
}  // namespace harrier::routing_tests
