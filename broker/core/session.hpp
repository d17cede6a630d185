// SPDX-License-Identifier: Apache-2.0
//
// Session: one AMQP connection without its socket: bytes in, bytes out. Handshake, frames,
// channels, heartbeats, closing. Owned by the engine of one shard. While a method waits for another
// shard's answer the session is parked: it takes no input, so a pipelined method sees its own past
// (threading rule 7). Protocol errors end here: as channel.close or connection.close, never
// further. After peer_gone() it lives on until every shard has let go of it (finished()).
#pragma once

#include <array>
#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "broker/auth/authenticator.hpp"
#include "broker/auth/sasl.hpp"
#include "broker/core/access.hpp"
#include "broker/core/channel.hpp"
#include "broker/core/held_publishes.hpp"
#include "broker/core/output_buffer.hpp"
#include "broker/core/shard_message.hpp"
#include "protocol/codec.hpp"
#include "protocol/frame.hpp"

namespace harrier::broker {

class Engine;
struct VhostView;

struct Peer {
  std::string address;  // numeric, without port
  std::uint16_t port = 0;
  std::string local_address;
  std::uint16_t local_port = 0;
};

class Session {
 public:
  using OnReply = std::function<void(Reply&)>;

  Session(ConnectionId id, Peer peer, Engine& engine);
  ~Session();
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  // ---- the socket's side ----
  // Uses up whole frames from the front of `input`; returns how many bytes. The rest is offered
  // again, with what followed.
  std::size_t receive(protocol::ByteView input);
  // What is left of a body frame that has begun to come, where the message keeps it: the next bytes
  // from the peer may be read straight into it. Empty if there is none, or nobody keeps it.
  std::span<std::uint8_t> body_space();
  void body_arrived(std::size_t size);  // so many bytes of the space are filled
  std::uint64_t frames_received() const { return frames_received_; }
  void heard() { heard_ = true; }  // bytes came in: the peer lives (C-069)
  bool wants_input() const;
  OutputBuffer& output() { return output_; }
  void flushed();            // the kernel has taken some of the output
  bool wants_close() const;  // close TCP once the output is written
  void peer_gone();          // TCP is closed, or failed
  bool finished() const { return phase_ == Phase::Gone && released_; }

  // ---- the engine's side ----
  ConnectionId id() const { return id_; }
  const Peer& peer() const { return peer_; }
  std::string name() const;  // "127.0.0.1:5000 -> 127.0.0.1:5672"
  std::size_t channel_count() const { return channels_.size(); }
  void on_delivery(Delivery& delivery);
  void on_publish_settled(const PublishSettled& settled);
  void on_consumer_cancelled(const ConsumerCancelled& cancelled);
  void on_grant_wanted(const GrantWanted& wanted);
  void on_grant_returned(const GrantReturned& returned);
  void on_direct_reply(const DirectReply& reply);
  bool has_reply_consumer(const ChannelRef& channel, const std::string& name) const;
  void on_reply(Reply& reply);
  void on_alarm();
  void on_new_users();  // what the user may do has perhaps changed
  void on_window_open();
  void on_queue_full(QueueId queue);  // one that asks its publishers to wait
  void on_queue_has_room(QueueId queue);
  // What has waited for room, as far as there is, or all of it.
  void publish_held(bool though_full = false);
  void on_deadline();
  void end_turn();                              // confirms of the turn
  void force_close(const std::string& reason);  // 320
  bool list_as_dirty() { return !std::exchange(dirty_, true); }
  void unlist_as_dirty() { dirty_ = false; }

  // ---- the channels' side ----
  Engine& engine() { return engine_; }
  VhostView& vhost() { return *vhost_; }
  const User& user() const { return user_; }
  Access& access() { return access_; }
  bool updates_consumers_on_qos() const { return qos_updates_consumers_; }
  std::uint32_t next_consumer_number() { return ++last_consumer_; }

  template <class M>
  void send(std::uint16_t channel, const M& method);
  // What consumers see besides: how often the message came back (C-471), its offset in a stream
  // (C-481).
  void send_content(std::uint16_t channel, const protocol::MessagePtr& message,
                    std::uint32_t returns = 0,
                    std::optional<std::int64_t> stream_offset = std::nullopt);

