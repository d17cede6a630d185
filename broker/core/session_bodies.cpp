// SPDX-License-Identifier: Apache-2.0
//
// Body frames of which only a part has come. The bytes of a large one go into its message at once,
// from the receive buffer or from the socket itself, instead of being kept until its end is there.
// Nothing else changes: what is wrong with a frame is found out, and said, as for a whole one.
#include <algorithm>

#include "broker/core/engine.hpp"
#include "broker/core/session.hpp"

namespace harrier::broker {

using protocol::ByteView;

namespace {

constexpr auto kBody = static_cast<std::uint8_t>(protocol::FrameType::Body);
constexpr std::size_t kPayloadMin = 1024;  // smaller frames cost less whole

}  // namespace

// Who keeps the next `size` bytes of the open frame; null if nobody does any more.
protocol::ContentAssembler* Session::body_taker(std::size_t size) {
  if (!open_body_ || phase_ != Phase::Running) return nullptr;
  Channel* channel = find_channel(open_body_->channel);
  const bool takes = channel != nullptr && channel->assembler().takes_body(size);
  return takes ? &channel->assembler() : nullptr;
}

// Begins with the frame at the front of `input`, of which all that there is gets used. False if it
// has to wait until it is whole.
bool Session::open_body(ByteView input, const protocol::FrameResult& announced) {
  const std::size_t size = announced.size - std::min(announced.size, protocol::kFrameOverhead);
  const ByteView part = input.subspan(std::min(input.size(), protocol::kFrameHeaderSize));
  OpenBody body;
  if (announced.frame.type != kBody || size < kPayloadMin || part.size() < body.start.size() ||
      parked_) {
    return false;
  }
  body.channel = announced.frame.channel;
  body.left = size;
  std::copy_n(part.begin(), body.start.size(), body.start.begin());
  open_body_ = body;
  if (body_taker(size) == nullptr || must_block(announced.frame)) {
    open_body_.reset();
    return false;
  }
  continue_body(part);
  return true;
}

// Returns how much it has used, which is something.
std::size_t Session::continue_body(ByteView input) {
  const ByteView part = input.first(std::min(input.size(), open_body_->left));
  if (protocol::ContentAssembler* taker = body_taker(part.size())) taker->add_body(part);
  open_body_->left -= part.size();
  if (part.size() == input.size()) return part.size();
  end_body(input[part.size()]);
  return part.size() + 1;
}

void Session::end_body(std::uint8_t end) {
  const bool taken = body_taker(0) != nullptr;
  const OpenBody body = *open_body_;
  open_body_.reset();
  ++frames_received_;
  if (end != protocol::kFrameEnd) {
    frame_error(protocol::bad_end_text(kBody, body.start, end));
  } else if (taken) {
    Channel& channel = *find_channel(body.channel);
    if (channel.assembler().end_frame()) on_whole_content(channel);
  }
}

std::span<std::uint8_t> Session::body_space() {
  if (!open_body_ || !wants_input()) return {};
  protocol::ContentAssembler* taker = body_taker(open_body_->left);
  return taker == nullptr ? std::span<std::uint8_t>{} : taker->body_space(open_body_->left);
}

void Session::body_arrived(std::size_t size) {
  body_taker(size)->body_arrived(size);
  open_body_->left -= size;
  engine_.mark_dirty(*this);
}

}  // namespace harrier::broker
