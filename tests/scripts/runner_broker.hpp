// SPDX-License-Identifier: Apache-2.0
//
// A broker process for the scripts: started on a free port of the loopback with a data directory of
// its own, ended with SIGTERM. Its output is read by a thread as long as it lives, both to see the
// start-up line and to show the end of it when something fails. A broker that does not start or
// does not end well is a StepError.
#pragma once

#include <sys/types.h>

#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace harrier::scripts {

class BrokerProcess {
 public:
  BrokerProcess(const std::string& program, unsigned shards,
                const std::vector<std::string>& options);
  ~BrokerProcess();
  BrokerProcess(const BrokerProcess&) = delete;
  BrokerProcess& operator=(const BrokerProcess&) = delete;

  std::uint16_t port() const { return port_; }
  std::string output();  // what it has printed so far

  // Empty if it ended with exit code 0 within the time limit.
  std::string stop();

 private:
  void spawn(const std::string& program, unsigned shards, const std::vector<std::string>& options);
  void read_output(int fd);
  void await_start();

  std::string data_;
  std::uint16_t port_ = 0;
  pid_t process_ = -1;
  std::thread reader_;
  std::mutex mutex_;  // guards the two below
  std::string output_;
  bool output_ended_ = false;
  std::condition_variable changed_;
};

}  // namespace harrier::scripts