  // Parks the session for `answers` replies; the returned address goes into the requests. `then`
  // runs for each reply, in the context of the channel and method of now; it may throw AmqpError
  // and may park again.
  ReplyTo park(unsigned answers, OnReply then);
  // Parks for one reply, or for one more if parked in this way already, always with the same
  // `then`. Meanwhile frames that Channel::may_follow lets through are taken, until the first one
  // that it does not.
  ReplyTo park_followed(OnReply then);
  void unpark();  // for waits that no Reply ends
  bool parked() const { return parked_; }
  void await_window();                          // too much is on its way to another shard
  void touch(QueueId queue, Channel& channel);  // that shard knows the channel from now on
  void own_exclusive() { owns_exclusive_ = true; }
  void erase_channel(std::uint16_t number);
  void list_for_confirms(std::uint16_t channel) { settled_channels_.push_back(channel); }
  void list_for_credit(std::uint16_t channel, std::uint32_t consumer);
  // Runs f; an AmqpError closes the channel, or the connection, as its code says.
  template <class F>
  void guarded(std::uint16_t channel, protocol::MethodId method, F&& f);
  void release_channel(Channel& channel, std::function<void()> then);

 private:
  enum class Phase : std::uint8_t {
    Header,    // nothing received yet
    Starting,  // start sent
    Tuning,    // tune sent
    Opening,   // tune-ok received
    Running,
    Closing,   // close sent, or about to be; only close and close-ok count
    Draining,  // nothing is said or heard any more; TCP closes at the deadline or by the peer
    Gone,      // no socket
  };
  static std::string_view phase_name(Phase phase);

  std::size_t receive_frames(protocol::ByteView input);
  std::size_t receive_header(protocol::ByteView input);
  // session_bodies.cpp
  bool open_body(protocol::ByteView input, const protocol::FrameResult& announced);
  std::size_t continue_body(protocol::ByteView input);
  void end_body(std::uint8_t end);
  protocol::ContentAssembler* body_taker(std::size_t size);
  void on_frame(const protocol::Frame& frame);
  void on_handshake_frame(const protocol::Frame& frame);
  void on_start_ok(const protocol::ConnectionStartOk& method);
  void on_tune_ok(const protocol::ConnectionTuneOk& method);
  void on_open(const protocol::ConnectionOpen& method);
  protocol::Table server_properties() const;
  void send_start();
  void refuse_login(std::string_view mechanism);
  void refuse_header();
  void close_silently();
  void claim_connection(const VhostView& vhost);
  Claim claim_channel() const;
  void drain(Millis delay);
  void close_tcp();
  std::size_t payload_max() const;

  void on_running_frame(const protocol::Frame& frame);
  void on_update_secret();
  void on_connection_method(const protocol::Frame& frame);
  void on_channel_frame(const protocol::Frame& frame);
  void on_unopened_channel(const protocol::Frame& frame);
  void on_channel_method(Channel& channel, const protocol::Frame& frame);
  void on_content(Channel& channel, const protocol::Frame& frame);
  void on_whole_content(Channel& channel);
  void on_closing_frame(const protocol::Frame& frame);
  bool may_follow(const protocol::FrameResult& result);
  // session_blocking.cpp
  bool must_block(const protocol::Frame& frame);
  bool must_wait(const protocol::Frame& frame);
  bool consumes() const;
  void tell_blocked(std::string_view reason);
  void tell_unblocked();
  void hold(Channel& channel);
  void stop_holding();

  void frame_error(const std::string& text);
  protocol::Method decode(const protocol::Frame& frame);

  void on_error(std::uint16_t channel, protocol::MethodId method, const protocol::AmqpError& error);
  void on_failure(protocol::MethodId method, const std::exception& failure);
  void close_channel(Channel& channel, const protocol::AmqpError& error, protocol::MethodId method);
  void close_connection(protocol::ReplyCode code, std::string_view explanation,
                        protocol::MethodId method);
  void close_by_peer();
  void forget_channels();
  void release_all(std::function<void()> then);
  void abandon_wait();

