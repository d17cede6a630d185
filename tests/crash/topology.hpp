// SPDX-License-Identifier: Apache-2.0
//
// Definitions under test: durable queues, exchanges and bindings that one client makes and removes
// all the time, and what their answers promised. Topology is the ledger of that, kept over all
// rounds; Builder is the actor. After a restart check() looks at every one of them; what was asked
// and not answered may be either way, and is then what it is. Only thread of the test.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "tests/crash/actors.hpp"

namespace harrier::crash_tests {

enum class Known : std::uint8_t { Absent, Present, Unknown };

class Topology {
 public:
  static constexpr int kQueues = 5;
  static constexpr int kExchanges = 3;

  std::map<int, Known> queues, exchanges;
  std::map<std::pair<int, int>, Known> bindings;  // exchange, queue

  // Everything that a change touches, now and with what its answer has told.
  void queue_becomes(int queue, Known known);
  void exchange_becomes(int exchange, Known known);
};

// Asks the broker for all of them and compares; also that what was not durable is gone.
void check_topology(World& world, Topology& topology);

class Builder final : public Actor {
 public:
  Builder(World& world, Topology& topology);
  void step() override;
  bool at_rest() const override { return !change_; }

 private:
  struct Change {
    enum class What : std::uint8_t { Queue, Exchange, Binding } what = What::Queue;
    bool make = true;
    int exchange = 0;
    int queue = 0;
  };
  void on_method(const protocol::Method& method, const Content& content) override;
  void note(const Change& change, Known known);
  void send(const Change& change);

  Topology& topology_;
  std::optional<Change> change_;  // unanswered
};

}  // namespace harrier::crash_tests
