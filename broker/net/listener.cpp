// SPDX-License-Identifier: Apache-2.0
#include "broker/net/listener.hpp"

#include <chrono>

#include <asio/co_spawn.hpp>
#include <asio/detached.hpp>
#include <asio/ip/v6_only.hpp>
#include <asio/redirect_error.hpp>
#include <asio/steady_timer.hpp>
#include <asio/use_awaitable.hpp>

namespace harrier::broker {

using asio::ip::tcp;

namespace {

constexpr int kBacklog = 1'024;  // bursts of reconnecting clients; the system may cap it
constexpr std::chrono::milliseconds kRetryAccept{100};

}  // namespace

Listener::Listener(asio::io_context& context, const std::string& host, std::uint16_t port,
                   Accept accept)
    : acceptor_(context), accept_(std::move(accept)) {
  tcp::resolver resolver(context);
  const auto found = resolver.resolve(host, std::to_string(port),
                                      tcp::resolver::passive | tcp::resolver::numeric_service);
  address_ = found.begin()->endpoint();
  acceptor_.open(address_.protocol());
  acceptor_.set_option(tcp::acceptor::reuse_address(true));
  if (address_.address().is_v6()) acceptor_.set_option(asio::ip::v6_only(true));
  acceptor_.bind(address_);
  acceptor_.listen(kBacklog);
  address_ = acceptor_.local_endpoint();
}

void Listener::start() { asio::co_spawn(acceptor_.get_executor(), accept_loop(), asio::detached); }

void Listener::stop() {
  asio::error_code ignored;
  acceptor_.close(ignored);
}

asio::awaitable<void> Listener::accept_loop() {
  while (acceptor_.is_open()) {
    asio::error_code error;
    tcp::socket socket =
        co_await acceptor_.async_accept(asio::redirect_error(asio::use_awaitable, error));
    if (!acceptor_.is_open()) co_return;
    if (error) {
      asio::steady_timer pause(acceptor_.get_executor(), kRetryAccept);
      co_await pause.async_wait(asio::redirect_error(asio::use_awaitable, error));
      continue;
    }
    const tcp protocol = address_.protocol();
    accept_(socket.release(error), protocol);
  }
}

}  // namespace harrier::broker
