// SPDX-License-Identifier: Apache-2.0
//
// DeliveryCaps: how many messages of one queue may be out unsettled, and how many may be handed out
// in a second, whoever the consumers are. Owned by its queue, which tells it of every message that
// goes out or is settled; queues without caps have none.
#pragma once

#include <cstdint>
#include <limits>
#include <optional>

#include "broker/core/delivery_rate.hpp"
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
        unsettled_(unsettled) {
    if (per_second) rate_.emplace(*per_second);
  }

  // Whether one more may go out now.
  bool allows(Millis now) { return unsettled_ < unsettled_max_ && (!rate_ || rate_->allows(now)); }
  void handed_out(bool settled_at_once) {
    if (!settled_at_once) ++unsettled_;
    if (rate_) rate_->handed_out();
  }
  void settled() { --unsettled_; }

  // When the rate allows the next one; kNeverDue if the rate is not in the way.
  Millis next_due() const {
    if (!rate_ || rate_->has_token() || unsettled_ >= unsettled_max_) return kNeverDue;
    return rate_->next_due();
  }

 private:
  const std::uint64_t unsettled_max_;
  std::uint64_t unsettled_;
  std::optional<DeliveryRate> rate_;
};

}  // namespace harrier::broker
