// SPDX-License-Identifier: Apache-2.0
//
// A TCP connection with deadlines, blocking, for one thread. Whatever arrives is kept in one buffer
// until it is consumed; sending reads along, so that two peers that both send a lot do not wait for
// each other for ever. A reset counts as the end of the stream: brokers differ in whether they
// linger.
#pragma once

#include <chrono>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace harrier::scripts {

using SteadyClock = std::chrono::steady_clock;
using Deadline = SteadyClock::time_point;

class Socket {
 public:
  enum class Read { Data, End, Timeout };

  Socket(const std::string& host, std::uint16_t port, Deadline deadline);  // throws StepError
  ~Socket();
  Socket(const Socket&) = delete;
  Socket& operator=(const Socket&) = delete;

  // False if the peer has gone or does not read; what it sent before is in the buffer.
  bool write(std::span<const std::uint8_t> bytes, Deadline deadline);
  Read read_more(Deadline deadline);

  std::span<const std::uint8_t> buffered() const;
  void consume(std::size_t size);

  void shutdown_sending();
  void reset();  // closes with RST

 private:
  bool receive_now();  // false at the end of the stream

  int fd_ = -1;
  bool ended_ = false;
  std::vector<std::uint8_t> buffer_;
  std::size_t consumed_ = 0;
};

}  // namespace harrier::scripts
