// SPDX-License-Identifier: Apache-2.0
//
// What every example would repeat: connecting to the broker of AMQP_URL, turning failures of
// rabbitmq-c into exceptions, and waiting for the next message. The rest is plain rabbitmq-c.
#pragma once

#include <amqp.h>
#include <amqp_tcp_socket.h>

#include <cstdint>
#include <cstdlib>
#include <stdexcept>
#include <string>
#include <string_view>

namespace example {

// rabbitmq-c asks for a channel number with every call; one channel is all that these need.
inline constexpr amqp_channel_t kChannel = 1;

inline amqp_bytes_t bytes(std::string_view text) {
  return {text.size(), const_cast<char*>(text.data())};
}

inline std::string text(amqp_bytes_t bytes) {
  return {static_cast<const char*>(bytes.bytes), bytes.len};
}

// For functions that return an amqp_status_enum: basic_publish, basic_ack and other one-way calls.
inline void check_status(int status, std::string_view what) {
  if (status != AMQP_STATUS_OK) {
    throw std::runtime_error(std::string(what) + ": " + amqp_error_string2(status));
  }
}

// For calls that the broker answers. It explains a refusal with a code and a text.
inline void check_reply(amqp_rpc_reply_t reply, std::string_view what) {
  if (reply.reply_type == AMQP_RESPONSE_NORMAL) return;
  if (reply.reply_type == AMQP_RESPONSE_LIBRARY_EXCEPTION) check_status(reply.library_error, what);
  std::string reason = "the broker closed the connection";
  if (reply.reply.id == AMQP_CHANNEL_CLOSE_METHOD) {
    reason = text(static_cast<amqp_channel_close_t*>(reply.reply.decoded)->reply_text);
  } else if (reply.reply.id == AMQP_CONNECTION_CLOSE_METHOD) {
    reason = text(static_cast<amqp_connection_close_t*>(reply.reply.decoded)->reply_text);
  }
  throw std::runtime_error(std::string(what) + ": " + reason);
}

// An open connection with an open channel; passes for an amqp_connection_state_t.
class Connection {
 public:
  Connection() : state_(amqp_new_connection()) {
    const char* const given = std::getenv("AMQP_URL");
    std::string url = given ? given : "amqp://guest:guest@127.0.0.1:5672/";
    amqp_connection_info broker;  // points into `url`
    check_status(amqp_parse_url(url.data(), &broker), "AMQP_URL");

    amqp_socket_t* const socket = amqp_tcp_socket_new(state_);
    check_status(amqp_socket_open(socket, broker.host, broker.port), "connect");
    const char* const vhost = *broker.vhost ? broker.vhost : "/";
    check_reply(
        amqp_login(state_, vhost, AMQP_DEFAULT_MAX_CHANNELS, AMQP_DEFAULT_FRAME_SIZE,
                   AMQP_DEFAULT_HEARTBEAT, AMQP_SASL_METHOD_PLAIN, broker.user, broker.password),
        "log in");
    amqp_channel_open(state_, kChannel);
    check("open a channel");
  }
  ~Connection() {
    amqp_connection_close(state_, AMQP_REPLY_SUCCESS);
    amqp_destroy_connection(state_);
  }
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  operator amqp_connection_state_t() const { return state_; }

  // After a call that the broker answers and that does not return an amqp_rpc_reply_t itself.
  void check(std::string_view what) const { check_reply(amqp_get_rpc_reply(state_), what); }

 private:
  amqp_connection_state_t state_;
};

// The next message for a consumer of this connection; waits for it.
class Delivery {
 public:
  explicit Delivery(const Connection& connection) {
    amqp_maybe_release_buffers(connection);
    check_reply(amqp_consume_message(connection, &envelope_, nullptr, 0), "wait for a message");
  }
  ~Delivery() { amqp_destroy_envelope(&envelope_); }
  Delivery(const Delivery&) = delete;
  Delivery& operator=(const Delivery&) = delete;

  std::string body() const { return text(envelope_.message.body); }
  std::string routing_key() const { return text(envelope_.routing_key); }
  std::uint64_t tag() const { return envelope_.delivery_tag; }
  const amqp_basic_properties_t& properties() const { return envelope_.message.properties; }

 private:
  amqp_envelope_t envelope_;
};

}  // namespace example
