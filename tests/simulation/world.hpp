// SPDX-License-Identifier: Apache-2.0
//
// World: the engines of a broker, the mailboxes between them, the clock and the byte pipes of its
// connections, stepped on one thread in an order that the dice choose. It does what the runtime's
// shards and sockets do and keeps their promises: what creates queues is pushed before all else,
// pushes to one mailbox stay in order, mail is read before input, mailboxes come before sockets.
// Between any two pushes of one shard the others may run, as they may on other cores. What is to be
// kept becomes durable later, at any time, in order for each shard and in any order between them;
// what is fetched comes later, too.
#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "broker/core/engine.hpp"
#include "tests/simulation/dice.hpp"
#include "tests/simulation/vault.hpp"

namespace harrier::simulation {

using Bytes = std::vector<std::uint8_t>;

// One TCP connection: the client's end writes to_broker and reads to_client.
struct Link {
  broker::ConnectionId id{};
  broker::Session* session = nullptr;  // null once the broker has forgotten it
  Bytes to_broker;
  Bytes pending;  // read from the pipe, not yet used up by the session
  Bytes to_client;
  bool cut = false;     // the client's end is gone
  bool closed = false;  // the broker's end has said all it had to say
  bool told = false;    // the session knows
};
using LinkPtr = std::shared_ptr<Link>;

class World {
 public:
  World(Dice& dice, unsigned shards);

  LinkPtr connect();
  // One step of one shard.
  void step();
  void pass(broker::Millis ms) { now_ += ms; }
  broker::Millis now() const { return now_; }
  // Everything that is on its way arrives: full rounds of all shards and `pump`, which lets the
  // clients read, until nothing moves any more. Throws if that never happens, or if a session still
  // waits for somebody then.
  void settle(const std::function<void()>& pump);

  // The broker's process ends in the middle of everything and starts again, with this many shards,
  // from what is durable. Every connection is gone. In crash.cpp.
  void crash(unsigned shards);

  std::vector<broker::QueueInfo> queues() const;
  std::size_t sessions() const;
  // That queues keep no more in memory than they may; `relieved`: shards without consumers had time
  // to give up what is too much.
  void check_memory(bool relieved) const;
  bool has_queue(const std::string& name) const;
  // The definitions, the same on every shard when everything is at rest.
  routing::TopologyPtr topology();
  Vault& vault() { return vault_; }
  unsigned shards() const { return static_cast<unsigned>(shards_.size()); }

 private:
  struct Batch {
    broker::ShardId from = 0;
    std::vector<broker::ShardMessage> messages;
  };
  struct Push {
    broker::ShardId to = 0;
    Batch batch;
  };
  struct Shard {
    std::unique_ptr<broker::Engine> engine;
    std::deque<Batch> mailbox;
    std::deque<Push> outgoing;  // the turn's outboxes, on their way one by one
    bool finishing = false;     // inside the end of a turn
    std::vector<LinkPtr> links;
    std::size_t store_percent = 0;  // how often a step makes a batch durable
    std::size_t fetch_percent = 0;  // how often a step reads what was asked for
  };

  void start_engines(unsigned shards);
  void step(Shard& shard);
  bool make_durable(Shard& shard);
  bool fetch(Shard& shard);
  void read_mail(Shard& shard, std::size_t batches);
  void read_some(Shard& shard, Link& link, std::size_t size);
  void feed(Link& link);
  void end_turn(Shard& shard);
  void finish(Shard& shard);
  void flush(Shard& shard, Link& link, std::size_t size);
  void flush_dirty(Shard& shard);
  void notice_cut(Shard& shard, Link& link);
  void round(Shard& shard);
  bool at_rest() const;

  Dice& dice_;
  broker::CoreOptions options_;
  Vault vault_;
  broker::Millis now_ = 1'000;
  std::deque<Shard> shards_;
  bool slow_writes_ = true;
  std::size_t memory_percent_ = 0;  // how often it looks as if memory were short
};

}  // namespace harrier::simulation
