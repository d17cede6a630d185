// SPDX-License-Identifier: Apache-2.0
//
// The one thread's event loop: epoll over the connections, a wake-up time as exact as the kernel
// gives it, and the waiting that everything else is written with: run_until(condition, deadline).
// A deadline that passes, and anything that goes wrong on a connection, is thrown as a BenchError.
// An object that is a Ticker is asked on every turn what it wants to do, and when next.
#pragma once

#include <cstdint>
#include <functional>
#include <stdexcept>
#include <string>
#include <vector>

struct epoll_event;

namespace harrier::bench {

class Connection;

class BenchError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// What was waited for did not come.
class Stalled : public BenchError {
 public:
  using BenchError::BenchError;
};

// SIGINT or SIGTERM came: a run ends early, in order.
class Interrupted : public BenchError {
 public:
  Interrupted() : BenchError("interrupted") {}
};

inline constexpr std::uint64_t kNever = UINT64_MAX;
inline constexpr std::uint64_t kSecondNs = 1'000'000'000;
inline constexpr std::uint64_t kMillisecondNs = 1'000'000;

class Ticker {
 public:
  virtual ~Ticker() = default;
  // Called before every wait; returns when it wants to be called again at the latest, or kNever.
  virtual std::uint64_t on_turn(std::uint64_t now_ns) = 0;
};

class Loop {
 public:
  Loop();
  ~Loop();
  Loop(const Loop&) = delete;
  Loop& operator=(const Loop&) = delete;

  void add(Connection& connection);
  void change(Connection& connection, bool writable);
  void remove(Connection& connection);

  static std::uint64_t now_ns();
  // When the event that is being handled was fetched: cheap.
  std::uint64_t turn_ns() const { return turn_ns_; }
  void touch() { turn_ns_ = now_ns(); }

  // Turns until `done`. `what` completes "no progress for 30 s while ...". The deadline starts anew
  // whenever `progress` differs from what it was.
  void run_until(const std::function<bool()>& done, double stall_s, const std::string& what,
                 const std::function<std::uint64_t()>& progress = nullptr);

  void set_ticker(Ticker* ticker) { ticker_ = ticker; }
  // Waits for less than this are spun away rather than slept.
  void set_spin_ns(std::uint64_t spin_ns) { spin_ns_ = spin_ns; }
  std::vector<std::uint8_t>& receive_buffer() { return receive_buffer_; }

  // SIGINT and SIGTERM make run_until() throw Interrupted, but not where a run is cleaned up after.
  void ignore_interrupts() { heeds_interrupts_ = false; }
  static bool interrupted();

 private:
  void turn(std::uint64_t until_ns);
  int wait(std::uint64_t until_ns, ::epoll_event* events, int size);
  void keep_alive();

  int epoll_ = -1;
  std::uint64_t turn_ns_ = 0;
  std::uint64_t spin_ns_ = 0;
  std::uint64_t next_keep_alive_ns_ = 0;
  bool heeds_interrupts_ = true;
  Ticker* ticker_ = nullptr;
  std::vector<Connection*> connections_;
  std::vector<std::uint8_t> receive_buffer_;
};

}  // namespace harrier::bench
