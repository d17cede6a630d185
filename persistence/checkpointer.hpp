// SPDX-License-Identifier: Apache-2.0
//
// Checkpointer: the one thread that writes the image. Every interval, or when enough has come
// together, it writes what the journal says since the last checkpoint and gives the journal's
// segments back. It writes in slices, because LMDB keeps the memory of its largest transaction; the
// last one says how far the image is, and a checkpoint that is cut short is simply written again;
// in between it makes segments ready, deletes what is garbage, and looks at the free space. Owned
// by the store, which outlives it. A full disk is tried again until there is room; any other
// failure ends the thread and is reported once.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <unordered_set>

#include "persistence/image_writer.hpp"
#include "persistence/layers.hpp"

namespace harrier::persistence {

struct CheckpointSettings {
  std::chrono::milliseconds interval{1'000};
  // LMDB never gives back the memory of the pages that one transaction changes.
  std::size_t slice_bytes = 4 * 1024 * 1024;
  std::string directory;            // whose free space counts
  std::uint64_t disk_free_min = 0;  // bytes; 0: never looked at
};

// Called by the checkpointer's thread.
struct CheckpointHooks {
  std::function<void()> covered;  // more than before, by a slice or by the whole checkpoint
  std::function<void()> tick;     // every interval
  std::function<void(const Status&)> failed;                        // for good
  std::function<void(bool full, const std::string& text)> no_room;  // for the image
  std::function<void(bool low, const std::string& text)> free_low;  // below disk_free_min
};

class Checkpointer {
 public:
  // `meta` is what the image has, but for `clean`, which it says until the end.
  Checkpointer(Image& image, Journal& journal, Layers& layers, const Image::Meta& meta,
               CheckpointSettings settings, CheckpointHooks hooks);
  ~Checkpointer();
  Checkpointer(const Checkpointer&) = delete;
  Checkpointer& operator=(const Checkpointer&) = delete;

  void request();  // as soon as possible; any thread
  // Ends the thread with a last checkpoint, which says that the image is clean, if it is. Nothing
  // may be added to the layers any more.
  Status finish(bool clean);
  std::uint64_t checkpoints() const;  // that wrote something
  // Of the journal's bytes that the checkpoint under way is to cover, how many it has so far: that
  // much less is to be done, though it counts for a start only when all is. Any thread.
  std::uint64_t covered_bytes() const { return covered_bytes_.load(std::memory_order_relaxed); }

 private:
  void run();
  bool round(bool due);  // false: has failed
  Status checkpoint(bool clean);
  Status write(const Delta& delta);
  Status put_messages(const Delta& delta, QueueId queue, const QueueDelta& changes);
  Status put_message(const Delta& delta, QueueId queue, const Added& added);
  Status erase_messages(QueueId queue, const QueueDelta& changes);
  Status spend(std::size_t bytes);
  void look_at_free_space();

  Image& image_;
  Journal& journal_;
  Layers& layers_;
  Image::Meta meta_;
  const CheckpointSettings settings_;
  const CheckpointHooks hooks_;
  // Of the checkpoint that is being written.
  std::unique_ptr<Image::Writer> writer_;
  std::size_t spent_bytes_ = 0;                  // since the writer began
  std::uint64_t put_bytes_ = 0;                  // read from the journal
  std::atomic<std::uint64_t> covered_bytes_{0};  // of these, committed
  std::unordered_set<ContentId> contents_put_;
  bool no_room_ = false;
  bool free_low_ = false;
  bool garbage_left_ = true;  // there may be some of before

  mutable std::mutex mutex_;
  std::condition_variable wake_;
  bool requested_ = false;
  bool stopping_ = false;
  bool failed_ = false;
  std::uint64_t checkpoints_ = 0;
  std::thread thread_;
};

}  // namespace harrier::persistence
