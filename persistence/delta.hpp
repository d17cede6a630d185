// SPDX-License-Identifier: Apache-2.0
//
// Delta: what journal entries have changed since a checkpoint, as their net effect: what a
// checkpoint must write to LMDB, and what a reader must lay over it. Messages stay in the journal;
// here is only where. Applying a delta twice gives what applying it once does. Owned by the store,
// whose lock guards it while entries are applied; frozen while a checkpoint writes it.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <tuple>
#include <unordered_map>

#include "persistence/entry.hpp"
#include "persistence/seq_ranges.hpp"
#include "persistence/seq_slots.hpp"

namespace harrier::persistence {

using JournalPosition = std::uint64_t;

// A message that has come since: where its tail stands in the journal.
struct Added {
  Seq seq = 0;
  JournalPosition at = 0;
  std::uint16_t size = 0;  // 0: gone again
  std::uint16_t times_size = 0;
  std::uint32_t delivery_count = 0;
  ContentId content = 0;  // 0: the tail has the message itself

  bool filled() const { return size != 0; }
  void clear() { size = 0; }
};

struct QueueDelta {
  bool dropped = false;  // all from before is gone
  bool present = false;  // a message has come since (or since it was dropped)
  Seq seq_max = 0;       // of those that have come since
  SeqSlots<Added> added;
  std::uint64_t added_bytes = 0;                 // their content_size
  SeqRanges gone;                                // from before, if it was there
  std::map<Seq, std::uint32_t> delivery_counts;  // of what is from before
};

struct JournalSlice {
  JournalPosition at = 0;
  std::size_t size = 0;
};

class Delta final : private EntryVisitor {
 public:
  // Replaying: what it adds may be in the image all the same, brought by a checkpoint that a crash
  // has cut short, so what goes is noted as gone in any case.
  explicit Delta(bool replaying = false) : replaying_(replaying) {}

  using DefinitionKey = std::tuple<Kind, std::string, std::string>;  // kind, vhost, name

  // False if the payload, which stands at `at`, is no entry.
  bool apply(JournalPosition at, protocol::ByteView payload);

  bool empty() const { return queues_.empty() && definitions_.empty(); }
  std::size_t slot_count() const { return slot_count_; }  // enqueues since; what bounds the memory
  const std::unordered_map<QueueId, QueueDelta>& queues() const { return queues_; }
  const QueueDelta* find(QueueId queue) const {
    const auto at = queues_.find(queue);
    return at == queues_.end() ? nullptr : &at->second;
  }
  const std::map<DefinitionKey, std::optional<Bytes>>& definitions() const {
    return definitions_;  // nullopt: forgotten
  }
  const JournalSlice* content(ContentId id) const {
    const auto at = contents_.find(id);
    return at == contents_.end() ? nullptr : &at->second;
  }
  ContentId content_max() const { return content_max_; }
  std::uint64_t content_bytes(const Added& added) const;  // content_size of the message

 private:
  void on_enqueue(QueueId queue, Seq seq, const TailPlace& tail) override;
  void on_content(ContentId content, std::size_t offset, std::size_t size) override;
  void on(const Settle& record) override;
  void on(const Requeue& record) override;
  void on(const DropQueue& record) override;
  void on(const Purge& record) override;
  void on(Define& record) override;
  void on(const Forget& record) override;

  const bool replaying_;
  std::unordered_map<QueueId, QueueDelta> queues_;
  std::map<DefinitionKey, std::optional<Bytes>> definitions_;
  std::unordered_map<ContentId, JournalSlice> contents_;
  ContentId content_max_ = 0;
  std::size_t slot_count_ = 0;
  JournalPosition base_ = 0;  // of the entry that is being applied
};

}  // namespace harrier::persistence
