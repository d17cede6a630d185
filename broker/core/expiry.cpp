// SPDX-License-Identifier: Apache-2.0
#include "broker/core/expiry.hpp"

#include <algorithm>
#include <charconv>

namespace harrier::broker {

// basic.publish has checked the text (C-310): digits, perhaps behind a sign.
std::optional<Millis> Expiry::own_ttl(const protocol::Message& message) {
  const auto text = message.properties().text(protocol::kExpiration);
  if (!text || text->empty()) return std::nullopt;
  const bool has_sign = text->front() == '+' || text->front() == '-';
  Millis ttl_ms = 0;
  const char* const end = text->data() + text->size();
  const auto parsed = std::from_chars(text->data() + (has_sign ? 1 : 0), end, ttl_ms);
  if (parsed.ec != std::errc{}) return std::nullopt;
  return ttl_ms;
}

Millis Expiry::due(const protocol::Message& message, Millis enqueued_ms) const {
  const Millis in_turn = due_in_turn(enqueued_ms);
  if (!has_own(message)) return in_turn;
  const auto own = own_ttl(message);
  return own ? std::min(in_turn, enqueued_ms + *own) : in_turn;
}

std::optional<Millis> Expiry::own_due(const protocol::Message& message, Millis enqueued_ms) {
  if (!has_own(message)) return std::nullopt;
  const auto own = own_ttl(message);
  return own ? std::optional(enqueued_ms + *own) : std::nullopt;
}

void Expiry::came(const Ready& ready) {
  if (const auto due = own_due(*ready.message, ready.enqueued_ms))
    own_.emplace_hint(own_.end(), *due, ready.seq);
}

void Expiry::left(const Ready& ready) {
  if (own_.empty()) return;
  if (const auto due = own_due(*ready.message, ready.enqueued_ms)) own_.erase({*due, ready.seq});
}

std::vector<Seq> Expiry::take_due(Millis now, Seq spared) {
  std::vector<Seq> due;
  for (auto at = own_.begin(); at != own_.end() && at->first <= now;) {
    if (at->second == spared) {
      ++at;
      continue;
    }
    due.push_back(at->second);
    at = own_.erase(at);
  }
  return due;
}

void Expiry::stored(const protocol::Message& message, Seq seq, Millis enqueued_ms) {
  if (const auto due = own_due(message, enqueued_ms)) ranges_.add(seq, *due);
}

void Expiry::went_to_store(const Ready& ready) {
  left(ready);
  stored(*ready.message, ready.seq, ready.enqueued_ms);
}

void Expiry::cleared() {
  own_.clear();
  ranges_.clear();
  sweep.reset();
}

Millis Expiry::next_due() const {
  const Millis next = own_.empty() ? kNeverDue : own_.begin()->first;
  if (sweep || ranges_.empty()) return next;
  return std::min(next, std::max(ranges_.next_due(), sweeps_from_ms));
}

}  // namespace harrier::broker
