// SPDX-License-Identifier: Apache-2.0
#include "broker/core/deduplication.hpp"

#include <algorithm>
#include <utility>

#include "broker/auth/sha256.hpp"
#include "broker/core/arguments.hpp"
#include "protocol/message.hpp"

namespace harrier::broker {

using protocol::FieldValue;

namespace {

constexpr std::string_view kIdHeader = "x-deduplication-header";
constexpr std::string_view kTtlHeader = "x-cache-ttl";
constexpr std::array<std::uint8_t, 2> kNoProperties{};  // flags alone

std::string_view plain_text(const FieldValue& value, std::string& room) {
  if (value.tag == 'S' || value.tag == 'x') return protocol::as_text(value.payload);
  if (value.tag == 'V' || value.as_table() || value.as_array()) return {};
  const auto seconds = value.as_timestamp();
  room = seconds ? std::to_string(*seconds) : protocol::to_text(value);
  return room;
}

// A message may say itself for how long it is to count.
Millis ttl_of(const protocol::Message& message, DedupRule rule) {
  const auto own = message.properties().headers().find(kTtlHeader);
  const auto ttl_ms = own ? own->as_integer() : std::nullopt;
  return ttl_ms && *ttl_ms > 0 ? std::min(*ttl_ms, kMillisecondsMax) : rule.ttl_ms;
}

}  // namespace

std::string_view dedup_id(const protocol::Message& message, std::string& room) {
  const protocol::PropertiesView properties = message.properties();
  if (properties.has(protocol::kHeaders)) {
    if (const auto given = properties.headers().find(kIdHeader)) {
      const std::string_view id = plain_text(*given, room);
      if (!id.empty()) return id;
    }
  }
  return properties.text(protocol::kMessageId).value_or("");
}

DedupWindow::Digest DedupWindow::digest(std::string_view id) {
  const std::array<std::uint8_t, 32> whole = sha256(id);
  Digest half{};
  std::copy_n(whole.begin(), half.size(), half.begin());
  return half;
}

bool Deduplication::restore(std::span<const persistence::StoredMessage> ids) {
  for (const persistence::StoredMessage& stored : ids) {
    DedupWindow::Entry entry;
    const protocol::ByteView digest = stored.message->body();
    if (digest.size() != entry.id.size()) return false;
    std::ranges::copy(digest, entry.id.begin());
    entry.seq = stored.seq;
    entry.until = stored.expires_at_ms.value_or(kNeverDue);
    windows_[std::string(stored.message->exchange())].add(entry);
  }
  return true;
}

Deduplication::Candidate Deduplication::candidate(std::string_view scope, DedupRule rule,
                                                  Millis now) {
  auto at = windows_.find(scope);
  if (at == windows_.end()) at = windows_.emplace(scope, DedupWindow()).first;
  const Millis until = rule.ttl_ms == 0 ? kNeverDue : now + rule.ttl_ms;
  return {&at->second, &at->first, rule, until};
}

bool Deduplication::came_before(const protocol::Message& message, DedupRule by_exchange,
                                Millis now) {
  own_ = by_exchange_ = {};
  if (!own_rule_.any() && !by_exchange.any()) return false;
  std::string room;
  const std::string_view id = dedup_id(message, room);
  if (id.empty()) return false;
  id_ = DedupWindow::digest(id);
  const auto is_known = [&](Candidate& at, std::string_view scope, DedupRule rule) {
    if (!rule.any()) return false;
    rule.ttl_ms = ttl_of(message, rule);
    at = candidate(scope, rule, now);
    return at.window->holds(id_, now);
  };
  return is_known(own_, "", own_rule_) || is_known(by_exchange_, message.exchange(), by_exchange);
}

void Deduplication::accept(bool stored, Outlet& outlet) {
  for (const Candidate& at : {own_, by_exchange_}) {
    if (at.window != nullptr) add(at, stored, outlet);
  }
}

void Deduplication::add(const Candidate& at, bool stored, Outlet& outlet) {
  Seq seq = 0;
  if (stored) {
    seq = ++last_seq_;
    batch_ = outlet.current_batch();
    outlet.record(persistence::Enqueue{
        part_, seq, protocol::Message::create(*at.scope, "", kNoProperties, id_), outlet.unix_ms(),
        at.until == kNeverDue ? std::nullopt : std::optional(at.until)});
  }
  at.window->add({id_, seq, at.until});
  trim(*at.window, at.rule, outlet);
}

void Deduplication::trim(DedupWindow& window, DedupRule rule, Outlet& outlet) const {
  window.trim(rule.ids_max, outlet.unix_ms(), [&](Seq seq) {
    outlet.record(persistence::Settle{part_, seq});
  });
}

void Deduplication::trim(Outlet& outlet) {
  const auto own = windows_.find("");
  if (own != windows_.end()) trim(own->second, own_rule_, outlet);
}

void Deduplication::close(Outlet& outlet) const {
  if (last_seq_ > 0) outlet.record(persistence::DropQueue{part_});
}

std::size_t Deduplication::size() const {
  std::size_t ids = 0;
  for (const auto& [scope, window] : windows_) ids += window.size();
  return ids;
}

}  // namespace harrier::broker
