// SPDX-License-Identifier: Apache-2.0
//
// Quotas: how many connections or channels of one user, or connections of one virtual host, there
// may be in the whole broker. The tally is the one number that all shards change (atomically), so
// that a limit is exact without a question to another shard; taken when a connection or channel
// opens, never per message. A Claim is one of the counted things, and gives itself back.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <utility>

namespace harrier::broker {

using Tally = std::atomic<std::uint32_t>;
using TallyPtr = std::shared_ptr<Tally>;

class Claim {
 public:
  Claim() = default;  // of nothing
  explicit Claim(TallyPtr counted) : tally_(std::move(counted)) {}
  Claim(Claim&&) = default;
  Claim& operator=(Claim&& other) noexcept {
    release();
    tally_ = std::move(other.tally_);
    return *this;
  }
  ~Claim() { release(); }
  void release() {
    if (const TallyPtr tally = std::exchange(tally_, nullptr)) --*tally;
  }

 private:
  TallyPtr tally_;  // counted in it already
};

struct Quota {
  std::optional<std::uint32_t> max;  // absent: no limit
  TallyPtr tally;                    // null: nobody counts

  // nullopt: the limit is reached.
  std::optional<Claim> claim() const {
    if (!tally) return Claim();
    std::uint32_t count = tally->load();
    do {
      if (max && count >= *max) return std::nullopt;
    } while (!tally->compare_exchange_weak(count, count + 1));
    return Claim(tally);
  }
};

// What operators set: a negative number is no limit (C-059).
inline std::optional<std::uint32_t> limit_of(std::int64_t value) {
  if (value < 0) return std::nullopt;
  return static_cast<std::uint32_t>(value > UINT32_MAX ? UINT32_MAX : value);
}

}  // namespace harrier::broker
