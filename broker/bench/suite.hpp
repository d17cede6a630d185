// SPDX-License-Identifier: Apache-2.0
//
// The standard matrix against one or two brokers: every case several times, the brokers in turn, so
// that what else the machine does hits both alike. Medians, spreads and ratios. Runs on the calling
// thread; a run that fails is reported and the next one is started.
#pragma once

#include <optional>
#include <ostream>
#include <string>
#include <vector>

#include "broker/bench/result.hpp"
#include "broker/bench/statistics.hpp"
#include "broker/bench/target.hpp"

namespace harrier::bench {

struct Suite {
  Target target;
  std::optional<Target> against;
  std::string against_queue_type;  // x-queue-type at the other broker; "": as in the case
  std::vector<Workload> cases;
  std::uint32_t runs = 5;
};

struct CaseOutcome {
  Workload workload;
  std::vector<Result> ours, theirs;  // by run; `theirs` is empty without another broker
};

// Of the runs that went well, each figure's median and spread.
std::vector<std::pair<std::string, Spread>> medians(const std::vector<Result>& results);

// Tells on `log` what is being run. Ends early when interrupted.
std::vector<CaseOutcome> run_suite(const Suite& suite, std::ostream& log);

// The table of the cases' headline figures and the broker's CPU; Markdown.
void print_table(const std::vector<CaseOutcome>& outcomes, std::ostream& out);
std::string to_json(const std::vector<CaseOutcome>& outcomes);
bool all_ok(const std::vector<CaseOutcome>& outcomes);

}  // namespace harrier::bench
