// SPDX-License-Identifier: Apache-2.0
//
// Listener: accepts connections on one address and deals them out to the shards in turn. Lives on
// one shard's io_context and thread. Running out of descriptors is waited out, not fatal: those
// connected keep being served.
#pragma once

#include <functional>
#include <string>

#include <asio/awaitable.hpp>
#include <asio/ip/tcp.hpp>

namespace harrier::broker {

class Listener {
 public:
  // Takes over the descriptor.
  using Accept = std::function<void(int socket, asio::ip::tcp protocol)>;

  // Opens and binds; throws asio::system_error if the address is in use, unknown or not permitted.
  Listener(asio::io_context& context, const std::string& host, std::uint16_t port, Accept accept);

  asio::ip::tcp::endpoint address() const { return address_; }
  void start();
  void stop();  // on the context's thread

 private:
  asio::awaitable<void> accept_loop();

  asio::ip::tcp::acceptor acceptor_;
  asio::ip::tcp::endpoint address_;
  Accept accept_;
};

}  // namespace harrier::broker
