// SPDX-License-Identifier: Apache-2.0
#include "persistence/layers.hpp"

#include <algorithm>
#include <limits>
#include <string>
#include <utility>

namespace harrier::persistence {

namespace {

constexpr Seq kSeqMax = std::numeric_limits<Seq>::max();

using Tail = QueueView::Tail;

// What one delta adds to a view, as long as `bytes_left` lasts.
Status add_tails(const Delta& delta, const QueueDelta& queue, const QueueDelta* above,
                 const Journal& journal, Seq from, std::size_t bytes_max, QueueView& view) {
  std::size_t bytes = 0;
  for (auto at = queue.added.from(from); at != queue.added.end(); ++at) {
    if (!at->filled() || (above != nullptr && above->gone.contains(at->seq))) continue;
    if (bytes > bytes_max) {
      view.next = std::min(at->seq, view.next.value_or(kSeqMax));
      break;
    }
    bytes += delta.content_bytes(*at);
    Tail tail{at->seq, at->delivery_count, {}, at->times_size, {}};
    if (above != nullptr) {
      const auto count = above->delivery_counts.find(at->seq);
      if (count != above->delivery_counts.end()) tail.delivery_count = count->second;
    }
    Status status = journal.read(at->at, at->size, tail.bytes);
    if (status.ok() && at->content != 0) {
      const JournalSlice* const slice = delta.content(at->content);
      status = slice == nullptr
                   ? Status::failed("journal: content " + std::to_string(at->content) + " missing")
                   : journal.read(slice->at, slice->size, tail.content.emplace());
    }
    if (!status.ok()) return status;
    view.added.push_back(std::move(tail));
  }
  return {};
}

// What one delta hides of the image.
void hide(const QueueDelta& queue, Seq from, QueueView& view) {
  view.image_hidden = view.image_hidden || queue.dropped;
  if (view.image_hidden) return;
  for (auto at = queue.gone.reaching(from); at != queue.gone.end(); ++at) {
    view.gone.add(at->first, at->second);
  }
  for (auto at = queue.delivery_counts.lower_bound(from); at != queue.delivery_counts.end(); ++at) {
    view.delivery_counts[at->first] = at->second;
  }
}

}  // namespace

void Layers::begin_entry() {
  std::unique_lock lock(mutex_);
  entry_ended_.wait(lock, [this] { return !freezing_; });
  entry_begun_ = true;
}

void Layers::end_entry() {
  {
    const std::lock_guard lock(mutex_);
    entry_begun_ = false;
    if (!freezing_) return;
  }
  entry_ended_.notify_all();
}

Status Layers::apply(JournalPosition at, protocol::ByteView payload, JournalPosition through) {
  const std::lock_guard lock(mutex_);
  if (!active_->apply(at, payload)) {
    return Status::failed("journal: what stands at position " + std::to_string(at) +
                          " has a good checksum and is no entry of this version");
  }
  through_ = through;
  return {};
}

void Layers::replayed(JournalPosition end) {
  const std::lock_guard lock(mutex_);
  if (through_ != covered_) through_ = end;
}

bool Layers::known_content(ContentId content) const {
  const std::lock_guard lock(mutex_);
  return active_->content(content) != nullptr;
}

std::size_t Layers::slot_count() const {
  const std::lock_guard lock(mutex_);
  return active_->slot_count();
}

JournalPosition Layers::covered() const {
  const std::lock_guard lock(mutex_);
  return covered_;
}

JournalPosition Layers::newest_covered() const {
  const std::lock_guard lock(mutex_);
  return frozen_ ? frozen_through_ : covered_;
}

ContentId Layers::content_max() const {
  const std::lock_guard lock(mutex_);
  return std::max(active_->content_max(), frozen_ ? frozen_->content_max() : 0);
}

const Delta* Layers::freeze(JournalPosition& through) {
  std::unique_lock lock(mutex_);
  if (!frozen_) {
    if (through_ == covered_) return nullptr;
    freezing_ = true;
    entry_ended_.wait(lock, [this] { return !entry_begun_; });
    freezing_ = false;
    entry_ended_.notify_all();
    frozen_ = std::exchange(active_, std::make_unique<Delta>());
    frozen_through_ = through_;
  }
  through = frozen_through_;
  return frozen_.get();
}

void Layers::thaw() {
  std::unique_ptr<Delta> done;  // freed without the lock
  const std::lock_guard lock(mutex_);
  done = std::move(frozen_);
  covered_ = frozen_through_;
}

// The snapshot is taken under the lock: what thaw() takes away must be in it. It may have more than
// that, a checkpoint that is just done; laying the frozen delta over it again changes nothing.
Status Layers::view(Image& image, const Journal& journal, QueueId queue, Seq from,
                    std::size_t bytes_max, QueueView& out) const {
  const std::lock_guard lock(mutex_);
  if (Status status = image.snapshot(out.snapshot); !status.ok()) return status;
  const QueueDelta* const above = active_->find(queue);
  const QueueDelta* const below = frozen_ ? frozen_->find(queue) : nullptr;
  if (below != nullptr) hide(*below, from, out);
  if (above != nullptr) hide(*above, from, out);
  if (below != nullptr && !(above != nullptr && above->dropped)) {
    const Status status = add_tails(*frozen_, *below, above, journal, from, bytes_max, out);
    if (!status.ok()) return status;
  }
  if (above == nullptr) return {};
  const Status status = add_tails(*active_, *above, nullptr, journal, from, bytes_max, out);
  std::ranges::stable_sort(out.added, {}, &Tail::seq);
  return status;
}

namespace {

// The messages and bytes of `below` that `above` leaves.
void count_added(const Delta& delta, const QueueDelta& below, const QueueDelta* above,
                 RecoveredQueue& out) {
  out.messages += below.added.size();
  out.bytes += below.added_bytes;
  if (above == nullptr) return;
  for (const auto& [first, last] : above->gone) {
    for (auto at = below.added.from(first); at != below.added.end() && at->seq <= last; ++at) {
      if (!at->filled()) continue;
      --out.messages;
      out.bytes -= delta.content_bytes(*at);
    }
  }
}

}  // namespace

Status Layers::count(Image& image, std::vector<RecoveredQueue>& out) const {
  const std::lock_guard lock(mutex_);
  std::unique_ptr<Image::Snapshot> snapshot;
  if (Status status = image.snapshot(snapshot); !status.ok()) return status;
  std::map<QueueId, RecoveredQueue> queues;
  Status status = snapshot->queues([&](const Image::Snapshot::Queue& queue) {
    queues[queue.queue] = {queue.queue, queue.seq_max, queue.messages, queue.bytes, {}, {}};
    return true;
  });
  for (const Delta* const delta : {frozen_.get(), active_.get()}) {
    if (delta == nullptr) continue;
    for (const auto& [id, changes] : delta->queues()) {
      if (changes.dropped) queues.erase(id);
    }
  }
  // What of the image is gone, each position once.
  for (auto& [id, queue] : queues) {
    const QueueDelta* const below = frozen_ ? frozen_->find(id) : nullptr;
    const QueueDelta* const above = active_->find(id);
    SeqRanges gone;
    for (const QueueDelta* const changes : {below, above}) {
      if (changes == nullptr) continue;
      for (const auto& [first, last] : changes->gone) gone.add(first, last);
      // What has been added is counted there, if a checkpoint has just brought it here as well.
      for (auto at = changes->added.from(0); at != changes->added.end(); ++at) {
        if (at->filled() && at->seq <= queue.seq_max) gone.add(at->seq, at->seq);
      }
    }
    for (const auto& [first, last] : gone) {
      Image::Snapshot::Count count;
      if (status.ok()) status = snapshot->count(id, first, last, count);
      queue.messages -= count.messages;
      queue.bytes -= count.bytes;
    }
  }
  if (!status.ok()) return status;
  for (const Delta* const delta : {frozen_.get(), active_.get()}) {
    if (delta == nullptr) continue;
    for (const auto& [id, changes] : delta->queues()) {
      const QueueDelta* const above = delta == active_.get() ? nullptr : active_->find(id);
      if (!changes.present || (above != nullptr && above->dropped)) continue;
      RecoveredQueue& queue = queues[id];
      queue.queue = id;
      queue.seq_max = std::max(queue.seq_max, changes.seq_max);
      count_added(*delta, changes, above, queue);
    }
  }
  out.clear();
  for (auto& [id, queue] : queues) {
    if (queue.messages > 0) queue.next = 0;
    out.push_back(std::move(queue));
  }
  return {};
}

Status Layers::definitions(Image& image, std::vector<Define>& out) const {
  const std::lock_guard lock(mutex_);
  std::unique_ptr<Image::Snapshot> snapshot;
  if (Status status = image.snapshot(snapshot); !status.ok()) return status;
  std::vector<Define> stored;
  if (Status status = snapshot->definitions(stored); !status.ok()) return status;
  std::map<Delta::DefinitionKey, Bytes> merged;
  for (Define& definition : stored) {
    merged.emplace_hint(merged.end(),
                        Delta::DefinitionKey{definition.kind, std::move(definition.vhost),
                                             std::move(definition.name)},
                        std::move(definition.value));
  }
  for (const Delta* const delta : {frozen_.get(), active_.get()}) {
    if (delta == nullptr) continue;
    for (const auto& [key, value] : delta->definitions()) {
      if (value) {
        merged.insert_or_assign(key, *value);
      } else {
        merged.erase(key);
      }
    }
  }
  out.clear();
  out.reserve(merged.size());
  for (auto& [key, value] : merged) {
    out.push_back({std::get<0>(key), std::get<1>(key), std::get<2>(key), std::move(value)});
  }
  return {};
}

}  // namespace harrier::persistence
