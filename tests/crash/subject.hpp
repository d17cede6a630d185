// SPDX-License-Identifier: Apache-2.0
//
// Subject: one kind of thing under test that the ledger of queues does not fit, with an oracle of
// its own. Owned by the test, kept over all rounds, used on its only thread. It is told what
// happens to the broker, puts actors on the load, and looks at a broker that has just started with
// nobody else connected. A broken promise is a Violation.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "tests/crash/actors.hpp"

namespace harrier::crash_tests {

class Subject {
 public:
  Subject() = default;
  virtual ~Subject() = default;
  Subject(const Subject&) = delete;
  Subject& operator=(const Subject&) = delete;

  virtual void set_up(Client& client) = 0;  // durable definitions, once
  // `publisher` is the last id that was given to one.
  virtual void add_actors(World& world, std::uint32_t& publisher,
                          std::vector<std::unique_ptr<Actor>>& actors) = 0;
  // With `all`, nothing is left unread.
  virtual void audit(World& world, bool all) = 0;
  virtual void killed() = 0;
  virtual void stopped_in_good_order() = 0;  // after every actor's finish()
  virtual void check_load() const = 0;       // the rounds have proved something
  virtual std::string summary() const = 0;
};

}  // namespace harrier::crash_tests