  Channel* find_channel(const ChannelRef& ref);
  Channel* find_channel(std::uint16_t number);
  Channel& add_channel(std::uint16_t number);

  void set_phase_deadline(Millis delay);
  void arm_timers();
  void look_at_heartbeats();
  void return_credit();

  const ConnectionId id_;
  const Peer peer_;
  Engine& engine_;
  Phase phase_ = Phase::Header;
  OutputBuffer output_;
  VhostView* vhost_ = nullptr;
  User user_;
  Access access_;
  Claim vhost_claim_;  // on the connections of its virtual host, and of its user
  Claim user_claim_;
  std::string mechanism_;

  bool can_close_on_login_failure_ = false;  // client capabilities (C-020)
  bool can_cancel_notify_ = false;
  bool can_be_blocked_ = false;
  bool qos_updates_consumers_ = false;
  bool owns_exclusive_ = false;
  bool stream_broken_ = false;  // frames cannot be told apart any more
  bool blocked_ = false;        // by an alarm
  bool blocked_told_ = false;
  bool waiting_for_window_ = false;
  bool holding_ = false;  // a queue is full, or publishes are held
  bool stopped_ = false;  // behind held publishes, at a frame that has to wait for them
  std::vector<QueueId> full_queues_;
  HeldPublishes held_;

  // A body frame of which only a part has come: large ones are taken in pieces.
  struct OpenBody {
    std::uint16_t channel = 0;
    std::size_t left = 0;                                        // of its payload
    std::array<std::uint8_t, protocol::kQuotedMax + 1> start{};  // an error would quote it
  };
  std::optional<OpenBody> open_body_;

  std::uint32_t frame_max_ = 0;    // 0 = no limit
  std::uint16_t channel_max_ = 0;  // 0 = no limit
  std::uint16_t heartbeat_s_ = 0;

  std::unordered_map<std::uint16_t, std::unique_ptr<Channel>> channels_;
  Channel* last_channel_ = nullptr;
  std::uint32_t last_generation_ = 0;
  std::uint32_t last_consumer_ = 0;
  std::vector<std::uint16_t> settled_channels_;
  std::vector<std::pair<std::uint16_t, std::uint32_t>> credit_due_;

  bool parked_ = false;
  bool followed_ = false;  // parked, but more of the same may come
  unsigned outstanding_ = 0;
  std::uint32_t first_token_ = 0;  // of this wait; replies to older ones are ignored
  std::uint32_t token_ = 0;
  OnReply on_reply_;
  std::uint16_t current_channel_ = 0;
  protocol::MethodId current_method_;

  bool dirty_ = false;  // listed by the engine for the end of the turn
  bool heard_ = false;
  bool close_now_ = false;  // TCP closes as soon as the output is written
  bool released_ = false;   // no shard knows of this connection any more
  std::uint64_t frames_received_ = 0;
  std::uint64_t appended_seen_ = 0;
  std::uint64_t consumed_seen_ = 0;
  unsigned silent_looks_ = 0;
  Millis phase_deadline_ = 0;  // 0 = none
  Millis next_send_look_ = 0;
  Millis next_receive_look_ = 0;
  Millis armed_ = 0;
};

template <class M>
void Session::send(std::uint16_t channel, const M& method) {
  const std::size_t size = protocol::encoded_size(method);
  std::uint8_t* out = output_.reserve(size + protocol::kFrameOverhead);
  out = protocol::put_frame_header(out, protocol::FrameType::Method, channel, size);
  out = protocol::encode(method, out);
  output_.commit(protocol::put_u8(out, protocol::kFrameEnd));
}

template <class F>
void Session::guarded(std::uint16_t channel, protocol::MethodId method, F&& f) {
  current_channel_ = channel;
  current_method_ = method;
  try {
    f();
  } catch (const protocol::AmqpError& error) {
    on_error(channel, method, error);
  } catch (
      const std::exception& failure) {  // ours, not the client's: out of memory, or a bug (C-143)
    on_failure(method, failure);
  }
}

}  // namespace harrier::broker
