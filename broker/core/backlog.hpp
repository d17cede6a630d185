// SPDX-License-Identifier: Apache-2.0
//
// Backlog: what lies behind the messages that a queue has in memory. Most of it is in the store and
// costs a count here: that part is fetched page by page, from its lowest position on. Messages that
// no store has, because they are transient, wait in memory meanwhile and are merged in by position;
// when memory is short they are paged out to the store and are like the others then.
// Owned by its queue, on the queue's thread. It asks for nothing itself: what is to be fetched,
// paged out or dropped comes back as a value.
#pragma once

#include <cstdint>
#include <limits>
#include <optional>
#include <vector>

#include "broker/core/absent_positions.hpp"
#include "broker/core/expiry.hpp"
#include "broker/core/open_batches.hpp"
#include "broker/core/ready_list.hpp"
#include "persistence/message_store.hpp"

namespace harrier::broker {

struct FetchRequest {
  Seq from = 0;
  std::size_t bytes_max = 0;
  std::uint64_t token = 0;  // the answer has it too; any other answer is void
  Seq end = 0;              // from here on the answer is not complete
};

class Backlog {
 public:
  // In a durable queue persistent messages are in the store by themselves.
  explicit Backlog(bool durable) : durable_(durable) {}

  // Whether the store gets such a message by itself; all else is gone after a restart (C-228).
  bool is_stored(const protocol::Message& message) const {
    return durable_ && message.persistent();
  }
  bool empty() const { return stored_ == 0; }
  std::uint64_t count() const { return stored_ + behind_.size(); }
  std::uint64_t paged() const { return stored_ - tail_.size(); }  // not in memory
  const ReadyRun& tail() const { return tail_; }
  const ReadyRun& behind() const { return behind_; }

  // All that the store holds for the queue after a restart.
  void restore(std::uint64_t messages, std::uint64_t bytes);
  // A message was recorded in that batch, wherever it is kept: it can't be fetched before the batch
  // is durable.
  void recorded(Seq seq, std::uint64_t batch, std::uint64_t durable_through);
  // A new message goes behind. A stored one is only counted, unless the queue is about to catch up:
  // the last ones are kept then, up to tail_bytes_max, or it would never get past the store.
  void add_stored(Ready ready, std::uint64_t tail_bytes_max);
  void add_unstored(Ready ready) {
    if (expiry_ != nullptr) expiry_->came(ready);
    behind_.push_back(std::move(ready));
  }

  // Takes the stored messages out of memory, from the back of `run` on.
  void evict(ReadyRun& run);
  void drop_tail() { tail_ = {}; }
  // Takes up to bytes_max of messages that no store has, to be paged out under the token
  // last_token(): from what waits here, or else from the back of `run` while that is larger than
  // its window. Empty if there are none.
  std::vector<persistence::StoredMessage> cut_piece(ReadyRun& run, std::uint64_t window_bytes,
                                                    std::uint64_t bytes_max);
  std::uint64_t last_token() const { return last_token_; }
  // The piece is in the store. The range that has to be dropped there, if nobody wants it any more.
  std::optional<SeqRange> piece_stored(std::uint64_t token);

  bool fetching() const { return fetch_token_ != 0; }
  void forget_fetch() { fetch_token_ = 0; }  // its answer is void
  // True if nothing has to be fetched: all of it is in memory.
  bool in_memory() const { return stored_ == tail_.size(); }
  // What to fetch to have about memory_bytes more; nullopt if nothing can be fetched before more of
  // it is durable.
  std::optional<FetchRequest> next_fetch(std::uint64_t memory_bytes, Seq next_seq,
                                         std::uint64_t durable_through);
  // Moves what was fetched, and what lies between, to the back of `run`, up to memory_bytes_max.
  // False if the answer is void. `drop` is what the store need not hold any longer.
  bool fetched(std::uint64_t token, std::vector<persistence::StoredMessage>& messages,
               std::optional<Seq> next, std::uint64_t memory_bytes_max, ReadyRun& run,
               std::optional<SeqRange>& drop);
  // The same for what is in memory().
  void surface(std::uint64_t memory_bytes_max, ReadyRun& run);

  // ---- messages that go out of their turn ----
  // The store keeps it, and it must not be found there.
  void hold(Seq seq, std::uint64_t durable_through);
  bool has_absent() const { return !absent_.empty(); }
  // It is taken off the store in that batch, if it was held.
  void left_store(Seq seq, std::uint64_t batch, std::uint64_t durable_through);

  // ---- messages that expire out of their turn ----
  // Is told what moves between memory and the store; null: nothing here expires.
  void set_expiry(Expiry* expiry) { expiry_ = expiry; }
  Seq from() const { return from_; }
  std::uint64_t stored_bytes() const { return stored_bytes_; }
  // Out of the middle of what is in memory: the store holds it until that batch is durable, and it
  // must not be found there.
  void note_gone(Seq seq, std::uint64_t batch, std::uint64_t durable_through);
  std::optional<Ready> take_unstored(Seq seq) { return behind_.take(seq); }
  // What to fetch to see the messages from there on; nullopt if they can't be seen yet.
  std::optional<FetchRequest> next_sweep(Seq from, std::size_t bytes_max, Seq next_seq,
                                         std::uint64_t durable_through);
  void sweep_ended() { sweeping_ = false; }  // its answer has been looked at
  // Whether a message that a sweep has found is one of the backlog's.
  bool holds(Seq seq) const { return seq >= from_ && stored_ > 0 && !absent_.contains(seq); }
  // It is taken off the store in that batch. True if it has to be dropped there as a paged one.
  bool take_stored(Seq seq, const protocol::Message& message, std::uint64_t batch);

  struct Cleared {
    std::uint64_t count = 0;
    std::vector<SeqRange> stored;       // to be purged
    std::optional<SeqRange> paged_out;  // to be dropped
  };
  Cleared clear(Seq next_seq);
  // Whether the store may hold messages that this queue has paged out.
  bool has_paged_out() const { return paged_out_ != 0 || !pieces_.empty(); }

 private:
  static constexpr Seq kEnd = std::numeric_limits<Seq>::max();
  struct Piece {
    std::uint64_t token = 0;
    SeqRange range;
    bool dropped = false;
  };

  void count_in(const protocol::Message& message);
  void count_out(const protocol::Message& message);
  void merge(std::vector<persistence::StoredMessage>& messages, Seq end,
             std::uint64_t memory_bytes_max, ReadyRun& run, std::optional<SeqRange>& drop);
  void forget_absent(std::uint64_t durable_through);
  Seq first_invisible(Seq next_seq, std::uint64_t durable_through);

  const bool durable_;
  std::uint64_t stored_ = 0;        // messages in the store or on their way there
  std::uint64_t stored_bytes_ = 0;  // their content_size
  std::uint64_t paged_out_ = 0;     // those of them that were paged out
  Seq from_ = 0;                    // none of them is below
  ReadyRun tail_;                   // the last ones, also in memory
  ReadyRun behind_;                 // what no store has, all of it above what the queue has
  OpenBatches open_;
  std::vector<Piece> pieces_;  // on their way to the store
  AbsentPositions absent_;
  bool sweeping_ = false;
  Expiry* expiry_ = nullptr;
  std::uint64_t last_token_ = 0;
  std::uint64_t fetch_token_ = 0;  // of the open fetch; 0: none
  Seq fetch_end_ = 0;              // what it finds from here on is not complete
};

}  // namespace harrier::broker
