// SPDX-License-Identifier: Apache-2.0
#include "persistence/checkpointer.hpp"

#include <sys/statvfs.h>

#include <algorithm>
#include <array>
#include <string>
#include <utility>
#include <vector>

#include "persistence/crash_point.hpp"

namespace harrier::persistence {

namespace {

constexpr std::size_t kSweepRows = 4'000;  // about a slice, of rows of 1 KiB
constexpr Seq kErasedAtOnce = 1'024;       // rows of a range; the rest is left to sweeps
constexpr std::size_t kErasedRowBytes = 1'024;

}  // namespace

Checkpointer::Checkpointer(Image& image, Journal& journal, Layers& layers, const Image::Meta& meta,
                           CheckpointSettings settings, CheckpointHooks hooks)
    : image_(image),
      journal_(journal),
      layers_(layers),
      meta_(meta),
      settings_(std::move(settings)),
      hooks_(std::move(hooks)),
      thread_([this] { run(); }) {}

Checkpointer::~Checkpointer() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  journal_.end_preparing();
  wake_.notify_all();
  if (thread_.joinable()) thread_.join();
}

void Checkpointer::request() {
  {
    const std::lock_guard lock(mutex_);
    if (requested_) return;
    requested_ = true;
  }
  wake_.notify_all();
}

Status Checkpointer::finish(bool clean) {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  journal_.end_preparing();
  wake_.notify_all();
  thread_.join();
  if (failed_) return {};                       // reported already
  const Status unfinished = checkpoint(false);  // one that met a full disk
  return unfinished.ok() ? checkpoint(clean) : unfinished;
}

std::uint64_t Checkpointer::checkpoints() const {
  const std::lock_guard lock(mutex_);
  return checkpoints_;
}

void Checkpointer::run() {
  std::unique_lock lock(mutex_);
  auto next = std::chrono::steady_clock::now() + settings_.interval;
  while (!stopping_) {
    const bool due = std::exchange(requested_, false) || std::chrono::steady_clock::now() >= next;
    lock.unlock();
    const bool good = round(due);
    lock.lock();
    if (!good) {
      failed_ = true;
      return;
    }
    if (due) next = std::chrono::steady_clock::now() + settings_.interval;
    if (garbage_left_ && !no_room_) continue;
    wake_.wait_until(lock, next, [this] { return stopping_ || requested_; });
  }
}

bool Checkpointer::round(bool due) {
  Status status = journal_.prepare();
  if (status.is_full()) status = {};  // files grow as they are written, or that fails too
  if (status.ok() && due) {
    look_at_free_space();
    status = checkpoint(false);
    hooks_.tick();
  }
  if (status.ok() && garbage_left_) {
    status = image_.sweep(kSweepRows, garbage_left_);
    HARRIER_CRASH_POINT("sweep");
  }
  if (status.is_full() != no_room_) hooks_.no_room(status.is_full(), status.error());
  no_room_ = status.is_full();
  if (status.ok() || no_room_) return true;
  hooks_.failed(status);
  return false;
}

// `clean`: the last one, and nothing has happened since.
Status Checkpointer::checkpoint(bool clean) {
  JournalPosition through = 0;
  const Delta* const delta = layers_.freeze(through);
  if (delta == nullptr && !clean) return {};
  HARRIER_CRASH_POINT("checkpoint-begin");
  Image::Meta meta = meta_;
  meta.clean = clean;
  meta.whole = true;
  Status status = image_.begin(writer_);
  if (status.ok() && delta != nullptr) {
    meta.journal = through;
    meta.next_content = std::max(meta.next_content, delta->content_max() + 1);
    status = write(*delta);
  }
  if (status.ok()) {
    writer_->set_meta(meta);
    HARRIER_CRASH_POINT("checkpoint-before-commit");
    status = writer_->commit();
    HARRIER_CRASH_POINT("checkpoint-after-commit");
    garbage_left_ = garbage_left_ || writer_->garbage_left();
  }
  writer_.reset();
  covered_bytes_.store(0, std::memory_order_relaxed);  // all of it counts now, or nothing
  if (!status.ok()) return status;
  meta_ = meta;
  if (delta == nullptr) return {};
  layers_.thaw();
  status = journal_.release(through);
  HARRIER_CRASH_POINT("checkpoint-release");
  hooks_.covered();
  const std::lock_guard lock(mutex_);
  ++checkpoints_;
  return status;
}

