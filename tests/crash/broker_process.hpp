// SPDX-License-Identifier: Apache-2.0
//
// BrokerProcess: one life of `harrier serve` on a free port, with its output kept. Owned by the
// round; killed and waited for when this object goes. Used on the test's only thread.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace harrier::crash_tests {

struct Launch {
  std::string program;
  std::string data;
  std::vector<std::string> options;
  std::string crash_point;  // "name:count", for a build that has them; empty: none
};

class BrokerProcess {
 public:
  explicit BrokerProcess(const Launch& launch);
  ~BrokerProcess();
  BrokerProcess(const BrokerProcess&) = delete;
  BrokerProcess& operator=(const BrokerProcess&) = delete;

  // The port, once it serves; nullopt if the process ended or `timeout_ms` went by.
  std::optional<std::uint16_t> await_port(int timeout_ms);
  int output() const { return output_; }  // for poll
  bool read_output();                     // what there is; false at its end
  void signal(int number);
  int await_end();  // the status of waitpid; a process that does not end in time is killed
  const std::string& log() const { return log_; }

 private:
  pid_t pid_ = -1;
  int output_ = -1;
  std::string log_;
  std::optional<int> status_;
};

std::string describe_end(int status);
// Whether the program was built with crash points.
bool has_crash_points(const std::string& program);

}  // namespace harrier::crash_tests
