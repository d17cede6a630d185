// SPDX-License-Identifier: Apache-2.0
//
// DeliveryRate: how many messages may be handed out in a second: a bucket of tokens that holds what
// a tenth of a second brings (or one), so that a pause is not made up for in one burst. A value
// inside who keeps to it, which tells the time. Nothing here can fail.
#pragma once

#include <algorithm>
#include <cstdint>

#include "broker/core/ids.hpp"

namespace harrier::broker {

class DeliveryRate {
 public:
  explicit DeliveryRate(std::int64_t per_second)
      : per_second_(static_cast<std::uint64_t>(std::min(per_second, kRateMax))),
        tokens_(capacity()) {}

  // Whether one more may go out now.
  bool allows(Millis now) {
    const Millis passed = std::clamp<Millis>(now - filled_at_ms_, 0, 1'000);
    filled_at_ms_ = now;
    tokens_ = std::min(capacity(), tokens_ + static_cast<std::uint64_t>(passed) * per_second_);
    return has_token();
  }
  void handed_out() { tokens_ -= std::min(kToken, tokens_); }

  bool has_token() const { return tokens_ >= kToken; }
  // When the next one may go out, if there is no token.
  Millis next_due() const {
    return filled_at_ms_ + static_cast<Millis>((kToken - tokens_ + per_second_ - 1) / per_second_);
  }

 private:
  // A token is a thousand parts, so that a millisecond brings a whole number of them.
  static constexpr std::uint64_t kToken = 1'000;
  static constexpr std::int64_t kRateMax = 1'000'000'000;

  std::uint64_t capacity() const { return std::max(kToken, per_second_ * 100); }

  std::uint64_t per_second_;
  std::uint64_t tokens_;
  Millis filled_at_ms_ = 0;
};

}  // namespace harrier::broker
