// SPDX-License-Identifier: Apache-2.0
//
// What came out of one run: named figures in a fixed order, violations, and the error that ended it
// early, if one did. Values; printed for people and as JSON.
#pragma once

#include <cstdint>
#include <optional>
#include <ostream>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "broker/bench/histogram.hpp"
#include "broker/bench/ledger.hpp"
#include "broker/bench/workload.hpp"

namespace harrier::bench {

// Names end with their unit: _per_s, _us, _s, _bytes; plain counts have none.
class Figures {
 public:
  void set(std::string name, double value) { all_.emplace_back(std::move(name), value); }
  std::optional<double> find(std::string_view name) const;
  const std::vector<std::pair<std::string, double>>& all() const { return all_; }

 private:
  std::vector<std::pair<std::string, double>> all_;
};

struct Result {
  Workload workload;
  std::string address, product;
  std::string names;  // how the names of this run's exchange and queues begin
  Figures figures;
  Violations violations;
  std::string error;  // "" unless the run ended before its time

  bool ok() const { return error.empty() && violations.total() == 0; }
};

// <name>_p50_us ... <name>_p99.99_us, mean, max and count; nothing if nothing was recorded.
void add_latency(const std::string& name, const Histogram& histogram_ns, Figures& out);

bool lower_is_better(std::string_view figure);

void print_summary(const Result& result, std::ostream& out);
// An object with "case", "workload", "figures", "violations", "ok", "error".
std::string to_json(const Result& result);
std::string to_json(const std::vector<Result>& results);

}  // namespace harrier::bench
