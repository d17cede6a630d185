// SPDX-License-Identifier: Apache-2.0
#include "tests/scripts/runner_broker.hpp"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <charconv>
#include <chrono>
#include <cstring>
#include <filesystem>
#include <optional>
#include <string_view>
#include <system_error>

#include "tests/scripts/runner_values.hpp"

namespace harrier::scripts {
namespace {

constexpr std::chrono::seconds kStartLimit{60};  // sanitizer builds on a loaded machine
constexpr int kStopLimitMs = 30'000;

// From the start-up line, which comes once the broker serves. The system chooses the port: one that
// was free a moment ago might be taken by a test that runs beside this one.
std::optional<std::uint16_t> port_in(const std::string& output) {
  constexpr std::string_view kBefore = "serves AMQP 0-9-1 on 127.0.0.1:";
  const std::size_t at = output.find(kBefore);
  if (at == std::string::npos || output.find('\n', at) == std::string::npos) return {};
  std::uint16_t port = 0;
  std::from_chars(output.data() + at + kBefore.size(), output.data() + output.size(), port);
  return port;
}

std::string make_data_directory() {
  std::string path = (std::filesystem::temp_directory_path() / "harrier-scripts-XXXXXX").string();
  if (mkdtemp(path.data()) == nullptr)
    throw StepError("cannot make " + path + ": " + std::strerror(errno));
  return path;
}

}  // namespace

BrokerProcess::BrokerProcess(const std::string& program, unsigned shards,
                             const std::vector<std::string>& options)
    : data_(make_data_directory()) {
  spawn(program, shards, options);
  await_start();
}

void BrokerProcess::spawn(const std::string& program, unsigned shards,
                          const std::vector<std::string>& options) {
  std::vector<std::string> words = {program, "serve", "--data", data_, "--listen", "127.0.0.1:0"};
  if (shards > 0) {
    words.push_back("--shards");
    words.push_back(std::to_string(shards));
  }
  words.insert(words.end(), options.begin(), options.end());
  std::vector<char*> arguments;
  for (std::string& word : words) arguments.push_back(word.data());
  arguments.push_back(nullptr);

  std::array<int, 2> ends{};
  if (pipe2(ends.data(), O_CLOEXEC) != 0)
    throw StepError(std::string("pipe: ") + std::strerror(errno));
  process_ = fork();
  if (process_ < 0) throw StepError(std::string("fork: ") + std::strerror(errno));
  if (process_ == 0) {
    dup2(ends[1], STDOUT_FILENO);
    dup2(ends[1], STDERR_FILENO);
    execv(program.c_str(), arguments.data());
    const char message[] = "cannot run the broker\n";
    [[maybe_unused]] const ssize_t ignored = write(STDERR_FILENO, message, sizeof message - 1);
    _exit(127);
  }
  close(ends[1]);
  reader_ = std::thread([this, fd = ends[0]] { read_output(fd); });
}

void BrokerProcess::read_output(int fd) {
  std::array<char, 4096> chunk;
  for (;;) {
    const ssize_t size = read(fd, chunk.data(), chunk.size());
    if (size < 0 && errno == EINTR) continue;
    const std::lock_guard lock(mutex_);
    if (size > 0) output_.append(chunk.data(), static_cast<std::size_t>(size));
    if (size <= 0) output_ended_ = true;
    changed_.notify_all();
    if (size <= 0) break;
  }
  close(fd);
}

void BrokerProcess::await_start() {
  std::unique_lock lock(mutex_);
  changed_.wait_for(lock, kStartLimit, [&] { return output_ended_ || port_in(output_); });
  const auto port = port_in(output_);
  if (port && !output_ended_) {
    port_ = *port;
    return;
  }
  const std::string text = output_;
  lock.unlock();
  stop();
  throw StepError("the broker did not start; it printed:\n" + text);
}

std::string BrokerProcess::output() {
  const std::lock_guard lock(mutex_);
  return output_;
}

std::string BrokerProcess::stop() {
  if (process_ < 0) return {};
  std::string text;
  kill(process_, SIGTERM);
  const int descriptor = static_cast<int>(syscall(SYS_pidfd_open, process_, 0));
  pollfd entry{descriptor, POLLIN, 0};
  if (descriptor >= 0 && poll(&entry, 1, kStopLimitMs) <= 0) {
    text = "the broker did not end after SIGTERM";
    kill(process_, SIGKILL);
  }
  if (descriptor >= 0) close(descriptor);
  int status = 0;
  waitpid(process_, &status, 0);
  process_ = -1;
  if (reader_.joinable()) reader_.join();
  if (text.empty() && !(WIFEXITED(status) && WEXITSTATUS(status) == 0)) {
    text = WIFSIGNALED(status)
               ? "the broker died of signal " + std::to_string(WTERMSIG(status))
               : "the broker ended with exit code " + std::to_string(WEXITSTATUS(status));
  }
  std::error_code ignored;  // a directory that stays behind is no reason to fail
  std::filesystem::remove_all(data_, ignored);
  return text;
}

BrokerProcess::~BrokerProcess() { stop(); }

}  // namespace harrier::scripts
