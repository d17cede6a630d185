// SPDX-License-Identifier: Apache-2.0
#include "tests/crash/round.hpp"

#include <poll.h>
#include <sys/wait.h>

#include <array>
#include <chrono>
#include <csignal>
#include <iostream>

#include "tests/crash/audit.hpp"
#include "tests/crash/delays.hpp"
#include "tests/crash/repeats.hpp"
#include "tests/crash/stream_log.hpp"

namespace harrier::crash_tests {
namespace {

using Clock = std::chrono::steady_clock;

constexpr int kStartTimeoutMs = 60'000;  // a debug build with a sanitizer, on a busy machine
constexpr int kRestTimeoutMs = 30'000;
constexpr const char* kFanExchange = "fan";
constexpr const char* kGraveExchange = "graves";  // of dead letters

// Where a build with crash points can be made to die; see persistence/crash_point.hpp.
constexpr std::array kCrashPoints = {"journal-after-append",     "journal-after-flush",
                                     "segment-create",           "checkpoint-begin",
                                     "checkpoint-before-commit", "checkpoint-after-commit",
                                     "checkpoint-release",       "replay-entry",
                                     "open-clear-clean",         "sweep"};

int milliseconds_until(Clock::time_point when) {
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(when - Clock::now()).count();
  return static_cast<int>(std::max<long>(left, 0));
}

}  // namespace

CrashTest::CrashTest(Options options)
    : options_(std::move(options)),
      has_crash_points_(has_crash_points(options_.program)),
      dice_(options_.seed),
      world_{ledger_, dice_, 0, options_.spare} {
  for (int i = 0; i < 4; ++i) {
    const std::string name = "direct." + std::to_string(i);
    direct_.push_back(&ledger_.add_queue(name, "", name));
  }
  for (int i = 0; i < 4; ++i) {
    fan_.push_back(&ledger_.add_queue("fan." + std::to_string(i), kFanExchange, ""));
  }
  for (int i = 0; i < 3; ++i) {
    const std::string name = "tx." + std::to_string(i);
    transactional_.push_back(&ledger_.add_queue(name, "", name));
  }
  purged_ = &ledger_.add_queue("purged", "", "purged");
  dying_ = &ledger_.add_queue("dying", "", "dying");
  for (int i = 0; i < 2; ++i) {
    graves_.push_back(&ledger_.add_queue("grave." + std::to_string(i), kGraveExchange, "dying"));
    graves_.back()->died_in = dying_->name;
  }
  dying_->dead_letters_to = graves_;
  dying_->arguments.add("x-dead-letter-exchange", kGraveExchange);
  subjects_.push_back(std::make_unique<Repeats>(ledger_));
  subjects_.push_back(std::make_unique<Delays>());
  subjects_.push_back(std::make_unique<StreamLog>());
}

void CrashTest::run() {
  for (round_ = 1; round_ <= options_.rounds; ++round_) {
    one_round();
    std::cout << "round " << round_ << ": " << summary() << "\n" << std::flush;
  }
  --round_;
  if (options_.spare) return look(true);
  audit_all_ = true;
  allow_crash_points_ = false;
  start();
  stop_in_good_order();
  check_load();
}

void CrashTest::check_load() const {
  const Ledger::Totals& totals = ledger_.totals();
  require(totals.confirmed > 0 && totals.delivered > 0 && totals.settled > 0 && totals.died > 0 &&
              totals.audited > 0,
          "the load was too short to prove anything");
  for (const auto& subject : subjects_) subject->check_load();
}

void CrashTest::look(bool all) {
  audit(world_, all);
  for (const auto& subject : subjects_) subject->audit(world_, all);
  check_topology(world_, topology_);
}

void CrashTest::killed() {
  ledger_.killed();
  for (const auto& subject : subjects_) subject->killed();
}

void CrashTest::stopped_in_good_order() {
  ledger_.stopped_in_good_order();
  for (const auto& subject : subjects_) subject->stopped_in_good_order();
}

void CrashTest::one_round() {
  allow_crash_points_ = has_crash_points_;
  if (!options_.spare || round_ == 1) start();
  try {
    if (!set_up_) set_up();
    make_actors();
    load();
  } catch (const Gone&) {
    expect_kill();
    return;
  }
  end(options_.spare ? How::CutOff : dice_.one_in(8) ? How::InGoodOrder : How::Kill);
}

void CrashTest::start() {
  while (!options_.spare && dice_.one_in(4)) kill_while_starting();
  while (!try_start()) {
  }
}

void CrashTest::kill_while_starting() {
  broker_ = std::make_unique<BrokerProcess>(
      Launch{options_.program, options_.data, options_.settings, ""});
  broker_->await_port(static_cast<int>(dice_.below(20)));
  broker_->signal(SIGKILL);
  broker_->await_end();
  killed();
  ++kills_at_start_;
}

bool CrashTest::try_start() {
  crash_point_.clear();
  if (allow_crash_points_ && dice_.one_in(2)) {
    // Mostly the first few passes, which are the ones of the start; some in the thick of it.
    const std::uint64_t count = 1 + dice_.below(dice_.one_in(3) ? 200 : 4);
    crash_point_ =
        std::string(kCrashPoints[dice_.below(kCrashPoints.size())]) + ":" + std::to_string(count);
  }
  broker_ = std::make_unique<BrokerProcess>(
      Launch{options_.program, options_.data, options_.settings, crash_point_});
  const auto port = broker_->await_port(kStartTimeoutMs);
  if (!port) {
    expect_kill();
    return false;
  }
  world_.port = *port;
  try {
    if (set_up_) look(audit_all_);
  } catch (const Gone&) {
    expect_kill();
    return false;
  }
  return true;
}

void CrashTest::set_up() {
  Client client(world_.port, [](const protocol::Method&, const Content&) {});
  for (const char* name : {kFanExchange, kGraveExchange}) {
    protocol::ExchangeDeclare exchange;
    exchange.exchange = name;
    exchange.type = "fanout";
    exchange.durable = true;
    require(client.call(exchange).ok(), "exchange.declare");
  }
  for (const Queue* queue : ledger_.queues()) {
    protocol::QueueDeclare declare;
    declare.queue = queue->name;
    declare.durable = true;
    declare.arguments = queue->arguments.view();
    require(client.call(declare).ok(), "queue.declare");
    if (queue->exchange.empty()) continue;
    protocol::QueueBind bind;
    bind.queue = queue->name;
    bind.exchange = queue->exchange;
    require(client.call(bind).ok(), "queue.bind");
  }
  for (const auto& subject : subjects_) subject->set_up(client);
  set_up_ = true;
}

void CrashTest::make_actors() {
  const auto add = [this](auto actor) { actors_.push_back(std::move(actor)); };
  std::uint32_t id = 0;
  for (Queue* queue : direct_) {
    add(std::make_unique<Publisher>(world_, ++id, std::vector<Queue*>{queue}, 200));
    add(std::make_unique<Publisher>(world_, ++id, std::vector<Queue*>{queue}, 1));
  }
  add(std::make_unique<Publisher>(world_, ++id, fan_, 200));
  add(std::make_unique<Publisher>(world_, ++id, fan_, 1));
  add(std::make_unique<Publisher>(world_, ++id, std::vector<Queue*>{dying_}, 100));
  add(std::make_unique<Publisher>(world_, ++id, std::vector<Queue*>{dying_}, 1));
  for (Queue* queue : {dying_, dying_, graves_.back(), graves_.back()})
    add(std::make_unique<Consumer>(world_, *queue));  // the first grave is a backlog
  add(std::make_unique<Transactor>(world_, ++id, transactional_));
  add(std::make_unique<Purger>(world_, ++id, *purged_));
  add(std::make_unique<Builder>(world_, topology_));
  for (const auto& subject : subjects_) subject->add_actors(world_, id, actors_);
  // The first queue of each kind has no consumer: a backlog. The last has two.
  for (const auto* queues : {&direct_, &fan_}) {
    for (std::size_t i = 1; i < queues->size(); ++i) {
      add(std::make_unique<Consumer>(world_, *(*queues)[i]));
    }
    add(std::make_unique<Consumer>(world_, *queues->back()));
  }
}

bool CrashTest::turn(int timeout_ms) {
  std::vector<pollfd> entries;
  entries.reserve(actors_.size() + 1);
  for (const auto& actor : actors_) {
    actor->step();
    entries.push_back({actor->client().socket(), actor->client().events(), 0});
  }
  entries.push_back({broker_->output(), POLLIN, 0});
  if (::poll(entries.data(), entries.size(), timeout_ms) < 0) return true;  // interrupted
  for (std::size_t i = 0; i < actors_.size(); ++i) {
    if (entries[i].revents != 0) actors_[i]->client().pump(entries[i].revents);
    if (actors_[i]->client().gone()) return false;
  }
  return entries.back().revents == 0 || broker_->read_output();
}

void CrashTest::load() {
  const auto deadline =
      Clock::now() + std::chrono::milliseconds(100 + dice_.below(options_.load_ms_max - 99));
  while (Clock::now() < deadline) {
    if (!turn(milliseconds_until(deadline))) throw Gone("the broker ended under load");
  }
}

void CrashTest::end(How how) {
  if (how == How::Kill) {
    broker_->signal(SIGKILL);
    bury();
    killed();
    ++kills_;
    return;
  }
  try {
    bring_to_rest();
    if (how == How::CutOff) return cut_off();
  } catch (const Gone&) {
    expect_kill();
    return;
  }
  stop_in_good_order();
}

void CrashTest::bring_to_rest() {
  const auto deadline = Clock::now() + std::chrono::milliseconds(kRestTimeoutMs);
  for (const auto& actor : actors_) actor->rest();
  for (const auto& actor : actors_) {
    while (!actor->at_rest()) {
      require(Clock::now() < deadline, "the broker leaves a client without an answer");
      if (!turn(milliseconds_until(deadline))) throw Gone("the broker ended under load");
    }
  }
  for (const auto& actor : actors_) actor->finish();
}

// The broker lives on, but for the ledger this is a restart.
void CrashTest::cut_off() {
  actors_.clear();
  stopped_in_good_order();
  await_release(world_);
  look(false);
}

void CrashTest::stop_in_good_order() {
  broker_->signal(SIGTERM);
  bury();
  const int status = broker_->await_end();
  if (!crash_point_.empty() && WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL) {
    ++crash_points_hit_;
    killed();
    return;
  }
  require(status == 0, "the broker ended " + describe_end(status) + " on SIGTERM");
  stopped_in_good_order();
  ++stops_;
}

void CrashTest::bury() {
  broker_->await_end();
  for (const auto& actor : actors_) actor->client().read_to_end();
  actors_.clear();
}

void CrashTest::expect_kill() {
  if (crash_point_.empty()) broker_->signal(SIGTERM);  // it hangs, perhaps: end it, then complain
  bury();
  const int status = broker_->await_end();
  require(!crash_point_.empty() && WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL,
          "the broker ended " + describe_end(status) + ", and nobody had asked it to");
  killed();
  ++crash_points_hit_;
}

std::string CrashTest::summary() const {
  const Ledger::Totals& t = ledger_.totals();
  const auto part = [](const char* name, std::uint64_t value) {
    return std::to_string(value) + " " + name;
  };
  std::string others;
  for (const auto& subject : subjects_) others += "; " + subject->summary();
  return part("kills, ", kills_) + part("at start, ", kills_at_start_) +
         part("at crash points, ", crash_points_hit_) + part("stops; copies: ", stops_) +
         part("published, ", t.published) + part("confirmed, ", t.confirmed) +
         part("delivered, ", t.delivered) + part("settled, ", t.settled) +
         part("rejected to death, ", t.died) + part("came back redelivered, ", t.came_back) +
         part("audited; ", t.audited) + part("transactions, ", t.transactions) +
         part("groups open at a kill", t.torn_open) + others;
}

}  // namespace harrier::crash_tests
