// SPDX-License-Identifier: Apache-2.0
#include "tests/simulation/wire_client.hpp"

#include <algorithm>
#include <utility>

namespace harrier::simulation {

using protocol::Method;

namespace {

constexpr std::size_t kFrameMax = 4'096;
constexpr std::uint16_t kChannel = 1;

}  // namespace

WireClient::WireClient(World& world) : link_(world.connect()) {
  link_->to_broker.assign(protocol::kProtocolHeader.begin(), protocol::kProtocolHeader.end());
}

void WireClient::read(std::size_t size) {
  const auto end = link_->to_client.begin() +
                   static_cast<std::ptrdiff_t>(std::min(size, link_->to_client.size()));
  inbox_.insert(inbox_.end(), link_->to_client.begin(), end);
  link_->to_client.erase(link_->to_client.begin(), end);
  std::size_t used = 0;
  for (;;) {
    const auto result = protocol::read_frame(protocol::ByteView(inbox_).subspan(used), kFrameMax);
    if (result.status == protocol::FrameStatus::Incomplete) break;
    require(result.status == protocol::FrameStatus::Complete, "the broker sent a malformed frame");
    used += result.size;
    if (static_cast<protocol::FrameType>(result.frame.type) != protocol::FrameType::Method) {
      on_content(result.frame);
      continue;
    }
    Method method;
    require(protocol::decode_method(result.frame.payload, method) == protocol::DecodeStatus::Ok,
            "the broker sent a method that cannot be decoded");
    if (!on_connection(method)) on_method(method);
  }
  inbox_.erase(inbox_.begin(), inbox_.begin() + static_cast<std::ptrdiff_t>(used));
}

bool WireClient::on_connection(const Method& method) {
  if (std::holds_alternative<protocol::ConnectionStart>(method)) {
    protocol::ConnectionStartOk ok;
    ok.response = std::string_view("\0guest\0guest", 12);
    send(ok, 0);
  } else if (const auto* tune = std::get_if<protocol::ConnectionTune>(&method)) {
    protocol::ConnectionTuneOk ok;
    ok.channel_max = tune->channel_max;
    ok.frame_max = kFrameMax;
    send(ok, 0);
    send(protocol::ConnectionOpen{}, 0);
    set_up();
  } else if (const auto* deliver = std::get_if<protocol::BasicDeliver>(&method)) {
    incoming_ = {true, std::string(deliver->consumer_tag), deliver->delivery_tag,
                 deliver->redelivered};
  } else {
    return std::holds_alternative<protocol::ConnectionOpenOk>(method);
  }
  return true;
}

void WireClient::on_content(const protocol::Frame& frame) {
  require(incoming_.wanted, "content without a method that announced it");
  if (!incoming_.header_seen) {
    require(frame.payload.size() >= protocol::kContentHeaderSize + 2, "a content header is short");
    incoming_.header_seen = true;
    for (const std::uint8_t octet : frame.payload.subspan(4, 8))
      incoming_.size = incoming_.size << 8 | octet;
    const auto properties = frame.payload.subspan(protocol::kContentHeaderSize);
    incoming_.properties.assign(properties.begin(), properties.end());
  } else {
    incoming_.body.insert(incoming_.body.end(), frame.payload.begin(), frame.payload.end());
  }
  require(incoming_.body.size() <= incoming_.size, "a body is longer than announced");
  if (incoming_.body.size() == incoming_.size) on_delivery(std::exchange(incoming_, {}));
}

void WireClient::send_content(const protocol::Properties& properties, const Bytes& body) {
  const Bytes encoded = properties.encode();
  Bytes header(protocol::kContentHeaderSize);
  protocol::put_content_header(header.data(), protocol::BasicPublish::kId.class_id, body.size());
  header.insert(header.end(), encoded.begin(), encoded.end());
  const auto frame = [&](protocol::FrameType type, protocol::ByteView payload) {
    Bytes out(payload.size() + protocol::kFrameOverhead);
    auto* at = protocol::put_frame_header(out.data(), type, kChannel, payload.size());
    protocol::put_u8(protocol::put_raw(at, payload), protocol::kFrameEnd);
    link_->to_broker.insert(link_->to_broker.end(), out.begin(), out.end());
  };
  frame(protocol::FrameType::Header, header);
  constexpr std::size_t kPieceMax = kFrameMax - protocol::kFrameOverhead;
  for (std::size_t at = 0; at < body.size(); at += kPieceMax) {
    const std::size_t size = std::min(kPieceMax, body.size() - at);
    frame(protocol::FrameType::Body, protocol::ByteView(body).subspan(at, size));
  }
}

}  // namespace harrier::simulation
