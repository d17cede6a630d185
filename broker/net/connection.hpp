// SPDX-License-Identifier: Apache-2.0
//
// Connection: one TCP socket and the session behind it, both of one shard. It moves bytes and knows
// nothing of AMQP: reads into the shard's buffer when the socket is readable and the session wants
// input, writes gathered slices at the end of a turn. Any I/O error is the peer's end; it is told
// to the session, never thrown. No coroutine here: an idle connection then costs no frame, and the
// read buffer is the shard's.
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include <asio/ip/tcp.hpp>
#include <asio/steady_timer.hpp>

#include "broker/core/session.hpp"
#include "broker/runtime/link.hpp"

namespace harrier::broker {

class Shard;

class Connection final : public Link, public std::enable_shared_from_this<Connection> {
 public:
  // Null if the peer has gone already.
  static std::shared_ptr<Connection> open(Shard& shard, asio::ip::tcp::socket socket);
  Connection(Shard& shard, asio::ip::tcp::socket socket, Session& session);

  ConnectionId id() const override { return id_; }
  void start() override;
  void flush() override;

 private:
  void arm_read();
  void on_readable();
  // What there was to read; taken: how much of it has been used.
  struct Read {
    std::size_t size = 0;
    std::size_t taken = 0;
    bool more = false;  // there may be more at once
  };
  std::optional<Read> read();  // nothing: the peer is gone
  // These return how much has been used; the rest is pending.
  std::size_t feed(protocol::ByteView bytes);
  std::size_t feed_pending();
  void shrink_pending();
  bool write();
  void arm_write();
  void lost();
  void finish();
  void discard_input();

  Shard& shard_;
  asio::ip::tcp::socket socket_;
  Session* session_;  // null once the engine has forgotten it
  const ConnectionId id_;
  std::vector<std::uint8_t> pending_;  // bytes that the session could not use yet
  bool reading_ = false;
  bool writing_ = false;
  bool lingering_ = false;  // everything is said; waiting for the peer to hang up
  std::optional<asio::steady_timer> linger_timer_;
};

// Hands an accepted socket to a shard; any thread. The descriptor is taken over.
void adopt(Shard& shard, int socket, asio::ip::tcp protocol);

}  // namespace harrier::broker
