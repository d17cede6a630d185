// SPDX-License-Identifier: Apache-2.0
//
// RetryDelay: how long a message that has come back waits before its queue offers it again. A value
// made of the queue's settings; pure.
#pragma once

#include <cstdint>
#include <memory>

#include "broker/core/arguments.hpp"
#include "broker/core/ids.hpp"

namespace harrier::broker {

class RetryDelay {
 public:
  // Null: nothing waits.
  static std::unique_ptr<RetryDelay> of(const QueueSettings& settings);

  // `failed`: it was rejected, or who had it was lost; else it was given back.
  bool applies(bool failed) const {
    return type_ == DelayedRetry::All || (type_ == DelayedRetry::Failed) == failed;
  }
  // After so many returns, 1 and more. By the jitter it is shorter; `salt` decides by how much.
  Millis delay_ms(std::uint32_t returns, std::uint64_t salt) const;

 private:
  DelayedRetry type_ = DelayedRetry::Disabled;
  RetryStrategy strategy_ = RetryStrategy::Linear;
  Millis min_ms_ = 0;
  Millis max_ms_ = 0;
  int jitter_percent_ = 0;
};

}  // namespace harrier::broker
