// SPDX-License-Identifier: Apache-2.0
//
// DelayedMessages: messages of one queue that wait until they are due. They have a part of the
// store of their own, where the position of a message is its due time, so the store's order is
// theirs, and is the only index: in memory is a window of the soonest, refilled page by page, and
// what is not durable yet. Messages that no store has wait in memory. Owned by its queue, on the
// queue's thread. Nothing fails; a store that has not what was counted has broken its promise.
// A clock that is set back brings positions below those that were given out, which the store may
// still have: those are never left to the store alone, as it could not tell which of them wait.
//
//   position = 1:1 step:38 number:25
//
// A step is 16 ms, so due times that are closer than that keep publish order. A number is unique
// within a stretch of 2^18 ms, and grows with every message. The store remembers, in a counter for
// each stretch, up to where numbers may have been given: also a restarted broker gives none twice.
#pragma once

#include <cstdint>
#include <deque>
#include <limits>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "broker/core/backlog.hpp"
#include "broker/core/delayed_ids.hpp"
#include "broker/core/outlet.hpp"

namespace harrier::broker {

struct Delayed {
  Seq seq = 0;
  MessagePtr message;
  Millis due_ms = 0;
  Millis enqueued_ms = 0;
  std::uint32_t returns = 0;
  bool stored = false;
  std::uint64_t batch = 0;  // that has it: not to be found in the store before that is durable
};

// Name of the counter for a stretch: "delayed:<queue>:<stretch>".
inline constexpr std::string_view kDelayedPrefix = "delayed:";
struct DelayedNumbers {
  QueueId queue{};
  std::uint64_t stretch = 0;
  std::uint64_t below = 0;
};
// nullopt: the counter is not one of these, or damaged.
std::optional<DelayedNumbers> read_delayed_numbers(const persistence::Define& definition);

class DelayedMessages {
 public:
  static constexpr Millis kStepMs = 16;
  // What a durable queue has goes to the store: Persistent what is persistent, All whatever it is.
  enum class Keeps : std::uint8_t { Persistent, All };
  // Without a window everything stays in memory.
  DelayedMessages(QueueId queue, bool durable, Keeps keeps,
                  std::optional<std::uint64_t> window_bytes)
      : queue_(queue),
        part_(store_id(queue, QueuePart::Delayed)),
        durable_(durable),
        keeps_(keeps),
        window_bytes_(window_bytes) {}

  StoreId part() const { return part_; }
  // All that the store holds of the part after a restart; some of it may be due already.
  void restore(std::uint64_t messages, std::uint64_t bytes, Seq seq_max);
  void restore(const DelayedNumbers& numbers);

  std::uint64_t count() const { return stored_ + unstored_.size(); }
  // Of them and, for a moment, of those that have gone.
  std::size_t in_memory() const { return unstored_.size() + soon_.size() + fresh_.size(); }
  // Gets its position and, if that is for it, into the store. True if it is stored.
  bool add(Delayed delayed, Outlet& outlet);
  // The soonest, if its time has come. The caller takes it off the store, now or later.
  std::optional<Delayed> take_due(Millis now);
  // When take_due() has something; kNeverDue also while that has to come from the store.
  Millis next_due() const;
  bool head_is_away() const { return count() > 0 && head() == nullptr; }

  // What to ask the store for, if anything; the answer goes to fetched(), which is false if it is
  // void.
  std::optional<FetchRequest> next_fetch(const Outlet& outlet);
  bool fetched(Fetched& page, const Outlet& outlet);
  // Nothing can be asked for before more is durable.
  bool awaits_durable(const Outlet& outlet) const {
    return horizon_ != kEnd && cleared_in_ > outlet.durable_through();
  }

