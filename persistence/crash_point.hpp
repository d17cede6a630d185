// SPDX-License-Identifier: Apache-2.0
//
// Crash points: places where tests/crash makes the process die as by `kill -9`, so that the rare
// moments inside a checkpoint or a recovery are met often. HARRIER_CRASH_POINT("name") is an empty
// statement unless the build was configured with -DHARRIER_CRASH_POINTS=ON, which no release is.
// Then the environment variable HARRIER_CRASH_POINT=name:count chooses the one pass that kills: the
// count-th through that name, counted from 1 over all threads. Without the variable, or with one
// that does not parse, nothing dies. Any thread may pass.
#pragma once

#ifdef HARRIER_CRASH_POINTS

#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <charconv>
#include <cstdint>
#include <cstdlib>
#include <string_view>

namespace harrier::persistence {

struct ChosenCrashPoint {
  std::string_view name;
  std::uint64_t count = 0;  // 0: none is chosen
};

inline ChosenCrashPoint chosen_crash_point() {
  const char* const variable = std::getenv("HARRIER_CRASH_POINT");
  if (variable == nullptr) return {};
  const std::string_view text(variable);
  const std::size_t colon = text.rfind(':');
  if (colon == std::string_view::npos) return {};
  ChosenCrashPoint chosen{text.substr(0, colon)};
  std::from_chars(text.data() + colon + 1, text.data() + text.size(), chosen.count);
  return chosen;
}

inline void pass_crash_point(std::string_view name) {
  static const ChosenCrashPoint chosen = chosen_crash_point();
  static std::atomic<std::uint64_t> passed{0};
  if (chosen.count == 0 || name != chosen.name) return;
  if (++passed != chosen.count) return;
  ::kill(::getpid(), SIGKILL);
  for (;;) ::pause();  // not one step further
}

}  // namespace harrier::persistence

#define HARRIER_CRASH_POINT(name) ::harrier::persistence::pass_crash_point(name)

#else

#define HARRIER_CRASH_POINT(name) static_cast<void>(0)

#endif
