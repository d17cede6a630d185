// SPDX-License-Identifier: Apache-2.0
//
// What a shard does about its queues' memory: which of them gives something up, and when.
#include <algorithm>
#include <limits>
#include <utility>

#include "broker/core/engine.hpp"

namespace harrier::broker {

namespace {

// Queues that are looked at in one turn: a bound on its length.
constexpr std::size_t kLooksPerTurn = 64;
// Pieces on their way to the store: enough to keep it busy, and a bound on what they hold.
constexpr unsigned kPageOutsOpenMax = 4;

}  // namespace

void Engine::fetch(StoreId part, const FetchRequest& request) { world_.fetch(part, request); }

void Engine::page_out(StoreId part, std::vector<persistence::StoredMessage> messages,
                      std::uint64_t token) {
  ++page_outs_open_;
  world_.page_out(part, std::move(messages), token);
}

void Engine::drop_paged(StoreId part, Seq from, Seq up_to) { world_.drop_paged(part, from, up_to); }

void Engine::on(Fetched& m, ShardId) {
  if (Queue* queue = find_queue(queue_of(m.part))) queue->fetched(m, *this);
}

void Engine::on(PagedOut& m, ShardId) {
  --page_outs_open_;
  if (Queue* queue = find_queue(queue_of(m.part))) {
    queue->paged_out(m, *this);
  } else {
    drop_paged(m.part, 0, std::numeric_limits<Seq>::max());
  }
  page_out_unstored();
}

void Engine::wake_waiting_queues() {
  for (const QueueId id : std::exchange(residents_.waiting, {})) {
    if (Queue* queue = find_queue(id)) queue->store_moved(*this);
  }
}

// Queues without consumers give up what the store has, those first that have not been used for the
// longest time: a queue that was used since it was last looked at gets a second chance.
void Engine::relieve_residents() {
  residents_.wanted = false;
  const std::uint64_t goal = residents_.bytes_max - residents_.bytes_max / 4;
  const std::size_t looks = std::min(residents_.holders.size(), kLooksPerTurn);
  for (std::size_t i = 0; i < looks && residents_.bytes > goal; ++i) {
    Queue& queue = *queues_.at(residents_.holders.front());
    residents_.holders.splice(residents_.holders.end(), residents_.holders,
                              residents_.holders.begin());
    if (queue.idle() && !queue.used_since_last_asked()) queue.evict();
  }
}

// Messages that no store has go there in turns, a piece of each queue at a time.
void Engine::page_out_unstored() {
  if (!world_.page_out || options_.page_out_above_bytes == 0) return;
  if (world_.message_bytes() <= options_.page_out_above_bytes) return;
  for (std::size_t looks = 0; looks < kLooksPerTurn && !residents_.unstored.empty(); ++looks) {
    if (page_outs_open_ >= kPageOutsOpenMax) return;
    Queue& queue = *queues_.at(residents_.unstored.front());
    residents_.unstored.splice(residents_.unstored.end(), residents_.unstored,
                               residents_.unstored.begin());
    queue.page_out(*this);
  }
}

}  // namespace harrier::broker
