// SPDX-License-Identifier: Apache-2.0
#include "tests/scripts/runner_socket.hpp"

#include <fcntl.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <memory>

#include "tests/scripts/runner_values.hpp"

namespace harrier::scripts {
namespace {

constexpr std::size_t kReadSize = 65536;

int milliseconds_left(Deadline deadline) {
  const auto left =
      std::chrono::ceil<std::chrono::milliseconds>(deadline - SteadyClock::now()).count();
  return static_cast<int>(std::clamp<long>(left, 0, 3'600'000));
}

// The events that are ready; 0 at the deadline.
short wait_for(int fd, short events, Deadline deadline) {
  for (;;) {
    pollfd entry{fd, events, 0};
    const int ready = poll(&entry, 1, milliseconds_left(deadline));
    if (ready > 0) return entry.revents;
    if (ready == 0) return 0;
    if (errno != EINTR) throw StepError(std::string("poll: ") + std::strerror(errno));
  }
}

int connect_one(const addrinfo& address, Deadline deadline) {
  const int fd = socket(address.ai_family, address.ai_socktype | SOCK_NONBLOCK | SOCK_CLOEXEC,
                        address.ai_protocol);
  if (fd < 0) return -1;
  int error = connect(fd, address.ai_addr, address.ai_addrlen) == 0 ? 0 : errno;
  if (error == EINPROGRESS) {
    socklen_t size = sizeof error;
    error = ETIMEDOUT;
    if (wait_for(fd, POLLOUT, deadline) != 0) getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size);
  }
  if (error == 0) return fd;
  close(fd);
  errno = error;
  return -1;
}

}  // namespace

Socket::Socket(const std::string& host, std::uint16_t port, Deadline deadline) {
  const std::string where = host + ":" + std::to_string(port);
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  if (const int code = getaddrinfo(host.c_str(), std::to_string(port).c_str(), &hints, &found);
      code != 0) {
    throw StepError("cannot resolve " + where + ": " + gai_strerror(code));
  }
  const std::unique_ptr<addrinfo, decltype(&freeaddrinfo)> addresses(found, &freeaddrinfo);
  for (const addrinfo* address = found; address != nullptr && fd_ < 0; address = address->ai_next) {
    fd_ = connect_one(*address, deadline);
  }
  if (fd_ < 0) throw StepError("cannot connect to " + where + ": " + std::strerror(errno));
  const int on = 1;
  setsockopt(fd_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

Socket::~Socket() {
  if (fd_ >= 0) close(fd_);
}

bool Socket::write(std::span<const std::uint8_t> bytes, Deadline deadline) {
  while (!bytes.empty()) {
    if (fd_ < 0 || ended_) return false;
    const short events = wait_for(fd_, POLLIN | POLLOUT, deadline);
    if (events == 0) return false;
    if ((events & (POLLIN | POLLHUP | POLLERR)) != 0 && !receive_now()) return false;
    if ((events & POLLOUT) == 0) continue;
    const ssize_t sent = send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent < 0 && (errno == EAGAIN || errno == EINTR)) continue;
    if (sent < 0) return false;  // what the peer said before it went is still to be read
    bytes = bytes.subspan(static_cast<std::size_t>(sent));
  }
  return true;
}

Socket::Read Socket::read_more(Deadline deadline) {
  if (fd_ < 0 || ended_) return Read::End;
  const std::size_t before = buffer_.size();
  while (buffer_.size() == before) {
    if (wait_for(fd_, POLLIN, deadline) == 0) return Read::Timeout;
    if (!receive_now()) return Read::End;
  }
  return Read::Data;
}

bool Socket::receive_now() {
  if (consumed_ > kReadSize && consumed_ * 2 > buffer_.size()) {
    buffer_.erase(buffer_.begin(), buffer_.begin() + static_cast<std::ptrdiff_t>(consumed_));
    consumed_ = 0;
  }
  std::array<std::uint8_t, kReadSize> chunk;
  const ssize_t size = recv(fd_, chunk.data(), chunk.size(), 0);
  if (size < 0 && (errno == EAGAIN || errno == EINTR)) return true;
  if (size <= 0) {
    ended_ = true;
    return false;
  }
  buffer_.insert(buffer_.end(), chunk.begin(), chunk.begin() + size);
  return true;
}

std::span<const std::uint8_t> Socket::buffered() const {
  return std::span<const std::uint8_t>(buffer_).subspan(consumed_);
}

void Socket::consume(std::size_t size) { consumed_ += size; }

void Socket::shutdown_sending() { shutdown(fd_, SHUT_WR); }

void Socket::reset() {
  const linger at_once{1, 0};
  setsockopt(fd_, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
  close(fd_);
  fd_ = -1;
  ended_ = true;
}

}  // namespace harrier::scripts
