// SPDX-License-Identifier: Apache-2.0
#include "broker/bench/connection.hpp"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <system_error>

#include "broker/version.hpp"

namespace harrier::bench {
namespace {

using protocol::ByteView;
using protocol::FrameStatus;
using protocol::FrameType;

// What RabbitMQ offers by default, so that both brokers cut large bodies alike.
constexpr std::uint32_t kFrameMax = 131'072;
// Before tuning, a peer may send what connection.start needs and no more.
constexpr std::size_t kFrameMaxUntuned = 65'536;
constexpr std::uint16_t kReplySuccess = 200;

std::string system_text(int error) { return std::generic_category().message(error); }

std::uint8_t type_of(FrameType type) { return static_cast<std::uint8_t>(type); }

}  // namespace

Connection::Connection(Loop& loop, const Endpoint& endpoint, ConnectionEvents& events)
    : loop_(loop), endpoint_(endpoint), events_(events), frame_max_(kFrameMaxUntuned) {}

Connection::~Connection() { shut(); }

void Connection::fail(const std::string& what) const {
  throw BenchError(endpoint_.target.address() + ": " + what);
}

template <class M>
M Connection::decoded(ByteView payload) const {
  M method;
  const auto status = protocol::decode_as(payload, method);
  if (status != protocol::DecodeStatus::Ok) fail("sent a malformed " + std::string(M::kName));
  return method;
}

void Connection::start() {
  socket_ = ::socket(endpoint_.address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (socket_ < 0) fail("no socket: " + system_text(errno));
  const int on = 1;
  ::setsockopt(socket_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  const auto* address = reinterpret_cast<const sockaddr*>(&endpoint_.address);
  if (::connect(socket_, address, endpoint_.address_size) != 0 && errno != EINPROGRESS) {
    fail("cannot connect: " + system_text(errno));
  }
  state_ = State::Connecting;
  armed_ = true;
  loop_.add(*this);
  output_.append(protocol::kProtocolHeader);
}

void Connection::start_close() {
  if (state_ != State::Open) return shut();
  protocol::ConnectionClose close;
  close.reply_code = kReplySuccess;
  close.reply_text = "done";
  put(close, 0);
  state_ = State::Closing;
  flush();
}

void Connection::abandon() { shut(); }

void Connection::shut() {
  if (socket_ >= 0) {
    loop_.remove(*this);
    ::close(socket_);
    socket_ = -1;
  }
  state_ = State::Closed;
}

void Connection::arm() {
  const bool wanted = wants_room_ || !output_.empty();
  if (wanted == armed_ || socket_ < 0) return;
  armed_ = wanted;
  loop_.change(*this, wanted);
}

void Connection::flush() {
  if (state_ == State::Connecting || socket_ < 0) return;
  if (!output_.empty()) last_sent_ns_ = loop_.turn_ns();
  const Output::Flush result = output_.flush(socket_);
  if (result == Output::Flush::Failed) {
    const int error = errno;
    // The broker may have said why before it hung up; what it said is still to be read.
    readable();
    if (state_ == State::Closed) return;
    fail("the connection broke: " + system_text(error));
  }
  arm();
}

void Connection::want_room(bool wanted) {
  wants_room_ = wanted;
  arm();
}

void Connection::writable() {
  if (state_ == State::Connecting) {
    int error = 0;
    socklen_t size = sizeof error;
    ::getsockopt(socket_, SOL_SOCKET, SO_ERROR, &error, &size);
    if (error != 0) fail("cannot connect: " + system_text(error));
    state_ = State::Starting;
  }
  flush();
  if (wants_room_ && output_.empty() && state_ == State::Open) events_.on_room();
}

void Connection::keep_alive(std::uint64_t now_ns) {
  // Twice per interval, as the specification asks; whatever was sent counts.
  if (heartbeat_ns_ == 0 || now_ns - std::min(now_ns, last_sent_ns_) < heartbeat_ns_ / 2) return;
  if (!output_.empty() || state_ != State::Open) return;
  std::uint8_t* const out = output_.reserve(protocol::kFrameOverhead);
  *protocol::put_frame_header(out, FrameType::Heartbeat, 0, 0) = protocol::kFrameEnd;
  output_.commit(protocol::kFrameOverhead);
  flush();
}

void Connection::readable() {
  std::vector<std::uint8_t>& buffer = loop_.receive_buffer();
  std::copy(rest_.begin(), rest_.end(), buffer.begin());
  const std::size_t kept = rest_.size();
  const ssize_t got = ::recv(socket_, buffer.data() + kept, buffer.size() - kept, 0);
  if (got < 0) {
    if (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR) return;
    if (state_ == State::Closing) return shut();
    fail((state_ == State::Connecting ? "cannot connect: " : "the connection broke: ") +
         system_text(errno));
  }
  if (got == 0) {
    if (state_ == State::Closing) return shut();
    fail("hung up without a word");
  }
  rest_.clear();
  loop_.touch();
  take_frames({buffer.data(), kept + static_cast<std::size_t>(got)});
  if (state_ == State::Open) events_.on_batch_end();
  if (socket_ >= 0) flush();
}

void Connection::take_frames(ByteView received) {
  while (!received.empty() && state_ != State::Closed) {
    const auto result = protocol::read_frame(received, frame_max_ - protocol::kFrameOverhead);
    if (result.status == FrameStatus::Incomplete) {
      rest_.assign(received.begin(), received.end());
      return;
    }
    if (result.status != FrameStatus::Complete) {
      if (received[0] == 'A') fail("speaks another version of AMQP");
      fail("sent a malformed frame: " +
           protocol::frame_error_text(received, result.status, frame_max_));
    }
    take(result.frame);
    received = received.subspan(result.size);
  }
}

void Connection::take(const protocol::Frame& frame) {
  if (frame.type == type_of(FrameType::Method)) {
    take_method(frame.channel, frame.payload);
  } else if (frame.type == type_of(FrameType::Header)) {
    take_content_header(frame.payload);
  } else if (frame.type == type_of(FrameType::Body)) {
    take_body(frame.payload);
  } else if (frame.type != type_of(FrameType::Heartbeat)) {
    fail("sent a frame of type " + std::to_string(frame.type));
  }
}

void Connection::take_method(std::uint16_t channel, ByteView payload) {
  const auto id = protocol::peek_method(payload);
  if (!id) fail("sent a malformed method");
  if (*id == protocol::BasicDeliver::kId) {
    returned_ = false;
    events_.on_deliver(decoded<protocol::BasicDeliver>(payload));
  } else if (*id == protocol::BasicAck::kId) {
    const auto ack = decoded<protocol::BasicAck>(payload);
    events_.on_confirm(ack.delivery_tag, ack.multiple, true);
  } else if (*id == protocol::BasicNack::kId) {
    const auto nack = decoded<protocol::BasicNack>(payload);
    events_.on_confirm(nack.delivery_tag, nack.multiple, false);
  } else if (*id == protocol::BasicReturn::kId) {
    returned_ = true;
    events_.on_return(decoded<protocol::BasicReturn>(payload));
  } else if (*id == protocol::ChannelClose::kId) {
    const auto close = decoded<protocol::ChannelClose>(payload);
    fail("closed the channel: " + std::to_string(close.reply_code) + " " +
         std::string(close.reply_text));
  } else if (*id == protocol::BasicCancel::kId) {
    fail("cancelled a consumer");
  } else if (channel == 0) {
    take_connection_method(*id, payload);
  } else if (*id == protocol::ChannelOpenOk::kId) {
    state_ = State::Open;
    events_.on_open();
  } else {
    ++replies_;
    events_.on_reply(*id, payload);
  }
}

void Connection::take_connection_method(protocol::MethodId id, ByteView payload) {
  if (id == protocol::ConnectionStart::kId && state_ == State::Starting) {
    on_start(payload);
  } else if (id == protocol::ConnectionTune::kId && state_ == State::Tuning) {
    on_tune(payload);
  } else if (id == protocol::ConnectionOpenOk::kId && state_ == State::Opening) {
    return;  // channel.open-ok is what is waited for
  } else if (id == protocol::ConnectionCloseOk::kId && state_ == State::Closing) {
    shut();
  } else if (id == protocol::ConnectionBlocked::kId) {
    blocked_ = decoded<protocol::ConnectionBlocked>(payload).reason;
    if (blocked_.empty()) blocked_ = "no reason given";
  } else if (id == protocol::ConnectionUnblocked::kId) {
    blocked_.clear();
  } else if (id == protocol::ConnectionClose::kId) {
    const auto close = decoded<protocol::ConnectionClose>(payload);
    fail("closed the connection: " + std::to_string(close.reply_code) + " " +
         std::string(close.reply_text));
  } else {
    fail("sent " + std::string(protocol::name_of(id)) + ", which does not belong here");
  }
}

void Connection::on_start(ByteView payload) {
  const auto start = decoded<protocol::ConnectionStart>(payload);
  for (const char* key : {"product", "version"}) {
    const auto value = start.server_properties.find(key);
    const auto text = value ? value->as_text() : std::nullopt;
    if (!text) continue;
    if (!product_.empty()) product_ += ' ';
    product_ += *text;
  }
  protocol::Table capabilities;
  for (const char* name : {"publisher_confirms", "basic.nack", "consumer_cancel_notify",
                           "connection.blocked", "authentication_failure_close"}) {
    capabilities.add_bool(name, true);
  }
  protocol::Table properties;
  properties.add("product", "harrier bench").add("version", broker::kVersion);
  properties.add_table("capabilities", capabilities);
  const Target& target = endpoint_.target;
  const std::string response = std::string(1, '\0') + target.user + '\0' + target.password;
  protocol::ConnectionStartOk ok;
  ok.client_properties = properties;
  ok.response = response;
  put(ok, 0);
  state_ = State::Tuning;
}

void Connection::on_tune(ByteView payload) {
  const auto tune = decoded<protocol::ConnectionTune>(payload);
  frame_max_ = tune.frame_max == 0 ? kFrameMax : std::min(tune.frame_max, kFrameMax);
  heartbeat_ns_ = tune.heartbeat * kSecondNs;
  protocol::ConnectionTuneOk ok;
  ok.channel_max = tune.channel_max;
  ok.frame_max = static_cast<std::uint32_t>(frame_max_);
  ok.heartbeat = tune.heartbeat;
  put(ok, 0);
  protocol::ConnectionOpen open;
  open.virtual_host = endpoint_.target.vhost;
  put(open, 0);
  put(protocol::ChannelOpen{}, kChannel);
  state_ = State::Opening;
}

void Connection::take_content_header(ByteView payload) {
  protocol::ByteReader reader(payload);
  reader.u32();  // class and weight
  body_left_ = reader.u64();
  if (!reader.ok()) fail("sent a malformed content header");
  if (returned_) return;
  events_.on_header(body_left_, reader.raw(reader.remaining()));
  if (body_left_ == 0) events_.on_delivered();
}

void Connection::take_body(ByteView payload) {
  if (payload.size() > body_left_) fail("sent a longer body than it announced");
  body_left_ -= payload.size();
  if (returned_) return;
  events_.on_body(payload);
  if (body_left_ == 0) events_.on_delivered();
}

}  // namespace harrier::bench
