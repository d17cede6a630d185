// SPDX-License-Identifier: Apache-2.0
#include "broker/bench/output.hpp"

#include <sys/socket.h>
#include <sys/uio.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

namespace harrier::bench {
namespace {

constexpr std::size_t kGrowth = 64 * 1024;
constexpr std::size_t kPiecesMax = 256;  // of one system call; the kernel takes up to 1024

}  // namespace

std::uint8_t* Output::reserve(std::size_t size) {
  if (own_.size() < used_ + size) own_.resize(std::max(used_ + size, own_.size() + kGrowth));
  return own_.data() + used_;
}

void Output::append(protocol::ByteView bytes) {
  std::memcpy(reserve(bytes.size()), bytes.data(), bytes.size());
  commit(bytes.size());
}

void Output::refer(protocol::ByteView bytes) {
  references_.push_back({used_, bytes});
  referred_ += bytes.size();
}

void Output::clear() {
  references_.clear();
  used_ = referred_ = sent_ = 0;
}

bool Output::send_once(int socket, bool& blocked) {
  std::array<iovec, kPiecesMax> pieces;
  std::size_t count = 0;
  std::size_t skip = sent_;
  const auto add = [&](const std::uint8_t* data, std::size_t size) {
    const std::size_t gone = std::min(skip, size);
    skip -= gone;
    if (size == gone || count == kPiecesMax) return;
    // iovec has no const; sendmsg() only reads.
    pieces[count++] = {const_cast<std::uint8_t*>(data + gone), size - gone};
  };
  std::size_t own_at = 0;
  for (const Reference& reference : references_) {
    add(own_.data() + own_at, reference.at - own_at);
    own_at = reference.at;
    add(reference.bytes.data(), reference.bytes.size());
  }
  add(own_.data() + own_at, used_ - own_at);
  msghdr message{};
  message.msg_iov = pieces.data();
  message.msg_iovlen = count;
  const ssize_t sent = ::sendmsg(socket, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
  if (sent >= 0) {
    sent_ += static_cast<std::size_t>(sent);
    return true;
  }
  if (errno == EINTR) return true;
  blocked = errno == EAGAIN || errno == EWOULDBLOCK;
  return false;
}

Output::Flush Output::flush(int socket) {
  bool blocked = false;
  while (pending() > 0) {
    if (!send_once(socket, blocked)) return blocked ? Flush::Blocked : Flush::Failed;
  }
  clear();
  return Flush::Done;
}

}  // namespace harrier::bench
