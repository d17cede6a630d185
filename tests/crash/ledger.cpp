// SPDX-License-Identifier: Apache-2.0
#include "tests/crash/ledger.hpp"

#include <algorithm>
#include <set>
#include <variant>

#include "protocol/properties.hpp"

namespace harrier::crash_tests {
namespace {

std::string in_queue(const MessageKey& key, const Queue& queue) {
  return to_text(key) + " in queue " + queue.name;
}

// It must be there, if the broker keeps its word.
bool is_owed(const Copy& copy) {
  return copy.persistent && copy.durable && !copy.settle_asked && copy.left_with == 0;
}

// What comes again says how often it came back undone (C-471), and is else what it was.
std::vector<std::uint8_t> without_delivery_count(protocol::ByteView bytes) {
  const auto properties = protocol::PropertiesView::parse(bytes);
  if (!properties || !properties->has(protocol::kHeaders)) return {};
  protocol::Table headers(properties->headers());
  const auto count = headers.view().find("x-delivery-count");
  if (!count || count->as_integer().value_or(0) < 1) return {};
  return properties->with_headers(headers.remove("x-delivery-count"));
}

// A dead letter has the history of its death in that queue, and is else what it was.
std::vector<std::uint8_t> without_history(protocol::ByteView bytes, std::string_view died_in) {
  const auto properties = protocol::PropertiesView::parse(bytes);
  if (!properties || !properties->has(protocol::kHeaders)) return {};
  protocol::Table headers(properties->headers());
  const auto queue = headers.view().find("x-first-death-queue");
  if (!queue || queue->as_text() != died_in) return {};
  headers.remove("x-death");
  for (const char* which : {"x-first-death-", "x-last-death-"}) {
    for (const char* what : {"reason", "queue", "exchange"})
      headers.remove(std::string(which) + what);
  }
  return properties->with_headers(headers);
}

}  // namespace

Queue& Ledger::add_queue(std::string name, std::string exchange, std::string routing_key) {
  Queue& queue = queues_[name];
  queue.name = std::move(name);
  queue.exchange = std::move(exchange);
  queue.routing_key = std::move(routing_key);
  order_.push_back(&queue);
  return queue;
}

std::vector<Queue*> Ledger::queues() { return order_; }

void Ledger::killed() {
  ++run_;
  for (auto& [name, queue] : queues_) {
    for (auto& [key, copy] : queue.copies) copy.held = false;
  }
}

void Ledger::stopped_in_good_order() {
  for (auto& [name, queue] : queues_) {
    // An ack of an earlier life that ended by a kill stays as open as it was.
    std::erase_if(queue.copies, [this](const auto& entry) {
      const Copy& copy = entry.second;
      const bool settled = copy.settle_asked && copy.settle_run == run_;
      return !copy.persistent || settled || copy.left_with != 0;
    });
    for (auto& [key, copy] : queue.copies) {  // what died has arrived
      if (copy.entered_with == 0) continue;
      copy.entered_with = 0;
      copy.durable = true;
    }
  }
  killed();
}

void Ledger::published(Queue& queue, const MessageKey& key, bool persistent, GroupId transaction) {
  Copy copy;
  copy.run = run_;
  copy.persistent = persistent;
  copy.entered_with = transaction;
  const bool is_new = queue.copies.emplace(key, copy).second;
  require(is_new, in_queue(key, queue) + ": published twice by the test");
  ++totals_.published;
}

void Ledger::confirmed(Queue& queue, const MessageKey& key) {
  const auto at = queue.copies.find(key);
  require(at != queue.copies.end(), in_queue(key, queue) + ": confirmed and unknown to the test");
  at->second.durable = true;
  if (queue.deduplicates) queue.ids.insert(key);
  ++totals_.confirmed;
}

Seen Ledger::read(const Queue& queue, const protocol::Method& method,
                  const Content& content) const {
  Seen seen;
  std::string_view exchange;
  std::string_view routing_key;
  if (const auto* deliver = std::get_if<protocol::BasicDeliver>(&method)) {
    seen.redelivered = deliver->redelivered;
    exchange = deliver->exchange;
    routing_key = deliver->routing_key;
  } else if (const auto* got = std::get_if<protocol::BasicGetOk>(&method)) {
    seen.redelivered = got->redelivered;
    exchange = got->exchange;
    routing_key = got->routing_key;
  }
  const auto key = read_body(content.body);
  require(key.has_value(), "queue " + queue.name + ": a damaged body of " +
                               std::to_string(content.body.size()) + " bytes");
  seen.key = *key;
  require(exchange == queue.exchange && routing_key == queue.routing_key,
          in_queue(*key, queue) + ": came with another exchange or routing key");
  const auto at = queue.copies.find(*key);
  require(at != queue.copies.end(),
          in_queue(*key, queue) +
              " is back: it was settled for certain, purged, missing after an "
              "earlier restart, or never published there");
  const auto expected = make_properties(*key, at->second.persistent);
  std::vector<std::uint8_t> properties(content.properties.begin(), content.properties.end());
  if (!queue.died_in.empty()) properties = without_history(properties, queue.died_in);
  const bool unchanged = properties == expected ||
                         (seen.redelivered && without_delivery_count(properties) == expected);
  require(unchanged, in_queue(*key, queue) + ": its properties have changed");
  return seen;
}

void Ledger::check_seen(const Queue& queue, const Seen& seen, const Copy& copy) const {
  require(copy.persistent || copy.run == run_,
          in_queue(seen.key, queue) + ": a transient message outlived a restart");
  require(!copy.delivered || seen.redelivered, in_queue(seen.key, queue) + ": delivered before" +
                                                   (copy.settle_asked ? " and acknowledged" : "") +
                                                   ", and now again without the redelivered flag");
  require(!((copy.settle_asked || copy.left_with != 0) && copy.settle_run == run_),
          in_queue(seen.key, queue) + ": settled in this life of the broker, and there again");
}

void Ledger::delivered(Queue& queue, const Seen& seen) {
  Copy& copy = queue.copies.at(seen.key);
  check_seen(queue, seen, copy);
  require(!copy.held, in_queue(seen.key, queue) + ": delivered to two at once");
  if (copy.settle_asked) ++totals_.came_back;
  if (copy.run != run_) copy.durable = true;
  copy.settle_asked = false;
  copy.delivered = true;
  copy.held = true;
  ++totals_.delivered;
}

void Ledger::settle_asked(Queue& queue, const MessageKey& key, GroupId transaction) {
  Copy& copy = queue.copies.at(key);
  copy.held = false;
  ++totals_.settled;
  if (transaction != 0) {
    copy.left_with = transaction;
  } else {
    copy.settle_asked = true;
    copy.settle_run = run_;
  }
}

void Ledger::rejected(Queue& queue, const MessageKey& key) {
  if (queue.dead_letters_to.empty()) return settle_asked(queue, key);
  const GroupId death = new_group();
  settle_asked(queue, key, death);
  Copy& copy = queue.copies.at(key);
  copy.settle_run = run_;
  for (Queue* target : queue.dead_letters_to) {
    Copy letter;
    letter.run = run_;
    letter.persistent = copy.persistent;
    letter.entered_with = death;
    require(target->copies.emplace(key, letter).second,
            in_queue(key, *target) + ": dies twice, by the test");
  }
  ++totals_.died;
}

void Ledger::requeued(Queue& queue, const MessageKey& key) { queue.copies.at(key).held = false; }

void Ledger::purge_asked(Queue& queue, GroupId purge) {
  for (auto& [key, copy] : queue.copies) {
    // What was acknowledged before is gone or not for reasons of its own.
    if (copy.left_with == 0 && !copy.settle_asked) copy.left_with = purge;
  }
}

void Ledger::committed(GroupId transaction, const std::vector<Queue*>& queues) {
  for (Queue* queue : queues) {
    std::erase_if(queue->copies,
                  [&](const auto& entry) { return entry.second.left_with == transaction; });
    for (auto& [key, copy] : queue->copies) {
      if (copy.entered_with != transaction) continue;
      copy.entered_with = 0;
      copy.durable = true;
    }
  }
  ++totals_.transactions;
}

void Ledger::observe(GroupId group, bool happened, const Queue& queue, const MessageKey& key) {
  const auto [at, is_new] = outcomes_.emplace(group, happened);
  if (is_new) ++totals_.torn_open;
  require(at->second == happened, in_queue(key, queue) +
                                      ": its transaction, purge or death was done in part, "
                                      "group " +
                                      std::to_string(group));
}

void Ledger::check_missing(const Queue& queue, const MessageKey& key, const Copy& copy) {
  require(!is_owed(copy), in_queue(key, queue) +
                              " is lost: it was confirmed, committed or there "
                              "after an earlier restart, and nobody settled it");
  // Asked twice over, its absence says nothing about either.
  if (copy.left_with != 0 && copy.entered_with == 0 && copy.persistent && copy.durable) {
    observe(copy.left_with, true, queue, key);
  } else if (copy.entered_with != 0 && copy.left_with == 0 && !copy.settle_asked) {
    observe(copy.entered_with, false, queue, key);
  }
}

void Ledger::audited(Queue& queue, const std::vector<Seen>& all) {
  std::map<MessageKey, Copy> held;
  std::map<std::uint32_t, std::uint64_t> last;  // number, by publisher
  for (const Seen& seen : all) {
    const auto at = queue.copies.find(seen.key);
    require(at != queue.copies.end(), in_queue(seen.key, queue) + " is there twice");
    Copy copy = at->second;
    check_seen(queue, seen, copy);
    std::uint64_t& before = last[seen.key.publisher];
    require(before < seen.key.number || !queue.died_in.empty(),
            in_queue(seen.key, queue) + ": out of order, it came after " + std::to_string(before));
    before = seen.key.number;
    if (copy.entered_with != 0) observe(copy.entered_with, true, queue, seen.key);
    if (copy.left_with != 0) observe(copy.left_with, false, queue, seen.key);
    if (copy.settle_asked) ++totals_.came_back;
    copy.entered_with = copy.left_with = 0;
    copy.settle_asked = false;
    copy.durable = true;
    copy.delivered = true;
    copy.held = true;
    held.emplace(seen.key, copy);
    if (queue.deduplicates) queue.ids.insert(seen.key);
    queue.copies.erase(at);
  }
  for (const auto& [key, copy] : queue.copies) check_missing(queue, key, copy);
  queue.copies = std::move(held);
  totals_.audited += all.size();
}

void Ledger::audit_is_over() {
  for (auto& [name, queue] : queues_) {
    for (auto& [key, copy] : queue.copies) copy.held = false;
    require(!open_groups(queue), "queue " + queue.name + " has a group that no audit closed");
  }
  outcomes_.clear();
}

bool Ledger::open_groups(const Queue& queue) const {
  return std::ranges::any_of(queue.copies, [](const auto& entry) {
    return entry.second.entered_with != 0 || entry.second.left_with != 0;
  });
}

std::pair<std::uint64_t, std::uint64_t> Ledger::count_bounds(const Queue& queue) const {
  std::uint64_t owed = 0;
  std::uint64_t possible = 0;
  for (const auto& [key, copy] : queue.copies) {
    if (is_owed(copy)) ++owed;
    if (copy.persistent || copy.run == run_) ++possible;
  }
  return {owed, possible};
}

}  // namespace harrier::crash_tests
