// SPDX-License-Identifier: Apache-2.0
//
// What a process has used, read from /proc: CPU time and memory of the broker, CPU time of the load
// tool itself. Values. Nothing there (another machine, another user's process): nullopt.
#pragma once

#include <cstdint>
#include <optional>

namespace harrier::bench {

struct ProcessMemory {
  std::uint64_t resident_bytes = 0;
  std::uint64_t anonymous_bytes = 0;  // of those: heap and stacks, not files
};

std::optional<double> cpu_seconds(int pid);
std::optional<ProcessMemory> memory_of(int pid);
double own_cpu_seconds();

}  // namespace harrier::bench
