// SPDX-License-Identifier: Apache-2.0
#include "persistence/queue_contents.hpp"

#include <algorithm>

namespace harrier::persistence {
namespace {

// Below this many slots closing up is not worth it.
constexpr std::size_t kCloseUpSlotsMin = 64;

bool is_empty(const StoredMessage& slot) { return !slot.message; }

}  // namespace

QueueContents::Slots::iterator QueueContents::lower_bound(Seq seq) {
  // Most settles are near the front, so try there before searching.
  if (slots_.empty() || seq <= slots_.front().seq) return slots_.begin();
  return std::lower_bound(slots_.begin(), slots_.end(), seq,
                          [](const StoredMessage& slot, Seq value) { return slot.seq < value; });
}

StoredMessage* QueueContents::find(Seq seq) {
  const auto at = lower_bound(seq);
  return at == slots_.end() || at->seq != seq || is_empty(*at) ? nullptr : &*at;
}

void QueueContents::insert(StoredMessage message) {
  seq_max_ = std::max(seq_max_, message.seq);
  bytes_ += content_size(*message.message);
  if (slots_.empty() || slots_.back().seq < message.seq) {
    slots_.push_back(std::move(message));
    return;
  }
  const auto at = lower_bound(message.seq);
  if (at->seq != message.seq) {
    slots_.insert(at, std::move(message));
    return;
  }
  if (is_empty(*at)) {
    --empty_slots_;
  } else {
    bytes_ -= content_size(*at->message);
  }
  *at = std::move(message);
}

void QueueContents::erase(Seq seq) {
  StoredMessage* const slot = find(seq);
  if (slot == nullptr) return;
  empty(*slot);
  close_up();
}

void QueueContents::set_delivery_count(Seq seq, std::uint32_t delivery_count) {
  if (StoredMessage* const slot = find(seq)) slot->delivery_count = delivery_count;
}

void QueueContents::erase_range(Seq from, Seq up_to) {
  for (auto at = lower_bound(from); at != slots_.end() && at->seq <= up_to; ++at) {
    if (!is_empty(*at)) empty(*at);
  }
  close_up();
}

std::optional<Seq> QueueContents::read(Seq from, std::size_t bytes_max,
                                       std::vector<StoredMessage>& out) const {
  std::size_t bytes = 0;
  bool first = true;
  auto at = std::lower_bound(slots_.begin(), slots_.end(), from,
                             [](const StoredMessage& slot, Seq seq) { return slot.seq < seq; });
  for (; at != slots_.end(); ++at) {
    if (is_empty(*at)) continue;
    const std::size_t size = content_size(*at->message);
    if (!first && (bytes >= bytes_max || size > bytes_max - bytes)) return at->seq;
    first = false;
    bytes += size;
    out.push_back(*at);
  }
  return std::nullopt;
}

void QueueContents::empty(StoredMessage& slot) {
  bytes_ -= content_size(*slot.message);
  slot.message = {};
  ++empty_slots_;
}

void QueueContents::close_up() {
  while (!slots_.empty() && is_empty(slots_.front())) {
    slots_.pop_front();
    --empty_slots_;
  }
  while (!slots_.empty() && is_empty(slots_.back())) {
    slots_.pop_back();
    --empty_slots_;
  }
  // Each such pass is paid for by the erasures since the last one: constant time per message.
  if (slots_.size() < kCloseUpSlotsMin || empty_slots_ * 2 <= slots_.size()) return;
  std::erase_if(slots_, is_empty);
  empty_slots_ = 0;
}

}  // namespace harrier::persistence
