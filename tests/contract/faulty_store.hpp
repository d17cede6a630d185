// SPDX-License-Identifier: Apache-2.0
//
// FaultyStore: a decorator that makes another store slow, broken and forgetful, on command.
// commit() only queues the batch; release_next() makes the oldest one durable and calls its done,
// so that a simulation decides when durability happens. A batch that is part of a transaction goes
// with all parts and everything queued before those, or waits for them. From batch `fail_from` on
// every batch fails, for good. crash() forgets what is not durable, without calling done: the
// process that waited for it is gone. Threads: any, as for MessageStore; releases may come from
// several threads and stay in order. A done must not release, nor crash. The decorated store must
// complete commits inside commit() (MemoryStore).
#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <limits>
#include <mutex>
#include <stop_token>
#include <vector>

#include "persistence/message_store.hpp"

namespace harrier::store_tests {

inline constexpr std::uint64_t kNever = std::numeric_limits<std::uint64_t>::max();

struct Faults {
  std::uint64_t fail_from = kNever;  // number of the first batch that fails, from 0, since start
  // It was written after all, only its flush went wrong; and so was what went with it.
  bool first_failure_survives = false;
};

class FaultyStore final : public persistence::MessageStore {
 public:
  explicit FaultyStore(persistence::MessageStore& inner, Faults faults = {})
      : inner_(inner), faults_(faults) {}

  // A restart: what is still queued is forgotten, and the new process has a working disk.
  persistence::Status recover(persistence::Recovery& out) override;
  void commit(persistence::WriteBatch batch, persistence::OnDurable done) override;
  // Sees what is durable, which is the least that the seam promises.
  void fetch(persistence::QueueId queue, persistence::Seq from, std::size_t bytes_max,
             persistence::OnFetched done) override;
  // Queued like a commit, so that its done keeps its place.
  void page_out(persistence::QueueId queue, std::vector<persistence::StoredMessage> messages,
                persistence::OnDurable done) override;
  void drop_paged(persistence::QueueId queue, persistence::Seq from,
                  persistence::Seq up_to) override;
  persistence::StoreStats stats() const override;

  // False if nothing is queued, or nothing that is whole.
  bool release_next();
  void release_all();
  std::size_t pending() const;
  // Waits until release_next() has something to do; false if asked to stop instead.
  bool await_pending(std::stop_token stop) const;

  // The first `surviving` queued batches had reached the disk, though nobody was told; fewer if
  // the last of them would tear a transaction.
  void crash(std::size_t surviving = 0);
  void fail_from(std::uint64_t batch);  // counted as in Faults

 private:
  struct Waiting {
    persistence::WriteBatch batch;
    persistence::OnDurable done;
    std::uint64_t number = 0;
    persistence::QueueId paged_queue{};
    std::vector<persistence::StoredMessage> paged;  // not empty: a page_out
  };

  // How many of the queued batches must go together with the first `count`, at least that many;
  // 0 if a part is missing yet.
  std::size_t whole(std::size_t count) const;
  std::vector<Waiting> take(std::size_t count);
  persistence::Status make_durable(std::vector<Waiting>& group);
  void write(Waiting& waiting);

  persistence::MessageStore& inner_;
  std::mutex release_mutex_;  // held while dones are called, so that they stay in order
  mutable std::mutex mutex_;  // what is below
  mutable std::condition_variable_any queued_;
  Faults faults_;
  std::deque<Waiting> waiting_;
  std::uint64_t committed_ = 0;
  persistence::Status failure_;
};

}  // namespace harrier::store_tests
