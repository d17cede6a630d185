// SPDX-License-Identifier: Apache-2.0
//
// RecentHistory: what makes a queue the place where an exchange keeps its last messages (C-508).
// The messages are the queue's ready ones, in memory or in the store, and its length limit drops
// the oldest; this hands them over to what is newly bound, in their order. A binding begins when
// the first shard routes by it: all that is kept at that moment is handed over, and so is what
// shards publish that do not know the binding yet. What the others publish goes to its destination
// by itself, so each message comes there once. Owned by its queue, on the queue's thread. Nothing
// fails: a destination that has gone takes its copies along.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <vector>

#include "broker/core/lane.hpp"
#include "broker/core/outlet.hpp"
#include "broker/core/shard_message.hpp"

namespace harrier::broker {

class RecentHistory {
 public:
  // Which shard says something, where this is, and how many there are.
  struct Mark {
    ShardId from = 0;
    ShardId here = 0;
    unsigned shards = 1;
  };

  explicit RecentHistory(Lane& lane) : lane_(lane) {}

  // That shard routes by the binding from now on. `next_seq`: no message is at or beyond it yet.
  // `excess`: so many of the oldest are too many, and have not gone yet.
  void begin(const HandOver& order, const Mark& mark, Seq next_seq, std::uint64_t excess);
  // A message of that shard is kept.
  void came(const MessagePtr& message, ShardId from, Outlet& outlet);

  // Hands over a part of what is due. True: the rest is not durable yet, so that it cannot be read.
  bool serve(Seq next_seq, Outlet& outlet);
  bool fetched(Fetched& page, Outlet& outlet);  // false: it is for somebody else
  // One that was handed over has become so many, which are on their way.
  void sent(std::uint32_t number, std::size_t copies, Outlet& outlet);
  void settled(std::uint32_t number, Outlet& outlet);  // one of them has arrived
  // There is more to hand over, and not in this turn.
  bool wants_turn() const { return wants_turn_; }
  // Messages in the store are being read: none may leave it.
  bool is_reading() const;
  // The exchange goes: nobody has to wait any more.
  void close(Outlet& outlet);

 private:
  struct Handover {
    std::shared_ptr<const HandOver> order;
    std::uint64_t passed = 0;  // shards that route by the binding, one bit each
    bool complete = false;     // all of them do
    bool open = false;         // this shard does: it knows the destination
    Seq next = 0;              // what is to be read from the store begins here; kNothing: all is
    Seq end = 0;               // what was kept before the binding ends here
    std::deque<Ready> held;    // of that, what was in memory then
    std::uint64_t excess = 0;  // the first of that that are handed to nobody
    std::vector<MessagePtr> late;  // kept since, of shards that do not route by the binding yet
    std::uint64_t unsettled = 0;   // handed over, and not known to have arrived
  };
  using Handovers = std::map<std::uint32_t, Handover>;  // by number

  bool wants_page(const Handover& handover) const;
  bool has_more(const Handover& handover) const;
  static void emit(Handover& handover, MessagePtr message, Outlet& outlet);
  // The next of what was kept before the binding; false: it is one too many.
  static bool hand_over(Handover& handover, MessagePtr message, Outlet& outlet);
  static void feed(Handover& handover, Outlet& outlet);
  static void take_page(Handover& handover, const Fetched& page, Seq end, Outlet& outlet);
  void end_if_done(Handovers::iterator at, Outlet& outlet);

  Lane& lane_;
  Handovers handovers_;
  bool wants_turn_ = false;
  std::uint64_t fetch_token_ = 0;  // of the page that is on its way; 0: none
  Seq fetch_from_ = 0;
  Seq fetch_end_ = 0;  // what it finds from here on is not complete
};

}  // namespace harrier::broker
