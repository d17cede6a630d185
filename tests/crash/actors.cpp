// SPDX-License-Identifier: Apache-2.0
#include "tests/crash/actors.hpp"

#include <algorithm>
#include <variant>

namespace harrier::crash_tests {
namespace {

constexpr std::size_t kUnsentMax = 1u << 20;
constexpr std::size_t kBacklogMax = 20'000;  // copies in one queue; the audits drain what is deep
constexpr std::uint32_t kHugeBody = 3u << 20;

}  // namespace

std::uint32_t Dice::body_size() {
  const std::uint64_t kind = below(2'000);
  if (kind == 0) return kHugeBody;
  const std::uint64_t limit = kind < 20 ? 100 * 1024 : kind < 200 ? 8 * 1024 : 1024;
  return static_cast<std::uint32_t>(kBodySizeMin + below(limit - kBodySizeMin + 1));
}

Actor::Actor(World& world)
    : world_(world),
      client_(world.port, [this](const protocol::Method& method, const Content& content) {
        on_method(method, content);
      }) {}

bool Actor::may_send() const {
  return !resting_ && !client_.gone() && client_.unsent() < kUnsentMax;
}

// --- Publisher ---

Publisher::Publisher(World& world, std::uint32_t id, std::vector<Queue*> queues, std::size_t window)
    : Actor(world), id_(id), queues_(std::move(queues)), window_(window) {
  client_.call(protocol::ConfirmSelect{});
}

void Publisher::step() {
  const bool full = std::ranges::any_of(
      queues_, [](const Queue* queue) { return queue->copies.size() > kBacklogMax; });
  while (!full && may_send() && unconfirmed_.size() < window_) publish();
}

void Publisher::publish() {
  const MessageKey key{id_, world_.ledger.next_number(id_)};
  const bool persistent = world_.spare || !world_.dice.one_in(10);
  for (Queue* queue : queues_) world_.ledger.published(*queue, key, persistent);
  unconfirmed_.sent(key);
  client_.publish(queues_.front()->exchange, queues_.front()->routing_key, false,
                  make_properties(key, persistent), make_body(key, world_.dice.body_size()));
}

void Publisher::on_method(const protocol::Method& method, const Content&) {
  for (const MessageKey& key : unconfirmed_.take(method)) {
    for (Queue* queue : queues_) world_.ledger.confirmed(*queue, key);
  }
}

// --- Consumer ---

Consumer::Consumer(World& world, Queue& queue) : Actor(world), queue_(queue) {
  constexpr std::uint16_t kPrefetches[] = {1, 10, 100, 1000};
  prefetch_ = kPrefetches[world.dice.below(4)];
  batch_ = 1 + world.dice.below(prefetch_);
  protocol::BasicQos qos;
  qos.prefetch_count = prefetch_;
  client_.call(qos);
  protocol::BasicConsume consume;
  consume.queue = queue_.name;
  client_.call(consume);
}

void Consumer::on_method(const protocol::Method& method, const Content& content) {
  const auto* deliver = std::get_if<protocol::BasicDeliver>(&method);
  require(deliver != nullptr, "a consumer got " + protocol::print(method));
  const Seen seen = world_.ledger.read(queue_, method, content);
  world_.ledger.delivered(queue_, seen);
  if (!seen.redelivered && queue_.died_in.empty()) {
    std::uint64_t& last = last_fresh_[seen.key.publisher];
    require(last < seen.key.number, to_text(seen.key) + " in queue " + queue_.name +
                                        ": delivered out of order, after " + std::to_string(last));
    last = seen.key.number;
  }
  held_.emplace_back(deliver->delivery_tag, seen.key);
  require(held_.size() <= prefetch_, "more deliveries than the prefetch allows");
  act();
}

void Consumer::act() {
  if (resting_ || held_.size() < batch_) return;
  const std::uint64_t choice = world_.dice.below(100);
  if (choice < 3) {
    give_back();
  } else if (!queue_.dead_letters_to.empty() && choice < 80) {
    reject();
  } else {
    settle(choice < 60);
  }
  batch_ = 1 + world_.dice.below(prefetch_);
}

void Consumer::settle(bool multiple) {
  if (multiple) {
    for (const auto& [tag, key] : held_) world_.ledger.settle_asked(queue_, key);
    protocol::BasicAck ack;
    ack.delivery_tag = held_.back().first;
    ack.multiple = true;
    client_.send(ack);
    held_.clear();
    return;
  }
  while (!held_.empty()) {
    const auto [tag, key] = held_.front();
    held_.pop_front();
    if (world_.dice.one_in(20)) {
      world_.ledger.rejected(queue_, key);
      protocol::BasicReject reject;
      reject.delivery_tag = tag;
      reject.requeue = false;
      client_.send(reject);
    } else {
      world_.ledger.settle_asked(queue_, key);
      protocol::BasicAck ack;
      ack.delivery_tag = tag;
      client_.send(ack);
    }
  }
}

void Consumer::reject() {
  for (const auto& [tag, key] : held_) world_.ledger.rejected(queue_, key);
  protocol::BasicNack nack;
  nack.delivery_tag = held_.back().first;
  nack.multiple = true;
  nack.requeue = false;
  client_.send(nack);
  held_.clear();
}

void Consumer::give_back() {
  for (const auto& [tag, key] : held_) world_.ledger.requeued(queue_, key);
  protocol::BasicNack nack;
  nack.delivery_tag = held_.back().first;
  nack.multiple = true;
  client_.send(nack);
  held_.clear();
}

void Consumer::finish() {
  protocol::QueueDeclare count;
  count.queue = queue_.name;
  count.passive = true;
  require(client_.call(count).ok(), "queue " + queue_.name + " is missing");
}

// --- Transactor ---

Transactor::Transactor(World& world, std::uint32_t id, std::vector<Queue*> queues)
    : Actor(world), id_(id), queues_(std::move(queues)) {
  client_.call(protocol::TxSelect{});
}

void Transactor::step() {
  if (state_ != State::Idle || !may_send()) return;
  state_ = State::Getting;
  std::size_t waiting = 0;
  for (const Queue* queue : queues_) waiting += queue->copies.size();
  // A balance of gets and publishes that lets the queues be neither empty nor deep.
  for (std::uint64_t left = world_.dice.below(waiting > 200 ? 20 : 5) + 1; left > 0; --left) {
    gets_.push_back(queues_[world_.dice.below(queues_.size())]);
    protocol::BasicGet get;
    get.queue = gets_.back()->name;
    client_.send(get);
  }
}

void Transactor::on_method(const protocol::Method& method, const Content& content) {
  if (const auto* got = std::get_if<protocol::BasicGetOk>(&method)) {
    Queue& queue = *gets_.front();
    const Seen seen = world_.ledger.read(queue, method, content);
    world_.ledger.delivered(queue, seen);
    held_.push_back({got->delivery_tag, &queue, seen.key});
    got_one();
  } else if (std::holds_alternative<protocol::BasicGetEmpty>(method)) {
    got_one();
  } else if (std::holds_alternative<protocol::TxCommitOk>(method)) {
    require(state_ == State::Committing, "a tx.commit-ok for nothing");
    world_.ledger.committed(group_, queues_);
    held_.clear();
    state_ = State::Idle;
  } else if (std::holds_alternative<protocol::TxRollbackOk>(method)) {
    require(state_ == State::RollingBack, "a tx.rollback-ok for nothing");
    state_ = State::Idle;  // what was acknowledged is held again, for the next transaction
  } else {
    throw Violation("a transactional client got " + protocol::print(method));
  }
}

void Transactor::got_one() {
  gets_.pop_front();
  if (gets_.empty()) publish_and_end();
}

void Transactor::publish_and_end() {
  const bool commit = !world_.dice.one_in(8);
  group_ = commit ? world_.ledger.new_group() : 0;
  for (std::uint64_t left = world_.dice.below(8) + 1; left > 0; --left) {
    Queue& queue = *queues_[world_.dice.below(queues_.size())];
    const MessageKey key{id_, world_.ledger.next_number(id_)};
    // What is rolled back must never be seen, so the ledger does not know it.
    if (commit) world_.ledger.published(queue, key, true, group_);
    client_.publish("", queue.name, false, make_properties(key, true),
                    make_body(key, world_.dice.body_size()));
  }
  for (const Held& held : held_) {
    protocol::BasicAck ack;
    ack.delivery_tag = held.tag;
    client_.send(ack);
    if (commit) world_.ledger.settle_asked(*held.queue, held.key, group_);
  }
  if (commit) {
    state_ = State::Committing;
    client_.send(protocol::TxCommit{});
  } else {
    state_ = State::RollingBack;
    client_.send(protocol::TxRollback{});
  }
}

void Transactor::finish() { client_.call(protocol::TxRollback{}); }

// --- Purger ---

Purger::Purger(World& world, std::uint32_t id, Queue& queue)
    : Actor(world), id_(id), queue_(queue) {
  client_.call(protocol::ConfirmSelect{});
}

void Purger::step() {
  if (unconfirmed_ != 0 || purging_ || !may_send()) return;
  if (sequence_ != 0 && world_.dice.below(3) != 0) {
    purging_ = true;
    bounds_ = world_.ledger.count_bounds(queue_);
    world_.ledger.purge_asked(queue_, world_.ledger.new_group());
    protocol::QueuePurge purge;
    purge.queue = queue_.name;
    client_.send(purge);
    return;
  }
  for (std::uint64_t left = world_.dice.below(40) + 1; left > 0; --left) {
    const MessageKey key{id_, world_.ledger.next_number(id_)};
    world_.ledger.published(queue_, key, true);
    published_.push_back(key);
    ++sequence_;
    ++unconfirmed_;
    client_.publish("", queue_.name, false, make_properties(key, true),
                    make_body(key, world_.dice.body_size()));
  }
}

void Purger::on_method(const protocol::Method& method, const Content&) {
  if (const auto* ack = std::get_if<protocol::BasicAck>(&method)) {
    require(ack->delivery_tag > confirmed_through_ && ack->delivery_tag <= sequence_,
            "a confirm of nothing");
    // Confirms come in sequence order, so one that is not multiple is the next one.
    require(ack->multiple || ack->delivery_tag == confirmed_through_ + 1, "a confirm out of order");
    for (; confirmed_through_ < ack->delivery_tag; ++confirmed_through_, --unconfirmed_) {
      world_.ledger.confirmed(queue_, published_[confirmed_through_]);
    }
  } else if (const auto* purged = std::get_if<protocol::QueuePurgeOk>(&method)) {
    require(purging_ && purged->message_count >= bounds_.first &&
                purged->message_count <= bounds_.second,
            "queue " + queue_.name + ": purged " + std::to_string(purged->message_count) + " of " +
                std::to_string(bounds_.first) + " to " + std::to_string(bounds_.second));
    purging_ = false;
  } else {
    throw Violation("a purging client got " + protocol::print(method));
  }
}

}  // namespace harrier::crash_tests
