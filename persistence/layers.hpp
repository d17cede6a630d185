// SPDX-License-Identifier: Apache-2.0
//
// Layers: what the image does not have yet. Newest on top: the active delta takes every durable
// entry; below it, while a checkpoint writes it, the frozen one; below both the image. Owned by the
// store; any thread. Its lock is held for memory work only, by a fetch for no more than one page.
#pragma once

#include <condition_variable>
#include <memory>
#include <mutex>
#include <optional>
#include <utility>
#include <vector>

#include "persistence/delta.hpp"
#include "persistence/image.hpp"
#include "persistence/image_snapshot.hpp"
#include "persistence/journal.hpp"
#include "persistence/message_store.hpp"

namespace harrier::persistence {

// One queue as it was at one moment: a snapshot of the image and what has to be laid over it.
struct QueueView {
  struct Tail {
    Seq seq = 0;
    std::uint32_t delivery_count = 0;
    JournalBytes bytes;
    std::size_t times_size = 0;
    std::optional<JournalBytes> content;  // of a large message: its encoding
  };

  std::unique_ptr<Image::Snapshot> snapshot;
  bool image_hidden = false;  // dropped since
  SeqRanges gone;             // of the image
  std::map<Seq, std::uint32_t> delivery_counts;
  std::vector<Tail> added;  // ascending
  std::optional<Seq> next;  // first one that has been added and is not among `added`
};

class Layers {
 public:
  explicit Layers(JournalPosition covered) : covered_(covered), through_(covered) {}

  // Around an entry's encoding, writing and apply(), by one thread at a time: freeze() waits for
  // the end. What known_content() said in between is still so when the entry is applied.
  void begin_entry();
  void end_entry();
  // `through`: the end of the journal after this entry.
  Status apply(JournalPosition at, protocol::ByteView payload, JournalPosition through);
  // All entries have been replayed; new ones come at or after `end`.
  void replayed(JournalPosition end);
  bool known_content(ContentId content) const;
  std::size_t slot_count() const;          // what the active delta holds; bounds the memory
  JournalPosition covered() const;         // the image has everything before
  JournalPosition newest_covered() const;  // or a checkpoint that is under way will bring it there
  ContentId content_max() const;

  // What the next checkpoint has to write, up to `through`; null if nothing has happened. One that
  // did not get through is given again. The checkpointer's until thaw().
  const Delta* freeze(JournalPosition& through);
  void thaw();  // the image has it

  // Added messages from `from` on, until they make `bytes_max` of content_size, at least one.
  Status view(Image& image, const Journal& journal, QueueId queue, Seq from, std::size_t bytes_max,
              QueueView& out) const;

  // As in Recovery, without messages; exact, and slow after much settling.
  Status count(Image& image, std::vector<RecoveredQueue>& out) const;
  Status definitions(Image& image, std::vector<Define>& out) const;

 private:
  mutable std::mutex mutex_;
  std::unique_ptr<Delta> active_ = std::make_unique<Delta>(true);
  std::unique_ptr<Delta> frozen_;
  JournalPosition covered_;
  JournalPosition frozen_through_ = 0;
  JournalPosition through_;              // end of the newest entry
  std::condition_variable entry_ended_;  // or freeze() has
  bool entry_begun_ = false;
  bool freezing_ = false;  // no entry begins, so that it gets its turn
};

}  // namespace harrier::persistence
