// SPDX-License-Identifier: Apache-2.0
//
// The one exception type of the broker's protocol errors. Thrown below the channel while a method
// is handled, caught in one place per connection, which turns it into channel.close or
// connection.close. Never crosses a shard.
#pragma once

#include <cstdint>
#include <exception>
#include <string>
#include <string_view>
#include <utility>

namespace harrier::protocol {

// Reply codes of the protocol definition (C-114). The names are the prefixes that clients match on.
enum class ReplyCode : std::uint16_t {
  Success = 200,
  ContentTooLarge = 311,
  NoRoute = 312,
  NoConsumers = 313,
  ConnectionForced = 320,
  InvalidPath = 402,
  AccessRefused = 403,
  NotFound = 404,
  ResourceLocked = 405,
  PreconditionFailed = 406,
  FrameError = 501,
  SyntaxError = 502,
  CommandInvalid = 503,
  ChannelError = 504,
  UnexpectedFrame = 505,
  ResourceError = 506,
  NotAllowed = 530,
  NotImplemented = 540,
  InternalError = 541,
};

std::string_view name(ReplyCode code);  // "ACCESS_REFUSED"
bool is_hard(ReplyCode code);  // true: the connection is closed; false: the channel (C-115)

struct MethodId {
  std::uint16_t class_id = 0;
  std::uint16_t method_id = 0;
  friend constexpr bool operator==(MethodId, MethodId) = default;
  constexpr std::uint32_t packed() const { return std::uint32_t{class_id} << 16 | method_id; }
};

// "<NAME> - <explanation>", or "<NAME>" without one, cut to the 255 bytes of a short string (C-113,
// C-218).
std::string reply_text(ReplyCode code, std::string_view explanation);

class AmqpError : public std::exception {
 public:
  // For errors that belong to no method although one may be in progress (C-081): the close says
  // 0/0.
  static constexpr MethodId kNoMethod{0xFFFF, 0xFFFF};

  // `explanation` comes without the "<NAME> - " prefix. A method of 0/0 means: that of the method
  // being handled.
  AmqpError(ReplyCode code, std::string explanation, MethodId method = {})
      : code_(code), explanation_(std::move(explanation)), method_(method) {}

  ReplyCode code() const { return code_; }
  const std::string& explanation() const { return explanation_; }
  MethodId method() const { return method_; }
  // The ids for the close frame, given those of the method being handled.
  MethodId method_or(MethodId current) const {
    if (method_ == kNoMethod) return {};
    return method_ == MethodId{} ? current : method_;
  }
  const char* what() const noexcept override { return explanation_.c_str(); }

 private:
  ReplyCode code_;
  std::string explanation_;
  MethodId method_;
};

}  // namespace harrier::protocol
