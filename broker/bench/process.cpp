// SPDX-License-Identifier: Apache-2.0
#include "broker/bench/process.hpp"

#include <sys/resource.h>
#include <unistd.h>

#include <fstream>
#include <sstream>
#include <string>

namespace harrier::bench {
namespace {

constexpr std::uint64_t kKiB = 1024;

std::string proc(int pid, const char* file) { return "/proc/" + std::to_string(pid) + "/" + file; }

// "Name:   123 kB", as bytes.
std::optional<std::uint64_t> kilobytes(const std::string& path, const std::string& name) {
  std::ifstream in(path);
  for (std::string line; std::getline(in, line);) {
    if (line.compare(0, name.size(), name) != 0) continue;
    std::istringstream value(line.substr(name.size()));
    std::uint64_t count = 0;
    if (value >> count) return count * kKiB;
  }
  return std::nullopt;
}

}  // namespace

std::optional<double> cpu_seconds(int pid) {
  std::ifstream in(proc(pid, "stat"));
  std::string line;
  if (!std::getline(in, line)) return std::nullopt;
  // The name, in parentheses, may hold anything; utime and stime are the 12th and 13th after it.
  const auto name_end = line.rfind(')');
  if (name_end == std::string::npos) return std::nullopt;
  std::istringstream fields(line.substr(name_end + 1));
  std::string skipped;
  for (int i = 0; i < 11; ++i) fields >> skipped;
  std::uint64_t user = 0, system = 0;
  if (!(fields >> user >> system)) return std::nullopt;
  return static_cast<double>(user + system) / static_cast<double>(::sysconf(_SC_CLK_TCK));
}

std::optional<ProcessMemory> memory_of(int pid) {
  const std::string rollup = proc(pid, "smaps_rollup"), status = proc(pid, "status");
  auto resident = kilobytes(rollup, "Rss:");
  auto anonymous = kilobytes(rollup, "Anonymous:");
  if (!resident) resident = kilobytes(status, "VmRSS:");  // another user's process: only this
  if (!anonymous) anonymous = kilobytes(status, "RssAnon:");
  if (!resident || !anonymous) return std::nullopt;
  return ProcessMemory{*resident, *anonymous};
}

double own_cpu_seconds() {
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

}  // namespace harrier::bench