// What is new comes before what goes, so that a content that both refer to stays. Queues by id, so
// that the rows come in the order of their keys.
Status Checkpointer::write(const Delta& delta) {
  contents_put_.clear();
  spent_bytes_ = 0;
  put_bytes_ = 0;
  std::vector<QueueId> order;
  order.reserve(delta.queues().size());
  for (const auto& [queue, changes] : delta.queues()) order.push_back(queue);
  std::ranges::sort(order);
  for (const QueueId queue : order) {
    const Status status = put_messages(delta, queue, *delta.find(queue));
    if (!status.ok()) return status;
  }
  for (const QueueId queue : order) {
    const Status status = erase_messages(queue, *delta.find(queue));
    if (!status.ok()) return status;
  }
  for (const auto& [key, value] : delta.definitions()) {
    const auto& [kind, vhost, name] = key;
    if (value) {
      writer_->define({kind, vhost, name, *value});
    } else {
      writer_->forget({kind, vhost, name});
    }
  }
  return writer_->status();
}

Status Checkpointer::put_messages(const Delta& delta, QueueId queue, const QueueDelta& changes) {
  if (!changes.present) return {};
  if (changes.dropped) writer_->drop(queue);
  writer_->set_seq_max(queue, changes.seq_max);
  for (auto at = changes.added.from(0); at != changes.added.end(); ++at) {
    if (!at->filled()) continue;
    const Status status = put_message(delta, queue, *at);
    if (!status.ok()) return status;
  }
  return writer_->status();
}

Status Checkpointer::put_message(const Delta& delta, QueueId queue, const Added& added) {
  JournalBytes tail;
  if (Status status = journal_.read(added.at, added.size, tail); !status.ok()) return status;
  if (added.content == 0) {
    writer_->put(queue, added.seq, added.delivery_count, tail.bytes);
    put_bytes_ += tail.bytes.size();
    return spend(tail.bytes.size());
  }
  std::size_t bytes = tail.bytes.size();
  if (contents_put_.insert(added.content).second) {
    const JournalSlice* const slice = delta.content(added.content);
    if (slice == nullptr) {
      return Status::failed("journal: content " + std::to_string(added.content) + " is missing");
    }
    JournalBytes content;
    if (Status status = journal_.read(slice->at, slice->size, content); !status.ok()) {
      return status;
    }
    writer_->put_content(added.content, std::array{content.bytes});
    bytes += slice->size;
  }
  writer_->put_large(queue, added.seq, added.delivery_count, tail.bytes.first(added.times_size),
                     added.content, delta.content_bytes(added));
  put_bytes_ += bytes;
  return spend(bytes);
}

Status Checkpointer::erase_messages(QueueId queue, const QueueDelta& changes) {
  if (changes.dropped && !changes.present) writer_->drop(queue);
  for (const auto& [first, last] : changes.gone) {
    // Around what has come at such a position since.
    Seq from = first;
    for (auto at = changes.added.from(first); at != changes.added.end() && at->seq <= last; ++at) {
      if (!at->filled()) continue;
      if (from < at->seq) writer_->erase(queue, from, at->seq - 1);
      from = at->seq + 1;
    }
    if (from <= last) writer_->erase(queue, from, last);
    const Status status = spend(std::min<Seq>(last - first + 1, kErasedAtOnce) * kErasedRowBytes);
    if (!status.ok()) return status;
  }
  for (const auto& [seq, count] : changes.delivery_counts) {
    writer_->set_delivery_count(queue, seq, count);
    const Status status = spend(kErasedRowBytes);
    if (!status.ok()) return status;
  }
  return writer_->status();
}

// Ends a transaction that has become large enough, and begins another.
Status Checkpointer::spend(std::size_t bytes) {
  spent_bytes_ += bytes;
  if (spent_bytes_ < settings_.slice_bytes) return writer_->status();
  spent_bytes_ = 0;
  Image::Meta meta = meta_;
  meta.clean = false;
  meta.whole = false;
  writer_->set_meta(meta);
  Status status = writer_->commit();
  garbage_left_ = garbage_left_ || writer_->garbage_left();
  writer_.reset();
  HARRIER_CRASH_POINT("checkpoint-slice");
  if (!status.ok()) return status;
  covered_bytes_.store(put_bytes_, std::memory_order_relaxed);
  hooks_.covered();
  return image_.begin(writer_);
}

void Checkpointer::look_at_free_space() {
  if (settings_.disk_free_min == 0) return;
  struct statvfs disk {};
  if (::statvfs(settings_.directory.c_str(), &disk) != 0) return;
  const std::uint64_t bytes = std::uint64_t{disk.f_bavail} * disk.f_frsize;
  // Ends a quarter above the limit, or it would come and go.
  const std::uint64_t limit =
      free_low_ ? settings_.disk_free_min + settings_.disk_free_min / 4 : settings_.disk_free_min;
  if ((bytes < limit) == free_low_) return;
  free_low_ = !free_low_;
  hooks_.free_low(free_low_, "the disk of " + settings_.directory + " has " +
                                 std::to_string(bytes) + " bytes free, the limit is " +
                                 std::to_string(settings_.disk_free_min));
}

}  // namespace harrier::persistence
