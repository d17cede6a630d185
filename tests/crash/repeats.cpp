// SPDX-License-Identifier: Apache-2.0
#include "tests/crash/repeats.hpp"

#include <utility>

namespace harrier::crash_tests {
namespace {

// The queues remember many more than are repeated.
constexpr std::int32_t kIdsRemembered = 20'000;
constexpr std::size_t kIdsRepeated = 1'000;
constexpr std::size_t kWindow = 20;
constexpr std::size_t kBacklogMax = 2'000;

}  // namespace

std::optional<MessageKey> RepeatedIds::take_lost() {
  if (lost_.empty()) return std::nullopt;
  const MessageKey key = lost_.front();
  lost_.pop_front();
  return key;
}

std::optional<MessageKey> RepeatedIds::any(Dice& dice) const {
  const std::deque<MessageKey>& from = dice.one_in(3) ? open_ : taken_;
  if (from.empty()) return std::nullopt;
  return from[dice.below(from.size())];
}

void RepeatedIds::published(const MessageKey& key) {
  ledger_.published(queue_, key, true);
  open_.push_back(key);
}

// A duplicate is confirmed when the first one is durable.
void RepeatedIds::confirmed(const MessageKey& key) {
  if (queue_.ids.contains(key)) return;
  ledger_.confirmed(queue_, key);
  std::erase(open_, key);
  keep(key);
}

void RepeatedIds::keep(const MessageKey& key) {
  taken_.push_back(key);
  if (taken_.size() > kIdsRepeated) taken_.pop_front();
}

// One that a client has had, and that no audit finds, may have been taken or not.
void RepeatedIds::killed() {
  std::erase_if(open_, [this](const MessageKey& key) {
    const auto at = queue_.copies.find(key);
    return at != queue_.copies.end() && at->second.delivered && !queue_.ids.contains(key);
  });
}

void RepeatedIds::resumed() {
  std::deque<MessageKey> lost;  // earlier ones than those that wait already
  for (const MessageKey& key : std::exchange(open_, {})) {
    if (queue_.ids.contains(key)) {
      keep(key);
    } else {
      require(!queue_.copies.contains(key), to_text(key) + ": no audit has decided about it");
      lost.push_back(key);
    }
  }
  lost_.insert(lost_.begin(), lost.begin(), lost.end());
}

Repeats::Repeats(Ledger& ledger) {
  for (int i = 0; i < 2; ++i) {
    const std::string name = "unique." + std::to_string(i);
    Queue& queue = ledger.add_queue(name, "", name);
    queue.deduplicates = true;
    queue.arguments.add_bool("x-message-deduplication", true);
    queue.arguments.add_int32("x-cache-size", kIdsRemembered);
    ids_.emplace_back(ledger, queue);
  }
}

void Repeats::add_actors(World& world, std::uint32_t& publisher,
                         std::vector<std::unique_ptr<Actor>>& actors) {
  for (RepeatedIds& ids : ids_) {
    ids.resumed();
    actors.push_back(std::make_unique<RepeatingPublisher>(world, ++publisher, ids, *this));
  }
  actors.push_back(std::make_unique<Consumer>(world, ids_.back().queue()));
}

void Repeats::killed() {
  for (RepeatedIds& ids : ids_) ids.killed();
}

void Repeats::check_load() const {
  require(repeats_ > 0, "the load was too short to prove anything about duplicates");
}

std::string Repeats::summary() const { return std::to_string(repeats_) + " ids repeated"; }

RepeatingPublisher::RepeatingPublisher(World& world, std::uint32_t id, RepeatedIds& ids,
                                       Repeats& repeats)
    : Actor(world), id_(id), ids_(ids), repeats_(repeats) {
  client_.call(protocol::ConfirmSelect{});
}

void RepeatingPublisher::step() {
  while (may_send() && unconfirmed_.size() < kWindow) {
    if (const auto lost = ids_.take_lost()) {
      ids_.published(*lost);
      publish(*lost);
      continue;
    }
    if (const auto known = world_.dice.one_in(2) ? ids_.any(world_.dice) : std::nullopt) {
      repeats_.repeated();
      publish(*known);
    } else if (ids_.queue().copies.size() < kBacklogMax) {
      const MessageKey key{id_, world_.ledger.next_number(id_)};
      ids_.published(key);
      publish(key);
    } else {
      return;
    }
  }
}

void RepeatingPublisher::publish(const MessageKey& key) {
  unconfirmed_.sent(key);
  client_.publish("", ids_.queue().name, false, make_properties(key, true),
                  make_body(key, world_.dice.body_size()));
}

void RepeatingPublisher::on_method(const protocol::Method& method, const Content&) {
  for (const MessageKey& key : unconfirmed_.take(method)) ids_.confirmed(key);
}

}  // namespace harrier::crash_tests
