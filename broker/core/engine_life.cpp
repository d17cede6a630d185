// SPDX-License-Identifier: Apache-2.0
//
// What a shard does about messages that have died in its queues, and about its queues' time.
#include <algorithm>
#include <bit>
#include <utility>

#include "broker/core/arguments.hpp"
#include "broker/core/engine.hpp"

namespace harrier::broker {

namespace {

constexpr std::size_t kLettersKept = 4'096;  // room for so many stays: half a MiB
// Delayed messages that are routed in one turn, of all exchanges: a millisecond or two.
constexpr unsigned kReleasedPerTurn = 2'000;

}  // namespace

bool Engine::may_release_delayed() {
  if (released_ >= kReleasedPerTurn) return false;
  ++released_;
  return true;
}

void Engine::dead_letter(DeadLetter letter) { dead_letters_.push_back(std::move(letter)); }

// One after the other, not inside the queue where they died: the next queue may be the same one,
// and a letter may lead to more. That ends, because no letter goes in a circle (C-431).
void Engine::send_dead_letters() {
  if (std::exchange(sending_dead_letters_, true)) return;
  for (std::size_t next = 0; next < dead_letters_.size(); ++next) {
    const DeadLetter letter = std::move(dead_letters_[next]);
    send_dead_letter(letter);
  }
  dead_letters_.clear();
  if (dead_letters_.capacity() > kLettersKept) dead_letters_.shrink_to_fit();
  sending_dead_letters_ = false;
}

// Without an exchange or a route it is dropped (C-422). Permissions are not asked for (C-435).
void Engine::send_dead_letter(const DeadLetter& letter) {
  const VhostView* const vhost = find_vhost(letter.vhost);
  const routing::TopologyPtr topology = vhost->topology;
  const protocol::Message& message = *letter.message;
  const routing::Exchange* const exchange =
      topology->find_exchange(letter.delayed_by ? *letter.delayed_by : message.exchange());
  if (exchange == nullptr) return;
  routing::RouteRequest request = routing::request_for(*exchange, message, letter.extra_keys);
  request.delays = !letter.delayed_by;
  request.wishes = false;
  router_.route(*topology, request, dead_letter_routes_);
  for (const QueueId id : dead_letter_routes_) {
    const routing::QueueEntry* const queue = topology->find_queue(id);
    if (queue == nullptr || std::ranges::count(letter.queues_past, queue->name) > 0) continue;
    publish({id, letter.message, {}, 0});
    if (letter.leaves_store && queue->durable && (message.persistent() || stores_all(*queue)))
      dead_letter_shards_ |= std::uint64_t{1} << shard_of(id, options_.shards);
  }
}

// What left the store here and what came into it elsewhere in this turn are durable together: every
// shard reads what one turn sends to it in one turn.
void Engine::join_dead_letters() {
  const std::uint64_t here = std::uint64_t{1} << self_;
  const std::uint64_t shards = std::exchange(dead_letter_shards_, 0) | here;
  if (shards == here) return;
  const CommitPart part{{}, next_transaction(), static_cast<std::uint32_t>(std::popcount(shards))};
  for (unsigned shard = 0; shard < options_.shards; ++shard) {
    if (shards >> shard & 1) send(static_cast<ShardId>(shard), part);
  }
}

// ---- time ----

void Engine::wake_at(QueueId queue, Millis instead_of, Millis at) {
  if (instead_of != kNeverDue) queue_alarms_.erase({instead_of, queue});
  if (at != kNeverDue) queue_alarms_.emplace(at, queue);
}

// Those that are due now, each once: one that is due again at once waits for the next turn.
void Engine::wake_queues() {
  std::vector<QueueId> due;
  while (!queue_alarms_.empty() && queue_alarms_.begin()->first <= unix_ms()) {
    due.push_back(queue_alarms_.begin()->second);
    queue_alarms_.erase(queue_alarms_.begin());
  }
  for (const QueueId id : due) {
    Queue* const queue = find_queue(id);
    if (queue != nullptr && queue->wake(*this)) drop_unused(id);
  }
}

// x-expires: nobody is there to be told (C-264).
void Engine::drop_unused(QueueId id) {
  const std::string vhost = find_queue(id)->vhost();
  drop_queue(id);
  report_gone(vhost, {id}, {});
}

}  // namespace harrier::broker
