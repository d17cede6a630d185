// SPDX-License-Identifier: Apache-2.0
//
// CrashTest: the rounds. One round is: start the broker over the data that the last one left,
// killing it now and then while it starts; audit; load it for a while; end it, mostly by SIGKILL.
// The ledger and the data directory are kept from round to round. Owned by main(), which reports a
// Violation.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "tests/crash/actors.hpp"
#include "tests/crash/broker_process.hpp"
#include "tests/crash/subject.hpp"
#include "tests/crash/topology.hpp"

namespace harrier::crash_tests {

struct Options {
  std::string program;
  std::string data;
  std::uint64_t seed = 0;
  std::uint32_t rounds = 20;
  std::uint32_t shards = 2;
  std::uint32_t load_ms_max = 2000;
  bool spare = false;  // cut the clients off instead: the oracle must find nothing wrong then
  bool expect_failure = false;
  std::vector<std::string> settings;  // of the broker, KEY=VALUE
};

class CrashTest {
 public:
  explicit CrashTest(Options options);
  void run();

  std::uint32_t round() const { return round_; }
  std::string summary() const;
  std::string log() const { return broker_ ? broker_->log() : std::string(); }

 private:
  enum class How : std::uint8_t { Kill, InGoodOrder, CutOff };

  void one_round();
  void start();      // until one life of the broker has passed the audit
  bool try_start();  // false: it was killed on the way, as asked
  void kill_while_starting();
  void set_up();
  void make_actors();
  void load();
  bool turn(int timeout_ms);  // false: the broker has ended
  void end(How how);
  void bring_to_rest();
  void stop_in_good_order();
  void stopped_in_good_order();
  void killed();
  void look(bool all);  // at a broker that has just started
  void check_load() const;
  void cut_off();
  void bury();         // the broker is dead or dying: what has it said?
  void expect_kill();  // it has ended: as a crash point does it, or not

  Options options_;
  bool has_crash_points_;
  Dice dice_;
  Ledger ledger_;
  Topology topology_;
  World world_;
  std::vector<Queue*> direct_, fan_, transactional_, graves_;
  std::vector<std::unique_ptr<Subject>> subjects_;
  Queue* dying_ = nullptr;
  Queue* purged_ = nullptr;
  bool set_up_ = false;
  bool audit_all_ = false;
  std::uint32_t round_ = 0;
  std::string crash_point_;  // of this life
  bool allow_crash_points_ = true;
  std::uint32_t kills_ = 0, kills_at_start_ = 0, crash_points_hit_ = 0, stops_ = 0;
  std::unique_ptr<BrokerProcess> broker_;
  std::vector<std::unique_ptr<Actor>> actors_;
};

}  // namespace harrier::crash_tests
