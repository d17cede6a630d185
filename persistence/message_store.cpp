// SPDX-License-Identifier: Apache-2.0
#include "persistence/message_store.hpp"

#include <algorithm>
#include <iterator>
#include <utility>

namespace harrier::persistence {

Fetched merge(Fetched a, Fetched b, std::size_t bytes_max) {
  Fetched out;
  const std::optional<Seq> end = !a.next ? b.next : !b.next ? a.next : std::min(*a.next, *b.next);
  std::vector<StoredMessage> all;
  all.reserve(a.messages.size() + b.messages.size());
  std::merge(std::make_move_iterator(a.messages.begin()), std::make_move_iterator(a.messages.end()),
             std::make_move_iterator(b.messages.begin()), std::make_move_iterator(b.messages.end()),
             std::back_inserter(all),
             [](const StoredMessage& x, const StoredMessage& y) { return x.seq < y.seq; });
  std::size_t bytes = 0;
  for (StoredMessage& message : all) {
    const std::size_t size = content_size(*message.message);
    const bool fits = out.messages.empty() || (bytes < bytes_max && size <= bytes_max - bytes);
    if (!fits || (end && message.seq >= *end)) {
      out.next = end ? std::min(*end, message.seq) : message.seq;
      return out;
    }
    bytes += size;
    out.messages.push_back(std::move(message));
  }
  out.next = end;
  return out;
}

}  // namespace harrier::persistence
