// SPDX-License-Identifier: Apache-2.0
#include "broker/net/connection.hpp"

#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>

#include "broker/runtime/shard.hpp"

namespace harrier::broker {

namespace {

// After our last byte the peer gets this long to read it: closing with unread input would reset the
// connection, and the peer might never see why.
constexpr std::chrono::milliseconds kLinger{1'000};
constexpr std::size_t kPendingKeep = 4 * 1024;  // a leftover buffer larger than this is given back
constexpr std::size_t kSlicesPerWrite = 64;
// What one connection may bring in before the other sockets of the shard have their turn.
constexpr std::size_t kBytesPerWake = 512 * 1024;
// Where so much of a body is still to come it is read into its message, and into the buffer only
// the start of what follows.
constexpr std::size_t kOwnReadMin = 16 * 1024;
constexpr std::size_t kBehindBody = 4 * 1024;

bool would_block(int error) { return error == EAGAIN || error == EWOULDBLOCK || error == EINTR; }

}  // namespace

std::shared_ptr<Connection> Connection::open(Shard& shard, asio::ip::tcp::socket socket) {
  asio::error_code error;
  const auto remote = socket.remote_endpoint(error);
  if (error) return nullptr;
  const auto local = socket.local_endpoint(error);
  if (error) return nullptr;
  socket.non_blocking(true, error);
  socket.native_non_blocking(true, error);
  socket.set_option(asio::ip::tcp::no_delay(true), error);
  Peer peer{remote.address().to_string(), remote.port(), local.address().to_string(), local.port()};
  return std::make_shared<Connection>(shard, std::move(socket),
                                      shard.engine().open_connection(peer));
}

void adopt(Shard& shard, int socket, asio::ip::tcp protocol) {
  shard.adopt([&shard, socket, protocol]() -> std::shared_ptr<Link> {
    asio::ip::tcp::socket adopted(shard.context());
    asio::error_code error;
    adopted.assign(protocol, socket, error);
    if (error) ::close(socket);
    return error ? nullptr : Connection::open(shard, std::move(adopted));
  });
}

Connection::Connection(Shard& shard, asio::ip::tcp::socket socket, Session& session)
    : shard_(shard), socket_(std::move(socket)), session_(&session), id_(session.id()) {}

void Connection::start() { arm_read(); }

void Connection::arm_read() {
  if (reading_) return;
  reading_ = true;
  socket_.async_wait(asio::ip::tcp::socket::wait_read,
                     [self = shared_from_this()](const asio::error_code& error) {
                       self->reading_ = false;
                       if (error) return;
                       self->shard_.before_input();
                       self->on_readable();
                     });
}

void Connection::on_readable() {
  if (lingering_) {
    discard_input();
    return;
  }
  if (session_ == nullptr) return;  // it ended while this waited to be called
  std::size_t taken = 0;
  std::size_t size = 0;
  for (bool more = true; more && size < kBytesPerWake && session_->wants_input();) {
    const std::optional<Read> part = read();
    if (!part) {
      lost();
      return;
    }
    size += part->size;
    taken += part->taken;
    more = part->more;
  }
  // What came of the input goes out before more is taken, or a publisher would outrun its own
  // consumers: the flush at the end of the turn arms the next read.
  if (taken == 0 && session_->wants_input()) arm_read();
}

std::optional<Connection::Read> Connection::read() {
  const std::uint64_t frames = session_->frames_received();
  auto body = pending_.empty() ? session_->body_space() : std::span<std::uint8_t>{};
  if (body.size() < kOwnReadMin) body = {};
  // A little that waits for the rest of its frame is read on behind; much stays where it is.
  auto buffer = shard_.read_buffer();
  const std::size_t before = pending_.size() <= buffer.size() / 2 ? pending_.size() : 0;
  auto space = buffer.subspan(before);
  if (!body.empty()) space = space.first(kBehindBody);

  std::array<iovec, 2> places{{{body.data(), body.size()}, {space.data(), space.size()}}};
  const ssize_t result = body.empty()
                             ? ::recv(socket_.native_handle(), space.data(), space.size(), 0)
                             : ::readv(socket_.native_handle(), places.data(), places.size());
  if (result < 0 && would_block(errno)) return Read{};
  if (result <= 0) return std::nullopt;
  session_->heard();

  Read read;
  read.size = static_cast<std::size_t>(result);
  read.more = read.size == body.size() + space.size();
  const std::size_t in_body = std::min(read.size, body.size());
  if (in_body > 0) session_->body_arrived(in_body);
  const auto rest = space.first(read.size - in_body);
  read.taken = in_body;
  if (pending_.size() > before) {
    pending_.insert(pending_.end(), rest.begin(), rest.end());
    read.taken += feed_pending();
  } else if (!rest.empty()) {
    std::copy(pending_.begin(), pending_.end(), buffer.begin());
    read.taken += feed(buffer.first(before + rest.size()));
  }
  shard_.note_work(session_->frames_received() - frames);
  return read;
}

std::size_t Connection::feed(protocol::ByteView bytes) {
  const std::size_t used = session_->receive(bytes);
  pending_.assign(bytes.begin() + static_cast<std::ptrdiff_t>(used), bytes.end());
  shrink_pending();
  return used;
}

std::size_t Connection::feed_pending() {
  const std::size_t used = session_->receive(pending_);
  pending_.erase(pending_.begin(), pending_.begin() + static_cast<std::ptrdiff_t>(used));
  shrink_pending();
  return used;
}

void Connection::shrink_pending() {
  if (pending_.empty() && pending_.capacity() > kPendingKeep)
    std::vector<std::uint8_t>().swap(pending_);
}

void Connection::flush() {
  if (session_ == nullptr) return;
  if (!lingering_ && !writing_ && socket_.is_open() && !write()) lost();
  if (session_->finished()) {
    session_ = nullptr;
    if (!lingering_) {
      asio::error_code ignored;  // nobody is left to be told
      socket_.close(ignored);
    }
    shard_.forget(id_);
    return;
  }
  if (lingering_ || !socket_.is_open()) return;
  if (session_->wants_close()) {
    finish();
    return;
  }
  if (!session_->wants_input()) return;
  if (!pending_.empty()) feed_pending();
  if (session_->wants_input()) arm_read();
}

// False if the peer is gone.
bool Connection::write() {
  OutputBuffer& output = session_->output();
  while (!output.empty()) {
    std::array<protocol::ByteView, kSlicesPerWrite> slices;
    std::array<iovec, kSlicesPerWrite> vectors{};
    const std::size_t count = output.gather(slices);
    for (std::size_t i = 0; i < count; ++i) {
      vectors[i].iov_base = const_cast<std::uint8_t*>(slices[i].data());
      vectors[i].iov_len = slices[i].size();
    }
    msghdr message{};
    message.msg_iov = vectors.data();
    message.msg_iovlen = count;
    const ssize_t size = ::sendmsg(socket_.native_handle(), &message, MSG_NOSIGNAL);
    if (size < 0 && !would_block(errno)) return false;
    if (size < 0) {
      arm_write();
      break;
    }
    output.consume(static_cast<std::size_t>(size));
  }
  session_->flushed();
  return true;
}

void Connection::arm_write() {
  writing_ = true;
  socket_.async_wait(asio::ip::tcp::socket::wait_write,
                     [self = shared_from_this()](const asio::error_code& error) {
                       self->writing_ = false;
                       if (error) return;
                       self->shard_.before_input();
                       self->flush();
                     });
}

void Connection::lost() {
  asio::error_code ignored;
  socket_.close(ignored);
  session_->peer_gone();
}

void Connection::finish() {
  ::shutdown(socket_.native_handle(), SHUT_WR);
  lingering_ = true;
  pending_ = {};
  session_->peer_gone();
  linger_timer_.emplace(shard_.context(), kLinger);
  linger_timer_->async_wait([self = shared_from_this()](const asio::error_code& error) {
    asio::error_code ignored;
    if (!error) self->socket_.close(ignored);
  });
  arm_read();
}

void Connection::discard_input() {
  const auto buffer = shard_.read_buffer();
  const ssize_t size = ::recv(socket_.native_handle(), buffer.data(), buffer.size(), 0);
  if (size > 0 || (size < 0 && would_block(errno))) {
    arm_read();
    return;
  }
  linger_timer_->cancel();
  asio::error_code ignored;
  socket_.close(ignored);
}

}  // namespace harrier::broker
