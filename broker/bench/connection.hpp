// SPDX-License-Identifier: Apache-2.0
//
// A client's connection with one open channel, never blocking: the handshake runs by itself once
// started, frames are looked at where they were received, and what they say is told to the owner's
// ConnectionEvents. Owned by a run, on the loop's thread. Whatever ends the connection without
// being asked for is thrown as a BenchError with the broker's own words.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "broker/bench/loop.hpp"
#include "broker/bench/output.hpp"
#include "broker/bench/target.hpp"
#include "protocol/codec.hpp"

namespace harrier::bench {

class ConnectionEvents {
 public:
  virtual ~ConnectionEvents() = default;
  virtual void on_open() {}
  // A delivery: its method, its header, its body in pieces, its end. Views end with the call.
  virtual void on_deliver(const protocol::BasicDeliver&) {}
  virtual void on_header(std::uint64_t /*body_size*/, protocol::ByteView /*properties*/) {}
  virtual void on_body(protocol::ByteView) {}
  virtual void on_delivered() {}
  virtual void on_confirm(std::uint64_t /*tag*/, bool /*multiple*/, bool /*ack*/) {}
  virtual void on_return(const protocol::BasicReturn&) {}
  virtual void on_reply(protocol::MethodId, protocol::ByteView /*payload*/) {}
  virtual void on_batch_end() {}  // all that one receive brought has been told
  virtual void on_room() {}       // everything is sent; called only if want_room()
};

class Connection {
 public:
  static constexpr std::uint16_t kChannel = 1;

  Connection(Loop& loop, const Endpoint& endpoint, ConnectionEvents& events);
  ~Connection();
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  void start();
  void start_close();
  void abandon();  // without a word
  bool open() const { return state_ == State::Open; }
  bool closed() const { return state_ == State::Closed; }

  // Into the output; flush() sends.
  template <class M>
  void put(const M& method, std::uint16_t channel = kChannel) {
    const std::size_t size = protocol::frame_size(method);
    protocol::encode_frame(channel, method, output_.reserve(size));
    output_.commit(size);
  }
  // The same for a method that is answered: counts what on_reply() will bring.
  template <class M>
  void request(const M& method) {
    put(method);
    ++requests_;
  }
  std::uint64_t unanswered() const { return requests_ - replies_; }
  std::uint64_t replies() const { return replies_; }

  Output& output() { return output_; }
  std::size_t unsent() const { return output_.pending(); }
  void flush();
  // on_room() as long as this is wanted and the socket takes more.
  void want_room(bool wanted);

  std::size_t body_frame_max() const { return frame_max_ - protocol::kFrameOverhead; }
  const std::string& product() const { return product_; }  // "RabbitMQ 3.10.8", as it says itself
  const std::string& blocked() const { return blocked_; }  // the broker's reason; "" if it is not

  // For the loop.
  int socket() const { return socket_; }
  void readable();
  void writable();
  void keep_alive(std::uint64_t now_ns);

 private:
  enum class State { Idle, Connecting, Starting, Tuning, Opening, Open, Closing, Closed };

  void take_frames(protocol::ByteView received);
  void take(const protocol::Frame& frame);
  void take_method(std::uint16_t channel, protocol::ByteView payload);
  void take_connection_method(protocol::MethodId id, protocol::ByteView payload);
  void take_content_header(protocol::ByteView payload);
  void take_body(protocol::ByteView payload);
  void on_start(protocol::ByteView payload);
  void on_tune(protocol::ByteView payload);
  void arm();
  void shut();
  [[noreturn]] void fail(const std::string& what) const;
  template <class M>
  M decoded(protocol::ByteView payload) const;

  Loop& loop_;
  const Endpoint& endpoint_;
  ConnectionEvents& events_;
  int socket_ = -1;
  State state_ = State::Idle;
  bool armed_ = false;  // for EPOLLOUT
  bool wants_room_ = false;
  bool returned_ = false;  // the content being received is a returned message's
  std::size_t frame_max_ = 0;
  std::uint64_t heartbeat_ns_ = 0;
  std::uint64_t last_sent_ns_ = 0;
  std::uint64_t requests_ = 0, replies_ = 0;
  std::uint64_t body_left_ = 0;
  Output output_;
  std::vector<std::uint8_t> rest_;  // the start of a frame whose end has not come
  std::string product_, blocked_;
};

}  // namespace harrier::bench
