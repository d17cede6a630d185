// SPDX-License-Identifier: Apache-2.0
#include "persistence/memory_store.hpp"

#include <algorithm>
#include <utility>

namespace harrier::persistence {

Status MemoryStore::recover(Recovery& out) {
  out.definitions.clear();
  out.queues.clear();
  out.clean = true;
  const std::lock_guard lock(mutex_);
  paged_.clear();
  out.definitions.reserve(definitions_.size());
  for (const auto& [key, value] : definitions_) {
    out.definitions.push_back({std::get<0>(key), std::get<1>(key), std::get<2>(key), value});
  }
  out.queues.reserve(queues_.size());
  for (const auto& [id, contents] : queues_) {
    RecoveredQueue queue{id, contents.seq_max(), contents.size(), contents.bytes(), {}, {}};
    queue.next = contents.first();
    if (out.head_bytes_max > 0) queue.next = contents.read(0, out.head_bytes_max, queue.head);
    out.queues.push_back(std::move(queue));
  }
  std::sort(out.queues.begin(), out.queues.end(),
            [](const RecoveredQueue& a, const RecoveredQueue& b) { return a.queue < b.queue; });
  return {};
}

void MemoryStore::commit(WriteBatch batch, OnDurable done) {
  std::vector<Record> records = std::move(batch).take_records();
  std::vector<QueueContents> dropped;
  {
    const std::lock_guard lock(mutex_);
    for (Record& record : records) std::visit([this](auto& value) { apply(value); }, record);
    ++written_.batches;
    written_.records += records.size();
    dropped.swap(dropped_);
  }
  if (done) done(Status());
}

void MemoryStore::fetch(QueueId queue, Seq from, std::size_t bytes_max, OnFetched done) {
  Fetched fetched;
  {
    const std::lock_guard lock(mutex_);
    if (const QueueContents* const contents = find(queue)) {
      fetched.next = contents->read(from, bytes_max, fetched.messages);
    }
    const auto paged = paged_.find(queue);
    if (paged != paged_.end()) {
      std::vector<StoredMessage> transient;
      const std::optional<Seq> next = paged->second.read(from, bytes_max, transient);
      fetched = merge(std::move(fetched), {Status(), std::move(transient), next}, bytes_max);
    }
  }
  done(std::move(fetched));
}

void MemoryStore::page_out(QueueId queue, std::vector<StoredMessage> messages, OnDurable done) {
  {
    const std::lock_guard lock(mutex_);
    QueueContents& contents = paged_[queue];
    // Below all that is there: from the back, so that each goes to the front and moves no other.
    const bool below =
        contents.first() && !messages.empty() && messages.back().seq < *contents.first();
    if (below) std::reverse(messages.begin(), messages.end());
    for (StoredMessage& message : messages) contents.insert(std::move(message));
  }
  done(Status());
}

void MemoryStore::drop_paged(QueueId queue, Seq from, Seq up_to) {
  const std::lock_guard lock(mutex_);
  const auto found = paged_.find(queue);
  if (found == paged_.end()) return;
  found->second.erase_range(from, up_to);
  if (found->second.size() == 0) paged_.erase(found);
}

StoreStats MemoryStore::stats() const {
  const std::lock_guard lock(mutex_);
  StoreStats stats = written_;
  stats.queues = queues_.size();
  stats.definitions = definitions_.size();
  for (const auto& [id, contents] : queues_) {
    stats.messages += contents.size();
    stats.message_bytes += contents.bytes();
  }
  return stats;
}

QueueContents* MemoryStore::find(QueueId queue) {
  const auto found = queues_.find(queue);
  return found == queues_.end() ? nullptr : &found->second;
}

void MemoryStore::apply(Enqueue& record) {
  written_.enqueued_bytes += content_size(*record.message);
  queues_[record.queue].insert(
      {record.seq, std::move(record.message), record.enqueued_at_ms, record.expires_at_ms, 0});
}

void MemoryStore::apply(const Settle& record) {
  if (QueueContents* const contents = find(record.queue)) contents->erase(record.seq);
}

void MemoryStore::apply(const Requeue& record) {
  if (QueueContents* const contents = find(record.queue)) {
    contents->set_delivery_count(record.seq, record.delivery_count);
  }
}

void MemoryStore::apply(const DropQueue& record) {
  const auto found = queues_.find(record.queue);
  if (found == queues_.end()) return;
  dropped_.push_back(std::move(found->second));
  queues_.erase(found);
}

void MemoryStore::apply(const Purge& record) {
  if (QueueContents* const contents = find(record.queue))
    contents->erase_range(record.from, record.up_to);
}

void MemoryStore::apply(Define& record) {
  definitions_.insert_or_assign({record.kind, std::move(record.vhost), std::move(record.name)},
                                std::move(record.value));
}

void MemoryStore::apply(Forget& record) {
  definitions_.erase({record.kind, std::move(record.vhost), std::move(record.name)});
}

}  // namespace harrier::persistence
