// SPDX-License-Identifier: Apache-2.0
#include "tests/crash/broker_process.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <stdexcept>

#include "tests/crash/violation.hpp"

namespace harrier::crash_tests {
namespace {

constexpr int kEndTimeoutMs = 30'000;
constexpr std::size_t kLogMax = 1u << 16;  // of the output the last part is kept
constexpr const char* kCrashPointVariable = "HARRIER_CRASH_POINT";

// Starts `arguments` with both outputs in a pipe, whose reading end is `output`.
pid_t spawn(const std::vector<std::string>& arguments, const std::string& crash_point,
            int& output) {
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) throw std::runtime_error("pipe2");
  std::vector<char*> words;
  for (const std::string& word : arguments) words.push_back(const_cast<char*>(word.c_str()));
  words.push_back(nullptr);
  const pid_t pid = ::fork();
  if (pid < 0) throw std::runtime_error("fork");
  if (pid == 0) {
    ::dup2(ends[1], STDOUT_FILENO);
    ::dup2(ends[1], STDERR_FILENO);
    if (crash_point.empty()) {
      ::unsetenv(kCrashPointVariable);
    } else {
      ::setenv(kCrashPointVariable, crash_point.c_str(), 1);
    }
    ::execv(words[0], words.data());
    ::_exit(127);
  }
  ::close(ends[1]);
  ::fcntl(ends[0], F_SETFL, O_NONBLOCK);
  output = ends[0];
  return pid;
}

std::optional<std::uint16_t> port_in(const std::string& log) {
  constexpr std::string_view kBefore = "serves AMQP 0-9-1 on 127.0.0.1:";
  const std::size_t at = log.find(kBefore);
  if (at == std::string::npos || log.find("ready in", at) == std::string::npos) return {};
  std::uint16_t port = 0;
  std::from_chars(log.data() + at + kBefore.size(), log.data() + log.size(), port);
  return port;
}

}  // namespace

BrokerProcess::BrokerProcess(const Launch& launch) {
  std::vector<std::string> arguments = {launch.program, "serve",    "--data",
                                        launch.data,    "--listen", "127.0.0.1:0"};
  arguments.insert(arguments.end(), launch.options.begin(), launch.options.end());
  pid_ = spawn(arguments, launch.crash_point, output_);
}

BrokerProcess::~BrokerProcess() {
  if (!status_) {
    ::kill(pid_, SIGKILL);
    int status = 0;
    while (::waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
    }
  }
  ::close(output_);
}

std::optional<std::uint16_t> BrokerProcess::await_port(int timeout_ms) {
  using Clock = std::chrono::steady_clock;
  const auto deadline = Clock::now() + std::chrono::milliseconds(timeout_ms);
  for (;;) {
    const bool more = read_output();
    if (const auto port = port_in(log_)) return port;
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - Clock::now()).count();
    if (!more || left <= 0) return {};
    pollfd entry{output_, POLLIN, 0};
    ::poll(&entry, 1, static_cast<int>(left));
  }
}

bool BrokerProcess::read_output() {
  std::array<char, 4096> chunk{};
  for (;;) {
    const ssize_t size = ::read(output_, chunk.data(), chunk.size());
    if (size < 0 && errno == EINTR) continue;
    if (size < 0) return errno == EAGAIN;
    if (size == 0) return false;
    log_.append(chunk.data(), static_cast<std::size_t>(size));
    if (log_.size() > 2 * kLogMax) log_.erase(0, log_.size() - kLogMax);
  }
}

void BrokerProcess::signal(int number) {
  if (!status_) ::kill(pid_, number);
}

int BrokerProcess::await_end() {
  if (status_) return *status_;
  using Clock = std::chrono::steady_clock;
  const auto deadline = Clock::now() + std::chrono::milliseconds(kEndTimeoutMs);
  while (read_output()) {  // its end is that of the process
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - Clock::now()).count();
    if (left <= 0) {
      ::kill(pid_, SIGKILL);
      throw Violation("the broker does not end");
    }
    pollfd entry{output_, POLLIN, 0};
    ::poll(&entry, 1, static_cast<int>(left));
  }
  int status = 0;
  while (::waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
  }
  status_ = status;
  return status;
}

std::string describe_end(int status) {
  if (WIFSIGNALED(status)) return std::string("by signal ") + ::strsignal(WTERMSIG(status));
  return "with exit code " + std::to_string(WEXITSTATUS(status));
}

bool has_crash_points(const std::string& program) {
  int output = -1;
  const pid_t pid = spawn({program, "--version"}, "", output);
  ::fcntl(output, F_SETFL, 0);
  std::string text;
  std::array<char, 256> chunk{};
  for (;;) {
    const ssize_t size = ::read(output, chunk.data(), chunk.size());
    if (size < 0 && errno == EINTR) continue;
    if (size <= 0) break;
    text.append(chunk.data(), static_cast<std::size_t>(size));
  }
  ::close(output);
  int status = 0;
  while (::waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
  if (status != 0) throw std::runtime_error(program + " --version ended " + describe_end(status));
  return text.find("crash points") != std::string::npos;
}

}  // namespace harrier::crash_tests
