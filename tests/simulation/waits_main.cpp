// SPDX-License-Identifier: Apache-2.0
//
// simulation_waits [--seed N | --from N --to M] [--shards S] [--steps K] [--crashes C]
//
// A whole broker without sockets, threads or clocks, as in simulation.cpp, whose messages wait: see
// waits.hpp and wait_client.hpp. A seed decides everything, so a failure is repeated by the
// command that it prints.
#include <algorithm>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "tests/simulation/ledger.hpp"
#include "tests/simulation/seeds.hpp"
#include "tests/simulation/wait_client.hpp"

namespace {

using namespace harrier;              // NOLINT: a program of one file
using namespace harrier::simulation;  // NOLINT

using Kind = WaitClient::Kind;

constexpr std::size_t kClientsMax = 5;
constexpr unsigned kShardsAfterCrashMax = 4;

class Run {
 public:
  Run(std::uint64_t seed, unsigned shards) : dice_(seed), world_(dice_, shards) {}

  void execute(std::uint64_t steps, std::uint64_t crashes) {
    add_client(Kind::Declarer);
    come_to_rest();
    std::set<std::uint64_t> moments;
    for (; crashes > 0; --crashes) moments.insert(dice_.below(steps));
    for (std::uint64_t i = 0; i < steps; ++i) {
      if (moments.contains(i)) crash();
      step();
      if (i % 1'500 == 1'499) come_to_rest();
    }
    come_to_rest();
    cut_all();
    drain();
  }

  std::string summary() const { return waits_.summary(); }

 private:
  void add_client(Kind kind) {
    clients_.push_back(std::make_unique<WaitClient>(world_, waits_, dice_, kind));
  }

  void step() {
    if (clients_.size() < kClientsMax && dice_.chance(3)) add_client(Kind::Random);
    if (!clients_.empty() && dice_.chance(40)) {
      WaitClient& client = *clients_[dice_.below(clients_.size())];
      client.read(dice_.chance(50) ? dice_.between(1, 200) : 20'000);
      if (dice_.chance(50)) client.act();
      std::erase_if(clients_, [](const auto& each) { return each->gone(); });
    }
    world_.step();
  }

  void settle() {
    world_.settle([this] {
      for (const auto& each : clients_) each->read(~std::size_t{0});
    });
  }

  void come_to_rest() {
    settle();
    for (const auto& each : clients_) each->check_at_rest();
    waits_.check_at_rest(world_.queues(), world_.now());
  }

  void cut_all() {
    for (const auto& each : clients_) each->cut();
    clients_.clear();
  }

  void crash() {
    cut_all();
    world_.crash(dice_.chance(70) ? world_.shards()
                                  : static_cast<unsigned>(dice_.between(1, kShardsAfterCrashMax)));
    waits_.crashed(world_.now());
    come_to_rest();
  }

  // Until nothing waits any more and nobody has anything.
  void drain() {
    come_to_rest();
    add_client(Kind::Drain);
    bool empty = false;
    for (int turn = 0; turn < 100 && !empty; ++turn) {
      world_.pass(kDelayMaxMs);
      come_to_rest();
      empty = std::ranges::all_of(world_.queues(), [](const broker::QueueInfo& info) {
        return info.messages_ready + info.messages_unacknowledged + info.messages_delayed == 0;
      });
    }
    require(empty, "messages wait for ever");
    for (const persistence::RecoveredQueue& queue : world_.vault().recover().queues)
      require(queue.messages == 0, "all is delivered, but not out of the store");
    require(world_.vault().nothing_paged_out(), "the store still has what was paged out");
    waits_.check_at_end();
  }

  Dice dice_;
  World world_;
  Waits waits_;
  std::vector<std::unique_ptr<WaitClient>> clients_;
};

}  // namespace

int main(int argc, char** argv) { return run_seeds<Run>(argc, argv, 6'000); }
