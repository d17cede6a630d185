// SPDX-License-Identifier: Apache-2.0
#include "broker/bench/run.hpp"

#include <sys/resource.h>

#include <algorithm>

namespace harrier::bench {
namespace {

constexpr double kMillion = 1e6;

// A connection is a descriptor; the soft limit is often 1,024.
void raise_descriptor_limit() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return;  // then opening one fails, and says so
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &limit);
}

void run_mode(const Endpoint& endpoint, const Names& names, Result& result) {
  Loop loop;
  switch (result.workload.mode) {
    case Mode::Load:
      return run_load(loop, endpoint, names, result);
    case Mode::Rpc:
      return run_rpc(loop, endpoint, names, result);
    case Mode::Idle:
      return run_idle(loop, endpoint, result);
    case Mode::Churn:
      return run_churn(loop, endpoint, result);
    case Mode::Declare:
      return run_declare(loop, endpoint, names, result);
  }
}

bool declares(Mode mode) { return mode != Mode::Idle && mode != Mode::Churn; }

// What run_declare() and run_load() call queues.
Workload declared(const Workload& workload) {
  Workload copy = workload;
  if (workload.mode == Mode::Declare) {
    copy.queues = workload.count;
    copy.exchange_type.clear();
  }
  return copy;
}

}  // namespace

Result run_workload(const Target& target, const Workload& workload) {
  Result result;
  result.workload = workload;
  result.address = target.address();
  const Names names(random_run());
  result.names = names.exchange();
  Endpoint endpoint;
  try {
    raise_descriptor_limit();
    endpoint = resolve(target);
    run_mode(endpoint, names, result);
    return result;
  } catch (const std::exception& error) {
    result.error = error.what();
  }
  // A broker that was never reached holds nothing of ours.
  if (declares(workload.mode) && !result.product.empty()) {
    const std::string left = clean_up(endpoint, declared(result.workload), names);
    if (!left.empty()) result.error += "; cleaning up failed as well: " + left;
  }
  return result;
}

Usage Usage::now(int broker_pid) {
  Usage usage;
  usage.at_ns = Loop::now_ns();
  usage.own_cpu_s = own_cpu_seconds();
  if (broker_pid != 0) usage.broker_cpu_s = cpu_seconds(broker_pid);
  return usage;
}

double seconds_between(std::uint64_t start_ns, std::uint64_t end_ns) {
  return end_ns <= start_ns
             ? 0
             : static_cast<double>(end_ns - start_ns) / static_cast<double>(kSecondNs);
}

void add_usage(const Usage& start, const Usage& end,
               const std::vector<std::pair<std::string, std::uint64_t>>& operations, Figures& out) {
  const double seconds = seconds_between(start.at_ns, end.at_ns);
  if (seconds > 0) out.set("bench_cpu_share", (end.own_cpu_s - start.own_cpu_s) / seconds);
  if (!start.broker_cpu_s || !end.broker_cpu_s) return;
  const double cpu_s = *end.broker_cpu_s - *start.broker_cpu_s;
  out.set("broker_cpu_s", cpu_s);
  for (const auto& [name, count] : operations) {
    if (count != 0) out.set(name, cpu_s * kMillion / static_cast<double>(count));
  }
}

std::optional<ProcessMemory> add_memory(int broker_pid, const std::string& prefix, Figures& out) {
  if (broker_pid == 0) return std::nullopt;
  const auto memory = memory_of(broker_pid);
  if (!memory) return memory;
  out.set(prefix + "rss_bytes", static_cast<double>(memory->resident_bytes));
  out.set(prefix + "anonymous_bytes", static_cast<double>(memory->anonymous_bytes));
  return memory;
}

void close_all(Loop& loop, const std::vector<Connection*>& connections, double stall_s) {
  std::size_t closed = 0;
  for (Connection* connection : connections) connection->start_close();
  loop.run_until(
      [&] {
        while (closed < connections.size() && connections[closed]->closed()) ++closed;
        return closed == connections.size();
      },
      stall_s, "closing connections", [&] { return closed; });
}

}  // namespace harrier::bench
