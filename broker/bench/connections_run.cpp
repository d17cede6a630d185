// SPDX-License-Identifier: Apache-2.0
#include <iostream>
#include <memory>

#include "broker/bench/run.hpp"
#include "broker/bench/statistics.hpp"

namespace harrier::bench {
namespace {

// Connections that say nothing of their own accord.
ConnectionEvents silent;

class ProgressLine {
 public:
  ProgressLine(const Workload& workload, const char* what)
      : workload_(workload), what_(what), next_ns_(Loop::now_ns() + kSecondNs) {}
  void show(std::uint64_t now_ns, std::uint64_t count) {
    if (now_ns < next_ns_ || !workload_.progress) return;
    next_ns_ += kSecondNs;
    std::cerr << workload_.id << "  " << count << " of " << workload_.count << ' ' << what_ << '\n';
  }

 private:
  const Workload& workload_;
  const char* what_;
  std::uint64_t next_ns_;
};

}  // namespace

// Opens all, `parallel` at a time, holds them for the run's duration, closes them.
void run_idle(Loop& loop, const Endpoint& endpoint, Result& result) {
  const Workload& workload = result.workload;
  std::vector<std::unique_ptr<Connection>> all;
  all.reserve(workload.count);
  std::size_t open = 0;  // all before this one are
  ProgressLine line(workload, "connections open");
  Figures memory;
  const auto before = add_memory(endpoint.target.pid, "before_", memory);
  const Usage start = Usage::now(endpoint.target.pid);
  loop.run_until(
      [&] {
        while (open < all.size() && all[open]->open()) ++open;
        while (all.size() < workload.count && all.size() < open + workload.parallel) {
          all.push_back(std::make_unique<Connection>(loop, endpoint, silent));
          all.back()->start();
        }
        line.show(loop.turn_ns(), open);
        return open == workload.count;
      },
      workload.stall_s, "opening connections", [&] { return open; });
  const Usage end = Usage::now(endpoint.target.pid);
  result.product = all.front()->product();
  const double seconds = seconds_between(start.at_ns, end.at_ns);
  result.figures.set("connections", workload.count);
  result.figures.set("opened_per_s", workload.count / seconds);
  add_usage(start, end, {}, result.figures);
  const std::uint64_t hold_until =
      end.at_ns + static_cast<std::uint64_t>(workload.duration_s * static_cast<double>(kSecondNs));
  loop.run_until([&] { return loop.turn_ns() >= hold_until; }, workload.duration_s + 1, "holding");
  const auto after = add_memory(endpoint.target.pid, "", result.figures);
  if (before && after) {
    const double grown =
        static_cast<double>(after->resident_bytes) - static_cast<double>(before->resident_bytes);
    result.figures.set("bytes_per_connection", grown / workload.count);
  }
  const std::uint64_t closing = Loop::now_ns();
  std::vector<Connection*> connections;
  connections.reserve(all.size());
  for (const auto& each : all) connections.push_back(each.get());
  close_all(loop, connections, workload.stall_s);
  result.figures.set("closed_per_s", workload.count / seconds_between(closing, Loop::now_ns()));
}

// Each of `parallel` places opens a connection with a channel, closes it politely, and begins anew.
void run_churn(Loop& loop, const Endpoint& endpoint, Result& result) {
  const Workload& workload = result.workload;
  std::vector<std::unique_ptr<Connection>> places(std::min(workload.parallel, workload.count));
  std::uint64_t begun = 0, ended = 0;
  ProgressLine line(workload, "connections opened and closed");
  const Usage start = Usage::now(endpoint.target.pid);
  loop.run_until(
      [&] {
        for (auto& place : places) {
          if (place && place->open()) place->start_close();
          if (place && place->closed()) {
            result.product = place->product();
            place.reset();
            ++ended;
          }
          if (!place && begun < workload.count) {
            ++begun;
            place = std::make_unique<Connection>(loop, endpoint, silent);
            place->start();
          }
        }
        line.show(loop.turn_ns(), ended);
        return ended == workload.count;
      },
      workload.stall_s, "opening and closing connections", [&] { return ended; });
  const Usage end = Usage::now(endpoint.target.pid);
  result.figures.set("connections", workload.count);
  result.figures.set("cycles_per_s", workload.count / seconds_between(start.at_ns, end.at_ns));
  add_usage(start, end, {}, result.figures);
  add_memory(endpoint.target.pid, "", result.figures);
}

}  // namespace harrier::bench
