// SPDX-License-Identifier: Apache-2.0
#include "persistence/queue_contents.hpp"

#include <algorithm>
#include <utility>

namespace harrier::persistence {

void QueueContents::insert(StoredMessage message) {
  seq_max_ = std::max(seq_max_, message.seq);
  bytes_ += content_size(*message.message);
  const std::optional<Slot> replaced = slots_.insert({std::move(message)});
  if (replaced) bytes_ -= content_size(*replaced->message);
}

void QueueContents::set_delivery_count(Seq seq, std::uint32_t delivery_count) {
  if (Slot* const slot = slots_.find(seq)) slot->delivery_count = delivery_count;
}

void QueueContents::erase_range(Seq from, Seq up_to) {
  slots_.erase(from, up_to, [this](const Slot& slot) { bytes_ -= content_size(*slot.message); });
}

std::optional<Seq> QueueContents::read(Seq from, std::size_t bytes_max,
                                       std::vector<StoredMessage>& out) const {
  std::size_t bytes = 0;
  bool first = true;
  for (auto at = slots_.from(from); at != slots_.end(); ++at) {
    if (!at->filled()) continue;
    const std::size_t size = content_size(*at->message);
    if (!first && (bytes >= bytes_max || size > bytes_max - bytes)) return at->seq;
    first = false;
    bytes += size;
    out.push_back(*at);
  }
  return std::nullopt;
}

}  // namespace harrier::persistence
