// SPDX-License-Identifier: Apache-2.0
#include "tests/crash/client.hpp"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <variant>

#include "protocol/properties.hpp"

namespace harrier::crash_tests {
namespace {

using protocol::ByteView;
using protocol::FrameType;
using protocol::Method;

constexpr int kAnswerTimeoutMs = 30'000;  // a broker that takes longer hangs
constexpr std::size_t kReadBytes = 262'144;

// What the broker says unasked; everything else answers something.
bool is_unasked(const Method& method) {
  return std::holds_alternative<protocol::BasicDeliver>(method) ||
         std::holds_alternative<protocol::BasicReturn>(method) ||
         std::holds_alternative<protocol::BasicAck>(method) ||
         std::holds_alternative<protocol::BasicNack>(method) ||
         std::holds_alternative<protocol::BasicCancel>(method) ||
         std::holds_alternative<protocol::ConnectionBlocked>(method) ||
         std::holds_alternative<protocol::ConnectionUnblocked>(method);
}

int connect_to(std::uint16_t port) {
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) throw std::runtime_error(std::string("socket: ") + std::strerror(errno));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (::connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    const std::string why = std::strerror(errno);
    ::close(fd);
    throw Gone("connect: " + why);
  }
  const int on = 1;
  ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  ::fcntl(fd, F_SETFL, O_NONBLOCK);
  return fd;
}

}  // namespace

Client::Client(std::uint16_t port, OnMethod on_method)
    : on_method_(std::move(on_method)), socket_(connect_to(port)) {
  try {
    shake_hands();
  } catch (...) {
    ::close(socket_);
    throw;
  }
}

Client::~Client() { ::close(socket_); }

template <class M>
void Client::send_on_zero(const M& method) {
  const std::size_t at = out_.size();
  out_.resize(at + protocol::frame_size(method));
  protocol::encode_frame(0, method, out_.data() + at);
}

void Client::shake_hands() {
  out_.assign(protocol::kProtocolHeader.begin(), protocol::kProtocolHeader.end());
  await_answer("connection.start");
  protocol::ConnectionStartOk start_ok;
  start_ok.response = std::string_view("\0guest\0guest", 12);
  send_on_zero(start_ok);
  await_answer("connection.tune");
  protocol::ConnectionTuneOk tune_ok;
  tune_ok.channel_max = 1;
  tune_ok.frame_max = static_cast<std::uint32_t>(frame_max_);
  send_on_zero(tune_ok);
  send_on_zero(protocol::ConnectionOpen{});
  await_answer("connection.open-ok");
  call(protocol::ChannelOpen{});
}

Answer Client::await_answer(std::string_view what) {
  waiting_ = true;
  answer_.reset();
  while (!answer_) {
    pollfd entry{socket_, events(), 0};
    const int ready = gone_ ? 0 : ::poll(&entry, 1, kAnswerTimeoutMs);
    if (ready < 0 && errno == EINTR) continue;
    if (gone_) throw Gone("waiting for the answer to " + std::string(what));
    require(ready > 0, "no answer to " + std::string(what) + " in 30 s");
    pump(entry.revents);
  }
  waiting_ = false;
  Answer answer = *std::exchange(answer_, std::nullopt);
  if (answer.ok()) return answer;
  send(protocol::ChannelCloseOk{});
  call(protocol::ChannelOpen{});
  return answer;
}

void Client::publish(std::string_view exchange, std::string_view routing_key, bool mandatory,
                     ByteView properties, ByteView body) {
  protocol::BasicPublish method;
  method.exchange = exchange;
  method.routing_key = routing_key;
  method.mandatory = mandatory;
  send(method);
  const std::size_t part_max = frame_max_ - protocol::kFrameOverhead;
  const std::size_t parts = (body.size() + part_max - 1) / part_max;
  const std::size_t header_size = protocol::kContentHeaderSize + properties.size();
  std::size_t at = out_.size();
  out_.resize(at + protocol::kFrameOverhead * (1 + parts) + header_size + body.size());
  std::uint8_t* out = out_.data() + at;
  out = protocol::put_frame_header(out, FrameType::Header, 1, header_size);
  out = protocol::put_content_header(out, protocol::BasicPublish::kId.class_id, body.size());
  out = protocol::put_u8(protocol::put_raw(out, properties), protocol::kFrameEnd);
  while (!body.empty()) {
    const ByteView part = body.first(std::min(part_max, body.size()));
    out = protocol::put_frame_header(out, FrameType::Body, 1, part.size());
    out = protocol::put_u8(protocol::put_raw(out, part), protocol::kFrameEnd);
    body = body.subspan(part.size());
  }
}

short Client::events() const { return static_cast<short>(POLLIN | (unsent() > 0 ? POLLOUT : 0)); }

void Client::pump(short ready) {
  if (gone_) return;
  if ((ready & POLLOUT) != 0) write();
  if ((ready & (POLLIN | POLLHUP | POLLERR)) != 0) read();
}

