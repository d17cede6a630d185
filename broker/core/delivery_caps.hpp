// SPDX-License-Identifier: Apache-2.0
//
// DeliveryCaps: how many messages of one queue may be out unsettled, and how many may be handed out
// in a second, whoever the consumers are. Owned by its queue, which tells it of every message that
// goes out or is settled; queues without caps have none. The rate is a bucket of tokens that holds
// what a tenth of a second brings, so that a pause is not made up for in one burst.
#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>
#include <optional>

#include "broker/core/due_ranges.hpp"
#include "broker/core/ids.hpp"

namespace harrier::broker {

class DeliveryCaps {
 public:
  // `unsettled`: those that are out already.
  DeliveryCaps(std::optional<std::int64_t> unsettled_max, std::optional<std::int64_t> per_second,
               std::uint64_t unsettled)
      : unsettled_max_(unsettled_max ? static_cast<std::uint64_t>(*unsettled_max)
                                     : std::numeric_limits<std::uint64_t>::max()),
        per_second_(static_cast<std::uint64_t>(std::min(per_second.value_or(0), kRateMax))),
        unsettled_(unsettled),
        tokens_(capacity()) {}

  // Whether one more may go out now.
  bool allows(Millis now) {
    if (unsettled_ >= unsettled_max_) return false;
    if (per_second_ == 0) return true;
    fill(now);
    return tokens_ >= kToken;
  }
  void handed_out(bool settled_at_once) {
    if (!settled_at_once) ++unsettled_;
    if (per_second_ != 0) tokens_ -= std::min(kToken, tokens_);
  }
  void settled() { --unsettled_; }

  // When the rate allows the next one; kNeverDue if the rate is not in the way.
  Millis next_due() const {
    if (per_second_ == 0 || tokens_ >= kToken || unsettled_ >= unsettled_max_) return kNeverDue;
    return filled_at_ms_ + static_cast<Millis>((kToken - tokens_ + per_second_ - 1) / per_second_);
  }

 private:
  // A token is a thousand parts, so that a millisecond brings a whole number of them.
  static constexpr std::uint64_t kToken = 1'000;
  static constexpr std::int64_t kRateMax = 1'000'000'000;

  std::uint64_t capacity() const { return std::max(kToken, per_second_ * 100); }
  void fill(Millis now) {
    const Millis passed = std::clamp<Millis>(now - filled_at_ms_, 0, 1'000);
    filled_at_ms_ = now;
    tokens_ = std::min(capacity(), tokens_ + static_cast<std::uint64_t>(passed) * per_second_);
  }

  const std::uint64_t unsettled_max_;
  const std::uint64_t per_second_;  // 0: any number
  std::uint64_t unsettled_;
  std::uint64_t tokens_;
  Millis filled_at_ms_ = 0;
};

}  // namespace harrier::broker
