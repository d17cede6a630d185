// SPDX-License-Identifier: Apache-2.0
#include "tests/scripts/runner_connection.hpp"

#include <utility>

#include "protocol/bytes.hpp"
#include "protocol/codec.hpp"

namespace harrier::scripts {
namespace {

using protocol::ByteView;
using protocol::FrameType;

std::string hex_text(ByteView bytes) {
  constexpr std::size_t kShown = 48;
  constexpr char kDigits[] = "0123456789abcdef";
  std::string out;
  for (std::size_t i = 0; i < std::min(bytes.size(), kShown); ++i) {
    if (i > 0) out += ' ';
    out += kDigits[bytes[i] >> 4];
    out += kDigits[bytes[i] & 15];
  }
  if (bytes.size() > kShown) out += " ...";
  return out;
}

std::string place(const std::string& connection, std::uint16_t channel) {
  return connection + (channel > 1 ? "." + std::to_string(channel) : "");
}

}  // namespace

std::string Received::name() const {
  return heartbeat ? "heartbeat" : std::string(protocol::name_of(method));
}

std::string Received::text() const {
  if (heartbeat) return "heartbeat";
  std::string out = protocol::print(method);
  if (content) out += "  " + content_text(*content);
  return out;
}

Connection::Connection(std::string name, const std::string& host, std::uint16_t port,
                       Deadline deadline, Transcript transcript)
    : name_(std::move(name)), socket_(host, port, deadline), transcript_(std::move(transcript)) {}

void Connection::send_bytes(const ByteVector& bytes, Deadline deadline) {
  if (held_) {
    held_->insert(held_->end(), bytes.begin(), bytes.end());
  } else if (!socket_.write(bytes, deadline)) {
    transcript_(name_ + "   (the peer has closed or does not read)");
  }
}

void Connection::flush(Deadline deadline) {
  if (!held_) throw StepError("flush without hold");
  const ByteVector bytes = std::move(*held_);
  held_.reset();
  send_bytes(bytes, deadline);
}

void Connection::send_frame(std::uint8_t type, std::uint16_t channel, ByteView payload,
                            Deadline deadline) {
  ByteVector bytes(payload.size() + protocol::kFrameOverhead);
  std::uint8_t* out = protocol::put_frame_header(bytes.data(), static_cast<FrameType>(type),
                                                 channel, payload.size());
  protocol::put_u8(protocol::put_raw(out, payload), protocol::kFrameEnd);
  send_bytes(bytes, deadline);
}

void Connection::send_method(std::uint16_t channel, const ByteVector& payload, Deadline deadline) {
  protocol::Method method;
  if (decode_method(payload, method) == protocol::DecodeStatus::Ok) {
    note_sent(channel, method);
    transcript_(place(name_, channel) + " > " + protocol::print(method));
  } else {
    transcript_(place(name_, channel) + " > method " + hex_text(payload));
  }
  send_frame(static_cast<std::uint8_t>(FrameType::Method), channel, payload, deadline);
}

void Connection::note_sent(std::uint16_t channel, const protocol::Method& method) {
  if (std::holds_alternative<protocol::ConnectionClose>(method)) closing_ = true;
  if (std::holds_alternative<protocol::ChannelClose>(method)) open_channels_.erase(channel);
}

void Connection::send_header(std::uint16_t channel, const Content& content, Deadline deadline) {
  ByteVector payload(protocol::kContentHeaderSize + content.properties.size());
  std::uint8_t* out =
      protocol::put_content_header(payload.data(), content.class_id, content.announced_size);
  protocol::put_u16(payload.data() + 2, content.weight);
  protocol::put_raw(out, content.properties);
  transcript_(place(name_, channel) + " > header " + content_text(content));
  send_frame(static_cast<std::uint8_t>(FrameType::Header), channel, payload, deadline);
}

void Connection::send_body(std::uint16_t channel, ByteView body, Deadline deadline) {
  const std::size_t part_max =
      frame_max_ == 0 ? body.size() : frame_max_ - protocol::kFrameOverhead;
  while (!body.empty()) {
    const ByteView part = body.first(std::min(part_max, body.size()));
    send_frame(static_cast<std::uint8_t>(FrameType::Body), channel, part, deadline);
    body = body.subspan(part.size());
  }
}

Received Connection::take(const std::function<bool(const Received&)>& wanted, Deadline deadline,
                          const std::string& expected) {
  std::size_t seen = 0;
  for (;;) {
    for (; seen < inbox_.size(); ++seen) {
      if (!wanted(inbox_[seen])) continue;
      Received found = std::move(inbox_[seen]);
      inbox_.erase(inbox_.begin() + static_cast<std::ptrdiff_t>(seen));
      return found;
    }
    const std::optional<bool> got = next_frame(deadline);
    if (got == true) continue;
    std::string text = "expected " + expected + "\nreceived " +
                       (got ? "the end of the stream" : "nothing in time");
    for (const Received& other : inbox_)
      text += "\nunread   " + place(name_, other.channel) + " " + other.text();
    throw StepError(text);
  }
}

bool Connection::read_frame(Deadline deadline) {
  const std::optional<bool> got = next_frame(deadline);
  if (!got) throw StepError("received nothing in time");
  return *got;
}

bool Connection::read_to_end(Deadline deadline) {
  for (;;) {
    const std::optional<bool> got = next_frame(deadline);
    if (!got) return false;
    if (!*got) return true;
  }
}

// True: a frame was handled; false: the end of the stream; nullopt: the deadline.
std::optional<bool> Connection::next_frame(Deadline deadline) {
  for (;;) {
    const ByteView bytes = socket_.buffered();
    if (bytes.size() >= 4 && protocol::as_text(bytes.first(4)) == "AMQP") {
      throw StepError("received the protocol header " + hex_text(bytes));
    }
    const std::size_t payload_max = frame_max_ == 0 ? 0 : frame_max_ - protocol::kFrameOverhead;
    const protocol::FrameResult result = protocol::read_frame(bytes, payload_max);
    if (result.status == protocol::FrameStatus::Complete) {
      on_frame(result.frame);
      socket_.consume(result.size);
      return true;
    }
    if (result.status != protocol::FrameStatus::Incomplete) {
      throw StepError("received a bad frame: " +
                      protocol::frame_error_text(bytes, result.status, frame_max_));
    }
    switch (socket_.read_more(deadline)) {
      case Socket::Read::Data:
        continue;
      case Socket::Read::End:
        return false;
      case Socket::Read::Timeout:
        return std::nullopt;
    }
  }
}

void Connection::on_frame(const protocol::Frame& frame) {
  const auto partial = partial_.find(frame.channel);
  const bool content_due = partial != partial_.end();
  switch (static_cast<FrameType>(frame.type)) {
    case FrameType::Heartbeat: {
      if (frame.channel != 0 || !frame.payload.empty())
        throw StepError("received a malformed heartbeat");
      Received received;
      received.heartbeat = true;
      transcript_(name_ + " < heartbeat");
      inbox_.push_back(std::move(received));
      return;
    }
    case FrameType::Method: {
      if (content_due)
        throw StepError("received a method inside a content: " + partial->second.text());
      Received received;
      received.channel = frame.channel;
      received.payload = std::make_unique<ByteVector>(frame.payload.begin(), frame.payload.end());
      if (decode_method(*received.payload, received.method) != protocol::DecodeStatus::Ok) {
        throw StepError("received a method that does not decode: " + hex_text(frame.payload));
      }
      if (!protocol::has_content(protocol::id_of(received.method)))
        return on_method(std::move(received));
      partial_[frame.channel] = std::move(received);
      return;
    }
    case FrameType::Header: {
      if (!content_due || partial->second.content)
        throw StepError("received an unexpected content header");
      protocol::ByteReader reader(frame.payload);
      Content content;
      content.class_id = reader.u16();
      content.weight = reader.u16();
      content.announced_size = reader.u64();
      const ByteView properties = reader.raw(reader.remaining());
      if (!reader.ok()) throw StepError("received a short content header");
      content.properties.assign(properties.begin(), properties.end());
      partial->second.content = std::make_unique<Content>(std::move(content));
      break;
    }
    case FrameType::Body: {
      if (!content_due || !partial->second.content)
        throw StepError("received an unexpected body frame");
      Content& content = *partial->second.content;
      content.body.insert(content.body.end(), frame.payload.begin(), frame.payload.end());
      ++content.body_frames;
      break;
    }
    default:
      throw StepError("received a frame of type " + std::to_string(frame.type));
  }
  const Content& content = *partial->second.content;
  if (content.body.size() > content.announced_size)
    throw StepError("received more body than was announced");
  if (content.body.size() < content.announced_size) return;
  Received whole = std::move(partial->second);
  partial_.erase(partial);
  on_method(std::move(whole));
}

void Connection::on_method(Received received) {
  transcript_(place(name_, received.channel) + " < " + received.text());
  const protocol::Method& method = received.method;
  if (std::holds_alternative<protocol::ConnectionOpenOk>(method)) running_ = true;
  if (std::holds_alternative<protocol::ChannelOpenOk>(method))
    open_channels_.insert(received.channel);
  if (std::holds_alternative<protocol::ChannelClose>(method))
    open_channels_.erase(received.channel);
  if (std::holds_alternative<protocol::ConnectionClose>(method)) {
    closing_ = true;
    open_channels_.clear();
  }
  inbox_.push_back(std::move(received));
}

}  // namespace harrier::scripts
