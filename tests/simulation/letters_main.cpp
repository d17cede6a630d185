// SPDX-License-Identifier: Apache-2.0
//
// simulation_letters [--seed N | --from N --to M] [--shards S] [--steps K] [--crashes C]
//
// A whole broker without sockets, threads or clocks, as in simulation.cpp, whose messages die: see
// letters.hpp and letter_client.hpp. A seed decides everything, so a failure is repeated by the
// command that it prints.
#include <algorithm>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "tests/simulation/ledger.hpp"
#include "tests/simulation/letter_client.hpp"
#include "tests/simulation/seeds.hpp"

namespace {

using namespace harrier;              // NOLINT: a program of one file
using namespace harrier::simulation;  // NOLINT

using Kind = LetterClient::Kind;

constexpr std::size_t kClientsMax = 5;
constexpr unsigned kShardsAfterCrashMax = 4;

class Run {
 public:
  Run(std::uint64_t seed, unsigned shards) : dice_(seed), world_(dice_, shards), letters_(dice_) {}

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
    end_all_lives();
    drain();
  }

  std::string summary() const { return letters_.summary(); }

 private:
  void add_client(Kind kind) {
    clients_.push_back(std::make_unique<LetterClient>(world_, letters_, dice_, kind));
  }

  void step() {
    if (clients_.size() < kClientsMax && dice_.chance(3)) add_client(Kind::Random);
    if (!clients_.empty() && dice_.chance(40)) {
      LetterClient& client = *clients_[dice_.below(clients_.size())];
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
    letters_.check_at_rest(contents(), world_.queues());
  }

  void cut_all() {
    for (const auto& each : clients_) each->cut();
    clients_.clear();
  }

  void crash() {
    cut_all();
    world_.crash(dice_.chance(70) ? world_.shards()
                                  : static_cast<unsigned>(dice_.between(1, kShardsAfterCrashMax)));
    letters_.crashed(contents(), world_.queues());
    come_to_rest();
  }

  Letters::Contents contents() {
    Letters::Contents found;
    const auto infos = world_.queues();
    for (const persistence::RecoveredQueue& queue : world_.vault().recover().queues) {
      const auto id = static_cast<std::uint64_t>(queue.queue);
      const auto info = std::ranges::find_if(
          infos, [id](const auto& each) { return static_cast<std::uint64_t>(each.id) == id; });
      require(info != infos.end(), "a queue has gone, but is stored");
      for (QueueIndex index = 0; index < kQueues; ++index) {
        if (letters_.queue(index).name != info->name) continue;
        require(!queue.next, "a recovered head is incomplete");
        for (const persistence::StoredMessage& stored : queue.head)
          found[index].push_back(Ledger::read_body(stored.message->body()));
      }
    }
    return found;
  }

  // Nobody is there any more, and the clock goes on until nothing lives that lives for a time only.
  void end_all_lives() {
    cut_all();
    settle();
    bool all_dead = false;
    for (int turn = 0; turn < 100 && !all_dead; ++turn) {
      world_.pass(kLivesEndMs);
      settle();
      all_dead = true;
      for (const broker::QueueInfo& info : world_.queues()) {
        const bool ends = letters_.is_for_a_time(info.name);
        all_dead = all_dead && (!ends || info.messages_ready == 0);
      }
    }
    require(all_dead, "messages outlive their time");
    come_to_rest();
  }

  void drain() {
    add_client(Kind::Drain);
    come_to_rest();
    for (const broker::QueueInfo& info : world_.queues())
      require(info.messages_ready == 0, info.name + " does not give out what it has");
    for (const auto& messages : contents())
      require(messages.empty(), "all is delivered, but not out of the store");
    require(world_.vault().nothing_paged_out(), "the store still has what was paged out");
  }

  Dice dice_;
  World world_;
  Letters letters_;
  std::vector<std::unique_ptr<LetterClient>> clients_;
};

}  // namespace

int main(int argc, char** argv) { return run_seeds<Run>(argc, argv, 6'000); }
