// SPDX-License-Identifier: Apache-2.0
//
// One AMQP connection of a script: frames out, whole methods with their content in. Owned by one
// script run, one thread. It does nothing by itself: no heartbeats, no answers; the script says
// everything. What the peer does against the framing rules (a frame over the negotiated size,
// content out of order) is a StepError.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>

#include "protocol/frame.hpp"
#include "protocol/methods.hpp"
#include "tests/scripts/runner_methods.hpp"
#include "tests/scripts/runner_socket.hpp"

namespace harrier::scripts {

inline constexpr std::size_t kDefaultFrameMax = 131'072;  // what both brokers propose (C-042)
inline constexpr std::size_t kFrameMaxSmallest = 4096;    // what AMQP guarantees

struct Received {
  bool heartbeat = false;
  std::uint16_t channel = 0;
  std::unique_ptr<ByteVector> payload;  // the method's bytes; `method` points into them
  protocol::Method method;
  std::unique_ptr<Content> content;

  std::string name() const;
  std::string text() const;
};

class Connection {
 public:
  // Takes what was sent and received, one line each, for the report of a failure.
  using Transcript = std::function<void(std::string)>;

  Connection(std::string name, const std::string& host, std::uint16_t port, Deadline deadline,
             Transcript transcript);

  void send_bytes(const ByteVector& bytes, Deadline deadline);
  void send_frame(std::uint8_t type, std::uint16_t channel, protocol::ByteView payload,
                  Deadline deadline);
  void send_method(std::uint16_t channel, const ByteVector& payload, Deadline deadline);
  void send_header(std::uint16_t channel, const Content& content, Deadline deadline);
  void send_body(std::uint16_t channel, protocol::ByteView body,
                 Deadline deadline);  // cut at frame_max

  // Between hold and flush everything is collected, to leave in one segment.
  void hold() { held_.emplace(); }
  void flush(Deadline deadline);

  // The first received thing that `wanted` accepts, removed from the inbox; waits for it. Throws
  // StepError at the deadline and at the end of the stream. `expected` is for the text.
  Received take(const std::function<bool(const Received&)>& wanted, Deadline deadline,
                const std::string& expected);
  bool read_frame(
      Deadline deadline);  // one more frame if there is one by then; false at the end of the stream
  bool read_to_end(Deadline deadline);  // false at the deadline

  std::deque<Received>& inbox() { return inbox_; }
  Socket& socket() { return socket_; }
  const std::string& name() const { return name_; }

  void set_frame_max(std::size_t frame_max) { frame_max_ = frame_max; }
  const std::set<std::uint16_t>& open_channels() const { return open_channels_; }
  bool running() const { return running_; }  // connection.open-ok was received
  bool closing() const { return closing_; }  // connection.close was sent or received
  void forget() { forgotten_ = true; }       // dropped on purpose
  bool forgotten() const { return forgotten_; }

 private:
  std::optional<bool> next_frame(Deadline deadline);
  void on_frame(const protocol::Frame& frame);
  void on_method(Received received);
  void note_sent(std::uint16_t channel, const protocol::Method& method);

  std::string name_;
  Socket socket_;
  Transcript transcript_;
  std::optional<ByteVector> held_;
  std::deque<Received> inbox_;
  std::map<std::uint16_t, Received> partial_;  // content still arriving, by channel
  std::set<std::uint16_t> open_channels_;
  std::size_t frame_max_ = kDefaultFrameMax;
  bool running_ = false;
  bool closing_ = false;
  bool forgotten_ = false;
};

}  // namespace harrier::scripts
