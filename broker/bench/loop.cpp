// SPDX-License-Identifier: Apache-2.0
#include "broker/bench/loop.hpp"

#include <signal.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <system_error>

#include "broker/bench/connection.hpp"

namespace harrier::bench {
namespace {

constexpr std::size_t kReceiveBytes = 512 * 1024;
constexpr int kEventsMax = 256;
constexpr std::uint64_t kKeepAliveNs = kSecondNs;

volatile std::sig_atomic_t signalled = 0;

void on_signal(int) { signalled = 1; }

void catch_signals() {
  struct sigaction action {};
  action.sa_handler = on_signal;
  action.sa_flags = static_cast<int>(SA_RESETHAND);  // a second one ends at once
  ::sigaction(SIGINT, &action, nullptr);
  ::sigaction(SIGTERM, &action, nullptr);
}

}  // namespace

Loop::Loop() : receive_buffer_(kReceiveBytes) {
  catch_signals();
  ::prctl(PR_SET_TIMERSLACK, 1UL, 0UL, 0UL, 0UL);  // wake when asked, not up to 50 us later
  epoll_ = ::epoll_create1(EPOLL_CLOEXEC);
  if (epoll_ < 0) throw std::system_error(errno, std::generic_category(), "epoll_create1");
}

Loop::~Loop() { ::close(epoll_); }

std::uint64_t Loop::now_ns() {
  const auto since = std::chrono::steady_clock::now().time_since_epoch();
  return static_cast<std::uint64_t>(
      std::chrono::duration_cast<std::chrono::nanoseconds>(since).count());
}

bool Loop::interrupted() { return signalled != 0; }

void Loop::add(Connection& connection) {
  epoll_event event{};
  event.events = EPOLLIN | EPOLLOUT;
  event.data.ptr = &connection;
  if (::epoll_ctl(epoll_, EPOLL_CTL_ADD, connection.socket(), &event) != 0) {
    throw std::system_error(errno, std::generic_category(), "epoll_ctl");
  }
  connections_.push_back(&connection);
}

void Loop::change(Connection& connection, bool writable) {
  epoll_event event{};
  event.events = EPOLLIN;
  if (writable) event.events |= EPOLLOUT;
  event.data.ptr = &connection;
  if (::epoll_ctl(epoll_, EPOLL_CTL_MOD, connection.socket(), &event) != 0) {
    throw std::system_error(errno, std::generic_category(), "epoll_ctl");
  }
}

void Loop::remove(Connection& connection) {
  ::epoll_ctl(epoll_, EPOLL_CTL_DEL, connection.socket(), nullptr);
  const auto at = std::find(connections_.begin(), connections_.end(), &connection);
  if (at == connections_.end()) return;
  *at = connections_.back();
  connections_.pop_back();
}

int Loop::wait(std::uint64_t until_ns, ::epoll_event* events, int size) {
  const std::uint64_t now = now_ns();
  const std::uint64_t left = until_ns > now ? until_ns - now : 0;
  if (left <= spin_ns_) return ::epoll_wait(epoll_, events, size, 0);
  const timespec timeout{static_cast<time_t>(left / kSecondNs),
                         static_cast<long>(left % kSecondNs)};
  const int count = ::epoll_pwait2(epoll_, events, size, &timeout, nullptr);
  if (count >= 0 || errno != ENOSYS) return count;
  return ::epoll_wait(epoll_, events, size,
                      static_cast<int>(left / kMillisecondNs));  // Linux < 5.11
}

void Loop::turn(std::uint64_t until_ns) {
  std::array<epoll_event, kEventsMax> events;
  const int count = wait(until_ns, events.data(), kEventsMax);
  turn_ns_ = now_ns();
  if (count < 0 && errno != EINTR) {
    throw std::system_error(errno, std::generic_category(), "epoll_wait");
  }
  for (int i = 0; i < count; ++i) {
    const epoll_event& event = events[static_cast<std::size_t>(i)];
    Connection& connection = *static_cast<Connection*>(event.data.ptr);
    if ((event.events & (EPOLLIN | EPOLLERR | EPOLLHUP)) != 0) connection.readable();
    if ((event.events & EPOLLOUT) != 0 && connection.socket() >= 0) connection.writable();
  }
}

void Loop::keep_alive() {
  if (turn_ns_ < next_keep_alive_ns_) return;
  next_keep_alive_ns_ = turn_ns_ + kKeepAliveNs;
  for (Connection* connection : connections_) connection->keep_alive(turn_ns_);
}

void Loop::run_until(const std::function<bool()>& done, double stall_s, const std::string& what,
                     const std::function<std::uint64_t()>& progress) {
  const auto stall_ns = static_cast<std::uint64_t>(stall_s * static_cast<double>(kSecondNs));
  turn_ns_ = now_ns();
  std::uint64_t deadline = turn_ns_ + stall_ns;
  std::uint64_t reached = progress ? progress() : 0;
  while (!done()) {
    if (heeds_interrupts_ && interrupted()) throw Interrupted();
    if (progress && progress() != reached) {
      reached = progress();
      deadline = turn_ns_ + stall_ns;
    }
    if (turn_ns_ >= deadline) {
      throw Stalled("no progress for " + std::to_string(static_cast<int>(stall_s)) + " s while " +
                    what);
    }
    std::uint64_t until = std::min(deadline, turn_ns_ + kKeepAliveNs);
    if (ticker_ != nullptr) until = std::min(until, ticker_->on_turn(turn_ns_));
    if (ticker_ != nullptr && done()) return;
    turn(until);
    keep_alive();
  }
}

}  // namespace harrier::bench
