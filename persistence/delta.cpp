// SPDX-License-Identifier: Apache-2.0
#include "persistence/delta.hpp"

#include <algorithm>
#include <utility>

#include "persistence/record_codec.hpp"

namespace harrier::persistence {

bool Delta::apply(JournalPosition at, protocol::ByteView payload) {
  base_ = at;
  return read_entry(payload, *this);
}

std::uint64_t Delta::content_bytes(const Added& added) const {
  if (added.content == 0) return added.size - added.times_size - kMessageFraming;
  const JournalSlice* const slice = content(added.content);
  return slice == nullptr ? 0 : slice->size - kMessageFraming;
}

void Delta::on_enqueue(QueueId queue, Seq seq, const TailPlace& tail) {
  QueueDelta& delta = queues_[queue];
  delta.present = true;
  delta.seq_max = std::max(delta.seq_max, seq);
  const Added added{seq, base_ + tail.offset, tail.size, tail.times_size, 0, tail.content};
  delta.added_bytes += content_bytes(added);
  if (const auto replaced = delta.added.insert(added)) {
    delta.added_bytes -= content_bytes(*replaced);
  }
  if (!delta.delivery_counts.empty()) delta.delivery_counts.erase(seq);  // of nothing
  ++slot_count_;
}

void Delta::on_content(ContentId content, std::size_t offset, std::size_t size) {
  contents_[content] = {base_ + offset, size};
  content_max_ = std::max(content_max_, content);
}

void Delta::on(const Settle& record) { on(Purge{record.queue, record.seq, record.seq}); }

void Delta::on(const Purge& record) {
  QueueDelta& delta = queues_[record.queue];
  std::uint64_t erased = 0;
  delta.added.erase(record.from, record.up_to, [&](const Added& added) {
    delta.added_bytes -= content_bytes(added);
    ++erased;
  });
  // One that has come since cannot be from before too.
  if (record.from == record.up_to && erased == 1 && !replaying_) return;
  delta.gone.add(record.from, record.up_to);
  delta.delivery_counts.erase(delta.delivery_counts.lower_bound(record.from),
                              delta.delivery_counts.upper_bound(record.up_to));
}

void Delta::on(const Requeue& record) {
  QueueDelta& delta = queues_[record.queue];
  if (Added* const added = delta.added.find(record.seq)) {
    added->delivery_count = record.delivery_count;
  } else if (!delta.gone.contains(record.seq)) {
    delta.delivery_counts[record.seq] = record.delivery_count;
  }
}

void Delta::on(const DropQueue& record) {
  QueueDelta dropped;
  dropped.dropped = true;
  queues_.insert_or_assign(record.queue, std::move(dropped));
}

void Delta::on(Define& record) {
  definitions_.insert_or_assign({record.kind, std::move(record.vhost), std::move(record.name)},
                                std::move(record.value));
}

void Delta::on(const Forget& record) {
  definitions_.insert_or_assign({record.kind, record.vhost, record.name}, std::nullopt);
}

}  // namespace harrier::persistence
