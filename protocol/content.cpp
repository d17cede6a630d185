// SPDX-License-Identifier: Apache-2.0
#include "protocol/content.hpp"

#include <algorithm>
#include <new>

#include "protocol/check.hpp"
#include "protocol/error.hpp"
#include "protocol/private_headers.hpp"
#include "protocol/properties.hpp"

namespace harrier::protocol {
namespace {

constexpr std::string_view kDirectReplyTo = "amq.rabbitmq.reply-to";
constexpr std::string_view kCc = "CC";
constexpr std::string_view kBcc = "BCC";
constexpr std::string_view kNotAHeader =
    "expected content header for class 60, got non content header frame instead";

// C-090 to C-092: the error belongs to the publish whose content this should have been.
[[noreturn]] void unexpected(std::string text) {
  throw AmqpError(ReplyCode::UnexpectedFrame, std::move(text), BasicPublish::kId);
}

// C-081: errors of the frames themselves belong to no method.
[[noreturn]] void frame_error(std::string text) {
  throw AmqpError(ReplyCode::FrameError, std::move(text), AmqpError::kNoMethod);
}

bool is_type(const Frame& frame, FrameType type) {
  return frame.type == static_cast<std::uint8_t>(type);
}

struct Header {
  std::uint64_t body_size = 0;
  ByteView properties;
};

Header read_header(const Frame& frame) {
  if (!is_type(frame, FrameType::Header)) unexpected(std::string(kNotAHeader));
  ByteReader reader(frame.payload);
  const std::uint16_t class_id = reader.u16();
  const std::uint16_t weight = reader.u16();
  const std::uint64_t body_size = reader.u64();
  if (!reader.ok()) frame_error(malformed_frame_text(frame));
  if (weight != 0) unexpected(std::string(kNotAHeader));  // C-095
  if (class_id != kClassBasic) {
    unexpected("expected content header for class 60, got one for class " +
               std::to_string(class_id) + " instead");
  }
  if (body_size > kBodySizeAbsoluteMax) {  // C-094
    frame_error("content body size " + std::to_string(body_size) +
                " exceeds maximum allowed size " + std::to_string(kBodySizeAbsoluteMax));
  }
  return {body_size, reader.raw(reader.remaining())};
}

struct SenderSelected {
  std::optional<FieldValue> cc, bcc;
};

SenderSelected find_sender_selected(TableView headers) {
  SenderSelected found;
  headers.for_each([&](std::string_view key, const FieldValue& value) {
    // The first of duplicate keys counts (C-411).
    if (key == kCc && !found.cc) found.cc = value;
    if (key == kBcc && !found.bcc) found.bcc = value;
    return true;
  });
  return found;
}

// Adds the array's long strings; other elements do not count (C-312 as corrected in 0.3). False if
// the value is no array.
bool collect_keys(const FieldValue& value, std::vector<std::string>& out) {
  const auto array = value.as_array();
  if (!array) return false;
  array->for_each([&](const FieldValue& element) {
    // Nothing longer than a short string can be a routing key.
    const auto key = element.as_text();
    if (key && key->size() <= 255) out.emplace_back(*key);
    return true;
  });
  return true;
}

void collect_keys(const std::optional<FieldValue>& value, std::string_view name, Publish& out) {
  if (!value || collect_keys(*value, out.extra_keys)) return;
  if (!out.bad_sender_selected_header.empty()) return;
  out.bad_sender_selected_header = name;
  out.bad_sender_selected_type = value->type_name();
}

}  // namespace

void ContentAssembler::begin(const BasicPublish& method, bool discard) {
  HARRIER_CHECK(state_ == State::Idle && !publish_.message);
  discard_ = discard;
  exchange_.assign(method.exchange);
  routing_key_.assign(method.routing_key);
  publish_.mandatory = method.mandatory;
  publish_.immediate = method.immediate;
  state_ = State::Header;
}

bool ContentAssembler::on_frame(const Frame& frame, std::uint64_t body_size_max) {
  switch (state_) {
    case State::Idle:
      HARRIER_CHECK(!is_type(frame, FrameType::Method));
      throw AmqpError(ReplyCode::UnexpectedFrame,
                      "expected method frame, got non method frame instead", AmqpError::kNoMethod);
    case State::Header:
      on_header(frame, body_size_max);
      break;
    case State::Body:
      on_body(frame);
      break;
  }
  return end_frame();
}

bool ContentAssembler::end_frame() {
  if (body_received_ < publish_.body_size) return false;
  state_ = State::Idle;
  if (discard_) publish_ = {};
  return true;
}

void ContentAssembler::on_header(const Frame& frame, std::uint64_t body_size_max) {
  const Header header = read_header(frame);
  const auto properties = PropertiesView::parse(header.properties);
  if (!properties) {
    throw AmqpError(ReplyCode::SyntaxError,
                    "cannot decode the properties of the content header: flags, values and headers "
                    "table do not agree",
                    AmqpError::kNoMethod);
  }
  publish_.body_size = header.body_size;
  body_received_ = 0;
  state_ = State::Body;
  if (!discard_) store_header(header.properties, body_size_max);
}

void ContentAssembler::store_header(ByteView property_bytes, std::uint64_t body_size_max) {
  if (publish_.body_size > std::min(body_size_max, kBodySizeAbsoluteMax)) {
    publish_.oversized_exchange = exchange_;
    return;
  }
  std::vector<std::uint8_t> edited;
  PropertiesView properties = PropertiesView::trusted(property_bytes);
  if (has_private_headers(properties)) {
    edited = without_private_mark(properties);
    properties = PropertiesView::trusted(edited);
  }
  if (properties.has(kHeaders)) {
    const SenderSelected keys = find_sender_selected(properties.headers());
    collect_keys(keys.cc, kCc, publish_);
    collect_keys(keys.bcc, kBcc, publish_);
    if (keys.bcc) {  // C-314; kept where nobody sees it, for dead-lettering (C-421)
      PrivateHeaders kept;
      collect_keys(*keys.bcc, kept.bcc);
      edited = with_private_headers(properties, Table(properties.headers()).remove(kBcc), kept);
      properties = PropertiesView::trusted(edited);
    }
  }
  if (!reply_to_.empty() && properties.text(kReplyTo) == kDirectReplyTo) {  // C-490
    edited = properties.with_text(kReplyTo, reply_to_);
    properties = PropertiesView::trusted(edited);
  }
  const auto body_size = static_cast<std::size_t>(publish_.body_size);
  try {
    publish_.message = Message::create(exchange_, routing_key_, properties.bytes(), body_size);
  } catch (const std::bad_alloc&) {
    throw AmqpError(ReplyCode::ResourceError,
                    "no memory for a message of " + std::to_string(body_size) + " bytes",
                    AmqpError::kNoMethod);
  }
  pending_ = PendingBytes(body_size);
}

void ContentAssembler::on_body(const Frame& frame) {
  if (!is_type(frame, FrameType::Body)) {
    unexpected("expected content body, got non content body frame instead");
  }
  if (!takes_body(frame.payload.size())) {  // C-093
    frame_error("content body frame of " + std::to_string(frame.payload.size()) +
                " bytes exceeds the remaining content size " +
                std::to_string(publish_.body_size - body_received_));
  }
  add_body(frame.payload);
}

std::span<std::uint8_t> ContentAssembler::body_space(std::size_t size) {
  HARRIER_CHECK(takes_body(size));
  if (!publish_.message) return {};
  return {Message::mutable_while_sole(publish_.message).body_for_writing() + body_received_, size};
}

void ContentAssembler::body_arrived(std::size_t size) {
  if (publish_.message) pending_.arrived(size);
  body_received_ += size;
}

void ContentAssembler::add_body(ByteView part) {
  const std::span<std::uint8_t> space = body_space(part.size());
  if (!space.empty()) put_raw(space.data(), part);
  body_arrived(part.size());
}

Publish ContentAssembler::take() {
  HARRIER_CHECK(state_ == State::Idle && !discard_);
  return std::exchange(publish_, {});
}

void ContentAssembler::discard() {
  if (state_ == State::Idle) return reset();
  discard_ = true;
  publish_.message = {};
  pending_ = {};
}

void ContentAssembler::reset() {
  state_ = State::Idle;
  discard_ = false;
  publish_ = {};
  pending_ = {};
  body_received_ = 0;
}

}  // namespace harrier::protocol
