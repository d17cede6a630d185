// SPDX-License-Identifier: Apache-2.0
//
// simulation [--seed N | --from N --to M] [--shards S] [--steps K] [--crashes C]
//
// A whole broker without sockets, threads or clocks, under random clients; see world.hpp,
// client.hpp and ledger.hpp. A seed decides everything, so a failure is repeated by the command
// that it prints.
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "tests/simulation/audit.hpp"
#include "tests/simulation/client.hpp"
#include "tests/simulation/seeds.hpp"

namespace {

using namespace harrier;              // NOLINT: a program of one file
using namespace harrier::simulation;  // NOLINT

constexpr std::size_t kClientsMax = 6;
constexpr unsigned kShardsAfterCrashMax = 4;

class Run {
 public:
  Run(std::uint64_t seed, unsigned shards) : dice_(seed), world_(dice_, shards), ledger_(dice_) {}

  void execute(std::uint64_t steps, std::uint64_t crashes) {
    set_up();
    std::set<std::uint64_t> moments;
    for (; crashes > 0; --crashes) moments.insert(dice_.below(steps));
    for (std::uint64_t i = 0; i < steps; ++i) {
      if (moments.contains(i)) {
        if (dice_.chance(70)) await_commit();
        crash();
      }
      step();
      if (i % 2'000 == 1'999) come_to_rest();
    }
    come_to_rest();
    say_goodbye();
    drain();
  }

  std::string summary() {
    return std::to_string(ledger_.message_count()) + " messages, " +
           std::to_string(ledger_.confirm_count()) + " confirmed, " +
           std::to_string(ledger_.delivery_count()) + " deliveries, " +
           std::to_string(world_.vault().stored_count()) + " stored, " +
           std::to_string(world_.vault().paged_out_count()) + " paged out, " +
           std::to_string(world_.vault().fetch_count()) + " fetches";
  }

 private:
  void set_up() {
    add_client();
    settle();
    clients_[0]->declare_shared();
    settle();
    require(world_.queues().size() == shared_queues().size(), "not every queue was declared");
  }

  // A crash tells most while a transaction is on its way to the disk.
  void await_commit() {
    for (int i = 0; i < 3'000; ++i) {
      step();
      if (clients_.empty() || dice_.chance(90)) continue;
      if (clients_[dice_.below(clients_.size())]->commit_many()) break;
    }
    for (std::size_t i = dice_.below(400); i > 0; --i) step();
  }

  void crash() {
    ledger_.crashing();
    for (const auto& client : clients_) client->cut();
    clients_.clear();
    world_.crash(dice_.chance(70) ? world_.shards()
                                  : static_cast<unsigned>(dice_.between(1, kShardsAfterCrashMax)));
    ledger_.crashed(recovered(world_), world_.queues());
    add_client();
    settle();
    clients_[0]->declare_shared();
    come_to_rest();
  }

  void add_client() { clients_.push_back(std::make_unique<Client>(world_, ledger_, dice_)); }

  void step() {
    if (clients_.size() < kClientsMax && dice_.chance(2)) add_client();
    if (!clients_.empty() && dice_.chance(40)) {
      Client& client = *clients_[dice_.below(clients_.size())];
      client.read(dice_.chance(50) ? dice_.between(1, 200) : 20'000);
      if (dice_.chance(50)) client.act();
      std::erase_if(clients_, [](const auto& each) { return each->gone(); });
    }
    world_.step();
  }

  void settle() {
    world_.settle([this] {
      for (const auto& client : clients_) client->read(~std::size_t{0});
      std::erase_if(clients_, [](const auto& each) { return each->gone(); });
    });
  }

  void come_to_rest() {
    settle();
    const auto infos = world_.queues();
    for (const auto& client : clients_) client->check_at_rest(infos);
    ledger_.check_at_rest(infos);
    audit(world_, ledger_);
    world_.check_memory(false);
    require(world_.sessions() == clients_.size(), "a session outlives its connection");
    ledger_.rested();
    for (const auto& client : clients_) client->rested();
  }

  void say_goodbye() {
    for (const auto& client : clients_) dice_.chance(50) ? client->close() : client->cut();
    settle();
    require(clients_.empty(), "a client was not answered when it closed");
    require(world_.sessions() == 0, "a session outlives its connection");
    for (const broker::QueueInfo& info : world_.queues()) {
      require(info.messages_unacknowledged == 0,
              info.name + " has unacknowledged messages of nobody");
      require(info.consumers == 0, info.name + " has consumers of nobody");
      for (QueueNumber queue = 0; queue < ledger_.queue_count(); ++queue) {
        require(ledger_.queue_kind(queue) != QueueKind::Exclusive ||
                    ledger_.queue_name(queue) != info.name,
                "the exclusive queue " + info.name + " outlives its connection");
      }
    }
    ledger_.check_at_rest(world_.queues());
    for (int turn = 0; turn < 3; ++turn) settle();  // a second chance for each, and one to give up
    world_.check_memory(true);
  }

  void drain() {
    const StoredByQueue stored = audit(world_, ledger_);
    ledger_.watch_drain();
    add_client();
    settle();
    clients_[0]->open_drain();
    settle();
    for (QueueNumber next = 0; clients_[0]->drain_next(next);) settle();
    come_to_rest();
    for (const auto& [name, messages] : stored) ledger_.check_drained(name, messages);
    for (const auto& [name, messages] : audit(world_, ledger_))
      require(messages.empty(), name + " is empty, but not in the store");
    ledger_.check_at_end();
    require(world_.vault().nothing_paged_out(), "the store still has what was paged out");
  }

  Dice dice_;
  World world_;
  Ledger ledger_;
  std::vector<std::unique_ptr<Client>> clients_;
};

}  // namespace

int main(int argc, char** argv) { return run_seeds<Run>(argc, argv, 6'000); }