void Client::write() {
  const ssize_t size = ::send(socket_, out_.data() + sent_, unsent(), MSG_NOSIGNAL);
  if (size < 0) return;  // what the broker said before it went is still to be read
  sent_ += static_cast<std::size_t>(size);
  if (sent_ == out_.size()) {
    out_.clear();
    sent_ = 0;
  } else if (sent_ > (1u << 22)) {
    out_.erase(out_.begin(), out_.begin() + static_cast<std::ptrdiff_t>(sent_));
    sent_ = 0;
  }
}

void Client::read() {
  const std::size_t at = in_.size();
  in_.resize(at + kReadBytes);
  const ssize_t size = ::recv(socket_, in_.data() + at, kReadBytes, 0);
  const int error = errno;
  in_.resize(at + static_cast<std::size_t>(std::max<ssize_t>(size, 0)));
  if (size == 0 || (size < 0 && error != EAGAIN && error != EINTR)) gone_ = true;
  dispatch();
}

void Client::read_to_end() {
  while (!gone_) {
    pollfd entry{socket_, POLLIN, 0};
    require(::poll(&entry, 1, kAnswerTimeoutMs) != 0, "a connection outlives its broker");
    pump(entry.revents);
  }
}

void Client::dispatch() {
  for (;;) {
    const auto result = protocol::read_frame(ByteView(in_).subspan(consumed_), frame_max_ - 8);
    if (result.status == protocol::FrameStatus::Incomplete) break;
    require(result.status == protocol::FrameStatus::Complete, "the broker sent a malformed frame");
    on_frame(result.frame);
    consumed_ += result.size;
  }
  in_.erase(in_.begin(), in_.begin() + static_cast<std::ptrdiff_t>(consumed_));
  consumed_ = 0;
}

void Client::on_frame(const protocol::Frame& frame) {
  const auto type = static_cast<FrameType>(frame.type);
  if (type == FrameType::Heartbeat) return;
  if (type == FrameType::Method) {
    on_method(frame.payload);
  } else {
    require(partial_.has_value(), "content without a method");
    on_content(frame);
  }
}

void Client::on_method(ByteView payload) {
  require(!partial_, "a method in the middle of a content");
  Method method;
  require(protocol::decode_method(payload, method) == protocol::DecodeStatus::Ok,
          "the broker sent a method that cannot be decoded");
  if (const auto* close = std::get_if<protocol::ConnectionClose>(&method)) {
    if (close->reply_code == 320) return;  // a shutdown
    throw Violation("the broker closed a connection: " + protocol::print(method));
  }
  if (const auto* tune = std::get_if<protocol::ConnectionTune>(&method);
      tune != nullptr && tune->frame_max != 0) {
    frame_max_ = tune->frame_max;
  }
  if (protocol::has_content(protocol::id_of(method))) {
    partial_.emplace();
    partial_->method.assign(payload.begin(), payload.end());
    return;
  }
  if (!on_answer(method)) on_method_(method, Content{});
}

bool Client::on_answer(const Method& method) {
  const auto* close = std::get_if<protocol::ChannelClose>(&method);
  if (!waiting_) {
    require(close == nullptr, "unexpected " + protocol::print(method));
    return false;
  }
  if (is_unasked(method)) return false;
  require(!answer_, "one answer too many: " + protocol::print(method));
  Answer answer;
  answer.id = protocol::id_of(method);
  if (close != nullptr) {
    answer.code = close->reply_code;
    answer.text = close->reply_text;
  } else if (const auto* declared = std::get_if<protocol::QueueDeclareOk>(&method)) {
    answer.message_count = declared->message_count;
    answer.consumer_count = declared->consumer_count;
  } else if (const auto* purged = std::get_if<protocol::QueuePurgeOk>(&method)) {
    answer.message_count = purged->message_count;
  } else if (const auto* deleted = std::get_if<protocol::QueueDeleteOk>(&method)) {
    answer.message_count = deleted->message_count;
  }
  answer_ = std::move(answer);
  return true;
}

void Client::on_content(const protocol::Frame& frame) {
  PartialContent& partial = *partial_;
  if (static_cast<FrameType>(frame.type) == FrameType::Header) {
    protocol::ByteReader reader(frame.payload);
    reader.raw(4);
    partial.body_size = reader.u64();
    require(reader.ok() && !partial.header_seen, "a malformed content header");
    partial.header_seen = true;
    const ByteView properties = frame.payload.subspan(protocol::kContentHeaderSize);
    partial.properties.assign(properties.begin(), properties.end());
    partial.body.reserve(partial.body_size);
  } else {
    require(partial.header_seen, "a body before its header");
    partial.body.insert(partial.body.end(), frame.payload.begin(), frame.payload.end());
  }
  require(partial.body.size() <= partial.body_size, "a body longer than announced");
  if (partial.body.size() < partial.body_size) return;
  const PartialContent whole = *std::exchange(partial_, std::nullopt);
  Method method;
  require(protocol::decode_method(whole.method, method) == protocol::DecodeStatus::Ok, "decode");
  on_method_(method, Content{whole.properties, whole.body});
}

}  // namespace harrier::crash_tests
