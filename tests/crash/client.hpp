// SPDX-License-Identifier: Apache-2.0
//
// Client: one AMQP connection with channel 1, without a thread: pump() moves bytes when its socket
// is ready, and hands over every method. Owned by an actor of the crash test, on the only thread.
// call() waits for one answer. What the broker does against the protocol is a Violation; the end of
// the connection is Gone from call(), and gone() otherwise: what was sent before it is still read.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "protocol/codec.hpp"
#include "tests/crash/violation.hpp"

namespace harrier::crash_tests {

struct Content {
  protocol::ByteView properties;
  protocol::ByteView body;
};

// On its way. Not inside Client: clang 14 makes no optional of a nested class with initializers
// there.
struct PartialContent {
  std::vector<std::uint8_t> method;
  std::vector<std::uint8_t> properties;
  std::vector<std::uint8_t> body;
  std::uint64_t body_size = 0;
  bool header_seen = false;
};

struct Answer {
  protocol::MethodId id;
  std::uint32_t message_count = 0;   // of declare-ok, purge-ok, delete-ok
  std::uint32_t consumer_count = 0;  // of declare-ok
  std::uint16_t code = 0;            // of channel.close; the channel is open again
  std::string text;
  bool ok() const { return code == 0; }
};

class Client {
 public:
  using OnMethod = std::function<void(const protocol::Method&, const Content&)>;

  Client(std::uint16_t port, OnMethod on_method);  // throws Gone
  ~Client();
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  template <class M>
  void send(const M& method) {
    const std::size_t at = out_.size();
    out_.resize(at + protocol::frame_size(method));
    protocol::encode_frame(1, method, out_.data() + at);
  }
  void publish(std::string_view exchange, std::string_view routing_key, bool mandatory,
               protocol::ByteView properties, protocol::ByteView body);
  template <class M>
  Answer call(const M& method) {
    send(method);
    return await_answer(protocol::name_of(M::kId));
  }
  // How that queue is, or that it is not there.
  Answer look_at(std::string_view queue) {
    protocol::QueueDeclare passive;
    passive.queue = queue;
    passive.passive = true;
    return call(passive);
  }

  int socket() const { return socket_; }
  bool gone() const { return gone_; }
  std::size_t unsent() const { return out_.size() - sent_; }
  short events() const;  // for poll
  void pump(short ready);
  void read_to_end();  // the broker is dead: what did it say before?

 private:
  void shake_hands();
  Answer await_answer(std::string_view what);
  template <class M>
  void send_on_zero(const M& method);
  void write();
  void read();
  void dispatch();
  void on_frame(const protocol::Frame& frame);
  void on_method(protocol::ByteView payload);
  void on_content(const protocol::Frame& frame);
  bool on_answer(const protocol::Method& method);

  OnMethod on_method_;
  int socket_ = -1;
  bool gone_ = false;
  std::size_t frame_max_ = 131'072;
  std::vector<std::uint8_t> out_;
  std::size_t sent_ = 0;
  std::vector<std::uint8_t> in_;
  std::size_t consumed_ = 0;
  std::optional<PartialContent> partial_;
  bool waiting_ = false;
  std::optional<Answer> answer_;
};

}  // namespace harrier::crash_tests
