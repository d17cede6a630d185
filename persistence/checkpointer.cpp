// SPDX-License-Identifier: Apache-2.0
#include "persistence/checkpointer.hpp"

#include <sys/statvfs.h>

#include <algorithm>
#include <array>
#include <string>
#include <utility>
#include <vector>

#include "persistence/crash_point.hpp"
#include "persistence/image_writer.hpp"

namespace harrier::persistence {

namespace {

// A slice of deleting: short, so that a checkpoint that is due does not wait long for it.
constexpr std::size_t kSweepRows = 20'000;

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
  std::unique_ptr<Image::Writer> writer;
  Status status = image_.begin(writer);
  if (!status.ok()) return status;
  Image::Meta meta = meta_;
  meta.clean = clean;
  meta.whole = true;
  if (delta != nullptr) {
    meta.journal = through;
    meta.next_content = std::max(meta.next_content, delta->content_max() + 1);
    if (status = write(*delta, *writer); !status.ok()) return status;
  }
  writer->set_meta(meta);
  HARRIER_CRASH_POINT("checkpoint-before-commit");
  if (status = writer->commit(); !status.ok()) return status;
  HARRIER_CRASH_POINT("checkpoint-after-commit");
  garbage_left_ = garbage_left_ || writer->garbage_left();
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

// Queues by id, so that the rows come in the order of their keys.
Status Checkpointer::write(const Delta& delta, Image::Writer& writer) {
  contents_put_.clear();
  std::vector<QueueId> order;
  order.reserve(delta.queues().size());
  for (const auto& [queue, changes] : delta.queues()) order.push_back(queue);
  std::ranges::sort(order);
  for (const QueueId queue : order) {
    const Status status = write_queue(delta, queue, *delta.find(queue), writer);
    if (!status.ok()) return status;
  }
  for (const auto& [key, value] : delta.definitions()) {
    const auto& [kind, vhost, name] = key;
    if (value) {
      writer.define({kind, vhost, name, *value});
    } else {
      writer.forget({kind, vhost, name});
    }
  }
  return writer.status();
}

Status Checkpointer::write_queue(const Delta& delta, QueueId queue, const QueueDelta& changes,
                                 Image::Writer& writer) {
  if (changes.dropped) writer.drop(queue);
  for (const auto& [first, last] : changes.gone) writer.erase(queue, first, last);
  for (const auto& [seq, count] : changes.delivery_counts) {
    writer.set_delivery_count(queue, seq, count);
  }
  if (!changes.present) return writer.status();
  writer.set_seq_max(queue, changes.seq_max);
  for (auto at = changes.added.from(0); at != changes.added.end(); ++at) {
    if (!at->filled()) continue;
    JournalBytes tail;
    if (const Status status = journal_.read(at->at, at->size, tail); !status.ok()) return status;
    if (at->content == 0) {
      writer.put(queue, at->seq, at->delivery_count, tail.bytes);
      continue;
    }
    if (contents_put_.insert(at->content).second) {
      const JournalSlice* const slice = delta.content(at->content);
      JournalBytes content;
      Status status =
          slice == nullptr
              ? Status::failed("journal: content " + std::to_string(at->content) + " missing")
              : journal_.read(slice->at, slice->size, content);
      if (!status.ok()) return status;
      writer.put_content(at->content, std::array{content.bytes});
    }
    writer.put_large(queue, at->seq, at->delivery_count, tail.bytes.first(at->times_size),
                     at->content, delta.content_bytes(*at));
  }
  return writer.status();
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
