// SPDX-License-Identifier: Apache-2.0
//
// One run of a workload against one broker, from connecting to cleaning up. Whatever goes wrong is
// in the result, an interruption as well: nothing is thrown. Each mode's way of running is a
// function of its own.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "broker/bench/connection.hpp"
#include "broker/bench/process.hpp"
#include "broker/bench/result.hpp"
#include "broker/bench/setup.hpp"
#include "broker/bench/target.hpp"

namespace harrier::bench {

Result run_workload(const Target& target, const Workload& workload);

// The modes. They throw BenchError; what they have put into `result` by then stays.
void run_load(Loop& loop, const Endpoint& endpoint, const Names& names, Result& result);
void run_rpc(Loop& loop, const Endpoint& endpoint, const Names& names, Result& result);
void run_idle(Loop& loop, const Endpoint& endpoint, Result& result);
void run_churn(Loop& loop, const Endpoint& endpoint, Result& result);
void run_declare(Loop& loop, const Endpoint& endpoint, const Names& names, Result& result);

// What has been used at one moment.
struct Usage {
  std::uint64_t at_ns = 0;
  double own_cpu_s = 0;
  std::optional<double> broker_cpu_s;
  static Usage now(int broker_pid);
};

double seconds_between(std::uint64_t start_ns, std::uint64_t end_ns);
// bench_cpu_share, and with a broker's pid broker_cpu_s and <name> for each (name, operations).
void add_usage(const Usage& start, const Usage& end,
               const std::vector<std::pair<std::string, std::uint64_t>>& operations, Figures& out);
// <prefix>rss_bytes and <prefix>anonymous_bytes.
std::optional<ProcessMemory> add_memory(int broker_pid, const std::string& prefix, Figures& out);

// Says goodbye on all of them and waits for the answers.
void close_all(Loop& loop, const std::vector<Connection*>& connections, double stall_s);

}  // namespace harrier::bench
