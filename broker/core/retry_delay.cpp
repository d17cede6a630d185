// SPDX-License-Identifier: Apache-2.0
#include "broker/core/retry_delay.hpp"

#include <algorithm>

namespace harrier::broker {

namespace {

constexpr Millis kDefaultMinMs = 1'000;

std::uint64_t mixed(std::uint64_t value) {  // splitmix64
  value += 0x9e3779b97f4a7c15;
  value = (value ^ value >> 30) * 0xbf58476d1ce4e5b9;
  value = (value ^ value >> 27) * 0x94d049bb133111eb;
  return value ^ value >> 31;
}

}  // namespace

std::unique_ptr<RetryDelay> RetryDelay::of(const QueueSettings& settings) {
  const DelayedRetry type = settings.delayed_retry.value_or(DelayedRetry::Disabled);
  if (type == DelayedRetry::Disabled) return nullptr;
  auto delay = std::make_unique<RetryDelay>();
  delay->type_ = type;
  delay->strategy_ = settings.retry_strategy.value_or(RetryStrategy::Linear);
  delay->min_ms_ =
      std::min(settings.delayed_retry_min_ms.value_or(kDefaultMinMs), kMillisecondsMax);
  delay->max_ms_ =
      std::min(settings.delayed_retry_max_ms.value_or(kMillisecondsMax), kMillisecondsMax);
  delay->jitter_percent_ = settings.retry_jitter_percent.value_or(0);
  return delay;
}

Millis RetryDelay::delay_ms(std::uint32_t returns, std::uint64_t salt) const {
  Millis delay = min_ms_;
  if (strategy_ == RetryStrategy::Linear) {
    delay = returns >= max_ms_ / std::max<Millis>(min_ms_, 1) + 1 ? max_ms_ : min_ms_ * returns;
  } else if (strategy_ == RetryStrategy::Exponential) {
    for (std::uint32_t i = 1; i < returns && delay < max_ms_ && delay > 0; ++i) delay *= 2;
  }
  delay = std::min(delay, max_ms_);
  const auto span =
      static_cast<std::uint64_t>(delay) * static_cast<unsigned>(jitter_percent_) / 100;
  return delay - static_cast<Millis>(mixed(salt) % (span + 1));
}

}  // namespace harrier::broker
