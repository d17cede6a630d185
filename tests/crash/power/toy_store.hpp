// SPDX-License-Identifier: Apache-2.0
//
// ToyStore: the smallest MessageStore that survives power loss, and on demand one that does not;
// the power test checks itself with it. One file, appended and flushed for every batch, replayed at
// start into a MemoryStore. Not for use: it never forgets anything. One mutex, no thread; done is
// called inside commit(), for the batches of a joined transaction when the last one has come.
//
//   file   = record*
//   record = size:u32 sum:u64 batch{size}         a bad record ends the file
#pragma once

#include <mutex>
#include <string>
#include <vector>

#include "persistence/memory_store.hpp"

namespace harrier::power {

enum class Flaw : std::uint8_t { None, NoFlush, NoDirectoryFlush, NoChecksum };

class ToyStore final : public persistence::MessageStore {
 public:
  ToyStore(std::string directory, Flaw flaw) : directory_(std::move(directory)), flaw_(flaw) {}
  ~ToyStore() override;

  persistence::Status recover(persistence::Recovery& out) override;
  void commit(persistence::WriteBatch batch, persistence::OnDurable done) override;
  void fetch(persistence::QueueId queue, persistence::Seq from, std::size_t bytes_max,
             persistence::OnFetched done) override;
  void page_out(persistence::QueueId queue, std::vector<persistence::StoredMessage> messages,
                persistence::OnDurable done) override;
  void drop_paged(persistence::QueueId queue, persistence::Seq from,
                  persistence::Seq up_to) override;
  persistence::StoreStats stats() const override { return memory_.stats(); }

 private:
  persistence::Status open_and_replay();
  persistence::Status append(const persistence::WriteBatch& batch);

  std::string directory_;
  Flaw flaw_;
  std::mutex mutex_;
  int file_ = -1;
  persistence::MemoryStore memory_;
  persistence::WriteBatch waiting_;  // parts of a transaction that is not complete
  std::vector<persistence::OnDurable> waiting_dones_;
};

}  // namespace harrier::power
