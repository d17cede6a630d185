// SPDX-License-Identifier: Apache-2.0
//
// stream_simulation [--seed N | --from N --to M] [--shards S] [--steps K] [--crashes C]
//
// As simulation, with one stream: an offset means the same message for ever, every reader sees all
// from where it began, in order, and nothing confirmed is lost; with a limit the front goes.
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "tests/simulation/seeds.hpp"
#include "tests/simulation/stream_client.hpp"

namespace {

using namespace harrier;              // NOLINT: a program of one file
using namespace harrier::simulation;  // NOLINT

constexpr std::size_t kClientsMax = 7;

class Run {
 public:
  Run(std::uint64_t seed, unsigned shards)
      : dice_(seed), world_(dice_, shards), history_(dice_.chance(30)) {}

  void execute(std::uint64_t steps, std::uint64_t crashes) {
    add_client(LogClient::Role::Declares);
    settle();
    require(world_.queues().size() == 1, "the stream was not declared");
    std::set<std::uint64_t> moments;
    for (; crashes > 0; --crashes) moments.insert(dice_.below(steps));
    for (std::uint64_t i = 0; i < steps; ++i) {
      if (moments.contains(i)) crash();
      step();
      if (i % 1'000 == 999) come_to_rest();
    }
    come_to_rest();
    read_all();
  }

  std::string summary() {
    return std::to_string(history_.message_count()) + " messages, " +
           std::to_string(history_.confirms) + " confirmed, " +
           std::to_string(history_.deliveries) + " deliveries, " +
           std::to_string(world_.vault().fetch_count()) + " fetches";
  }

 private:
  void add_client(LogClient::Role role) {
    clients_.push_back(std::make_unique<LogClient>(world_, history_, dice_, role, ++last_serial_));
  }
  LogClient::Role some_role() {
    if (dice_.chance(30)) return LogClient::Role::Confirms;
    return dice_.chance(30) ? LogClient::Role::Commits : LogClient::Role::Reads;
  }

  void step() {
    if (clients_.size() < kClientsMax && dice_.chance(3)) add_client(some_role());
    if (!clients_.empty() && dice_.chance(40)) {
      LogClient& client = *clients_[dice_.below(clients_.size())];
      client.read(dice_.chance(50) ? dice_.between(1, 200) : 20'000);
      if (dice_.chance(50)) client.act();
      forget_gone();
    }
    world_.step();
  }
  void forget_gone() {
    std::erase_if(clients_, [](const auto& each) { return each->gone(); });
  }
  void settle() {
    world_.settle([this] {
      for (const auto& client : clients_) client->read(~std::size_t{0});
    });
  }
  void crash() {
    for (const auto& client : clients_) client->cut();
    clients_.clear();
    world_.crash(dice_.chance(70) ? world_.shards() : static_cast<unsigned>(dice_.between(1, 4)));
  }

  std::pair<std::uint64_t, std::uint64_t> extent() {
    const auto infos = world_.queues();
    require(infos.size() == 1, "the stream has gone");
    const broker::QueueInfo& info = infos.front();
    return {info.messages_published - info.messages_ready, info.messages_ready};
  }

  void come_to_rest() {
    settle();
    const auto [first, count] = extent();
    for (const auto& client : clients_) client->check_at_rest(first, count);
    require(world_.sessions() == clients_.size(), "a session outlives its connection");
    world_.check_memory(false);
  }

  void read_all() {
    for (const auto& client : clients_) client->cut();
    clients_.clear();
    settle();
    const auto [first, count] = extent();
    require(history_.retains() || first == 0, "messages have gone without a limit");
    add_client(LogClient::Role::ReadsAll);
    for (std::uint64_t i = 0; i <= count + 1; ++i) {
      settle();
      clients_.front()->act();
    }
    come_to_rest();
    history_.check_at_end(first, count);
  }

  Dice dice_;
  World world_;
  StreamHistory history_;
  std::vector<std::unique_ptr<LogClient>> clients_;
  std::uint64_t last_serial_ = 0;
};

}  // namespace

int main(int argc, char** argv) { return run_seeds<Run>(argc, argv, 4'000); }
