// SPDX-License-Identifier: Apache-2.0
#include "broker/core/stream_pages.hpp"

#include <algorithm>
#include <utility>

namespace harrier::broker {

std::optional<StreamStretch> StreamPages::find(Seq seq) {
  const auto page = std::ranges::find_if(
      pages_, [&](const Page& held) { return held.from <= seq && seq < held.end; });
  if (page == pages_.end()) return std::nullopt;
  pages_.splice(pages_.begin(), pages_, page);
  const auto& messages = page->messages;
  StreamStretch found;
  found.end = page->end;
  // Positions have no gaps, as a rule.
  std::size_t at = seq - page->from;
  if (at >= messages.size() || messages[at].seq != seq) {
    at = static_cast<std::size_t>(
        std::ranges::lower_bound(messages, seq, {}, &persistence::StoredMessage::seq) -
        messages.begin());
  }
  if (at == messages.size()) return found;
  found.message = &messages[at].message;
  found.seq = messages[at].seq;
  found.enqueued_ms = messages[at].enqueued_at_ms;
  return found;
}

bool StreamPages::join(StreamFetch::Kind kind, Seq from, std::uint32_t slot) {
  for (auto& [token, fetch] : open_) {
    if (fetch.kind != kind || fetch.from != from) continue;
    fetch.slots.push_back(slot);
    return true;
  }
  return false;
}

std::uint64_t StreamPages::open(StreamFetch fetch) {
  open_.emplace(++last_token_, std::move(fetch));
  return last_token_;
}

std::optional<StreamFetch> StreamPages::close(std::uint64_t token) {
  const auto at = open_.find(token);
  if (at == open_.end()) return std::nullopt;
  return std::move(open_.extract(at).mapped());
}

bool StreamPages::is_measuring() const {
  return std::ranges::any_of(
      open_, [](const auto& open) { return open.second.kind == StreamFetch::Kind::Measure; });
}

void StreamPages::keep(Seq from, Seq end, std::vector<persistence::StoredMessage> messages,
                       std::uint64_t bytes_max) {
  Page page{from, end, 0, std::move(messages)};
  for (const auto& stored : page.messages) page.bytes += stored.message->footprint();
  bytes_ += page.bytes;
  pages_.push_front(std::move(page));
  // The new one stays in any case: whoever waits for it would only ask for it again.
  while (bytes_ > bytes_max && pages_.size() > 1) drop(std::prev(pages_.end()));
}

void StreamPages::drop(std::list<Page>::iterator page) {
  bytes_ -= page->bytes;
  pages_.erase(page);
}

void StreamPages::drop_below(Seq seq) {
  for (auto page = pages_.begin(); page != pages_.end();) {
    const auto next = std::next(page);
    if (page->end <= seq) drop(page);
    page = next;
  }
}

void StreamPages::shrink(std::uint64_t bytes_max) {
  while (bytes_ > bytes_max && !pages_.empty()) drop(std::prev(pages_.end()));
}

}  // namespace harrier::broker
