// SPDX-License-Identifier: Apache-2.0
//
// The clients that load the broker during a round. Each has a connection of its own and lives until
// the broker is killed; step() is called whenever the sockets have been looked at, and sends what
// there is to send. All on the test's only thread. Before a stop in good order every actor is told
// to come to rest, and finish() makes the broker count what it was told.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "tests/crash/client.hpp"
#include "tests/crash/ledger.hpp"
#include "tests/crash/unconfirmed.hpp"

namespace harrier::crash_tests {

class Dice {
 public:
  explicit Dice(std::uint64_t seed) : random_(seed) {}
  std::uint64_t below(std::uint64_t bound) { return random_() % bound; }
  bool one_in(std::uint64_t count) { return below(count) == 0; }
  std::uint32_t body_size();  // 16 B to 100 KiB, mostly small, now and then 3 MiB

 private:
  std::mt19937_64 random_;
};

struct World {
  Ledger& ledger;
  Dice& dice;
  std::uint16_t port = 0;
  bool spare = false;  // the broker is not killed, so what is transient stays: do without
};

class Actor {
 public:
  explicit Actor(World& world);
  virtual ~Actor() = default;
  Actor(const Actor&) = delete;
  Actor& operator=(const Actor&) = delete;

  virtual void step() {}
  virtual bool at_rest() const { return true; }  // nothing asked and unanswered
  virtual void finish() {}
  void rest() { resting_ = true; }
  Client& client() { return client_; }

 protected:
  virtual void on_method(const protocol::Method& method, const Content& content) = 0;
  bool may_send() const;  // not resting, and the socket takes what it is given

  World& world_;
  Client client_;
  bool resting_ = false;
};

// Publishes to one queue, or through a fan-out to several, with at most `window` unconfirmed.
class Publisher final : public Actor {
 public:
  Publisher(World& world, std::uint32_t id, std::vector<Queue*> queues, std::size_t window);
  void step() override;
  bool at_rest() const override { return unconfirmed_.empty(); }

 private:
  void publish();
  void on_method(const protocol::Method& method, const Content& content) override;

  std::uint32_t id_;
  std::vector<Queue*> queues_;
  std::size_t window_;
  Unconfirmed unconfirmed_;
};

// Acknowledges one by one or many at once, rejects some, gives some back.
class Consumer final : public Actor {
 public:
  Consumer(World& world, Queue& queue);
  void finish() override;  // the queue has been counted after our last ack

 private:
  void on_method(const protocol::Method& method, const Content& content) override;
  void act();
  void settle(bool multiple);
  void reject();
  void give_back();

  Queue& queue_;
  std::uint16_t prefetch_ = 1;
  std::size_t batch_ = 1;
  std::deque<std::pair<std::uint64_t, MessageKey>> held_;  // delivery tag first
  std::map<std::uint32_t, std::uint64_t> last_fresh_;      // number, by publisher
};

// Gets, publishes and acknowledges over several queues in one transaction after the other.
class Transactor final : public Actor {
 public:
  Transactor(World& world, std::uint32_t id, std::vector<Queue*> queues);
  void step() override;
  bool at_rest() const override { return state_ == State::Idle; }
  void finish() override;

 private:
  enum class State : std::uint8_t { Idle, Getting, Committing, RollingBack };
  void on_method(const protocol::Method& method, const Content& content) override;
  void got_one();
  void publish_and_end();

  std::uint32_t id_;
  std::vector<Queue*> queues_;
  State state_ = State::Idle;
  std::deque<Queue*> gets_;  // unanswered, in order
  struct Held {
    std::uint64_t tag = 0;
    Queue* queue = nullptr;
    MessageKey key;
  };
  std::vector<Held> held_;
  GroupId group_ = 0;
};

// Fills a queue of its own, waits for the confirms, and purges it.
class Purger final : public Actor {
 public:
  Purger(World& world, std::uint32_t id, Queue& queue);
  void step() override;
  bool at_rest() const override { return unconfirmed_ == 0 && !purging_; }

 private:
  void on_method(const protocol::Method& method, const Content& content) override;

  std::uint32_t id_;
  Queue& queue_;
  std::uint64_t sequence_ = 0;
  std::vector<MessageKey> published_;  // by sequence number, from 1
  std::size_t unconfirmed_ = 0;
  std::uint64_t confirmed_through_ = 0;
  bool purging_ = false;
  std::pair<std::uint64_t, std::uint64_t> bounds_;
};

}  // namespace harrier::crash_tests