  // Takes the one at that position out of what waits, wherever it is; the caller takes it off the
  // store. `message` is the one that it has there.
  void remove(Seq seq, const protocol::Message& message, const Outlet& outlet);
  // Those of that message-id that are in memory, until the next change: those that came in this
  // millisecond are.
  std::vector<const Delayed*> in_memory_with_id(std::string_view id);
  // Whether what the store has at that position waits still.
  bool waits(Seq seq) const {
    return soon_.contains(seq) || (seq >= horizon_ && !gone_.contains(seq));
  }
  bool all_in_memory() const { return horizon_ == kEnd; }
  // Reads the store from `from` on for the caller; nothing else is asked for on his behalf.
  FetchRequest begin_scan(Seq from);
  void scan_ended() { scanning_ = false; }  // its answer has been looked at
  Seq horizon() const { return horizon_; }  // what is stored from here on is not in the window

  // ---- memory ----
  // Of what the store has too: what evict() would give up. What no store has is not counted.
  std::uint64_t spare_bytes() const;
  // Only the soonest stays: it says when to look. The others come back behind it.
  void evict();
  // The budget is used up: the window is a page, asked for when the one before is used up.
  void set_tight(bool tight) { tight_ = tight; }

  // Nothing waits any more; what was given out stays where it is.
  void clear(Outlet& outlet);
  // The queue goes.
  void close(Outlet& outlet);

 private:
  static constexpr Seq kEnd = std::numeric_limits<Seq>::max();
  struct Numbers {
    std::uint64_t next = 0;
    std::uint64_t below = 0;  // the store knows that these may have been given
  };

  const std::map<Seq, Delayed>* head() const;  // where it is; null: it has to come from the store
  const Delayed* find(Seq seq) const;          // in memory
  void note_id(const Delayed& delayed);
  void make_ids();
  Seq new_position(Millis due_ms, bool stored, Outlet& outlet);
  void keep_soon(Delayed delayed);
  std::uint64_t window() const;
  bool last_may_leave() const;
  void push_out_last();
  void shrink();
  void make_fresh(Delayed delayed);
  void forget_durable(const Outlet& outlet);
  void forget_past_stretches(Outlet& outlet);
  void count_out(const protocol::Message& message);
  std::string number_name(std::uint64_t stretch) const;

  const QueueId queue_;
  const StoreId part_;
  const bool durable_;
  const Keeps keeps_;
  const std::optional<std::uint64_t> window_bytes_;
  std::map<std::uint64_t, Numbers> numbers_;  // by stretch, of those that are not over
  std::uint64_t stored_ = 0;                  // that wait; some of them are in memory too
  std::uint64_t stored_bytes_ = 0;            // their content_size
  std::map<Seq, Delayed> unstored_;
  std::map<Seq, Delayed> soon_;   // the window: all that is stored and waits below horizon_
  std::uint64_t soon_bytes_ = 0;  // their memory
  Seq horizon_ = kEnd;            // above taken_to_
  std::map<Seq, Delayed> fresh_;  // beyond the horizon, perhaps not to be found in the store yet
  std::deque<std::pair<std::uint64_t, Seq>> fresh_order_;  // by batch
  std::optional<DelayedIds> ids_;                          // none: nothing was cancelled lately
  std::map<Seq, std::uint64_t> gone_;  // removed in a batch that may not be durable
  std::uint64_t gone_checked_to_ = 0;  // what was removed in batches up to there is not among them
  Seq taken_to_ = 0;                   // what was given out is not above
  Seq given_to_ = 0;                   // no position was above
  std::uint64_t last_token_ = 0;
  std::uint64_t asked_token_ = 0;  // of the page that is on its way; 0: none
  bool void_ = false;              // it will be of no use
  std::uint64_t cleared_in_ = 0;   // before that batch is durable the store has what is no more
  bool scanning_ = false;
  bool tight_ = false;
  bool gave_up_ = false;  // and has not asked for more since
  // As last seen: later values would let more go.
  std::uint64_t durable_to_ = 0;
  Millis now_ms_ = 0;
};

}  // namespace harrier::broker
