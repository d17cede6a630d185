// SPDX-License-Identifier: Apache-2.0
//
// MessageGroups: who gets the messages of one queue whose order is kept within groups. A group is
// what a header or the routing key says. It belongs to one consumer, as long as that is there and
// takes its messages in time; who has none yet goes to the consumer with the fewest. However many
// groups there are, each falls into one of a fixed number of buckets by its hash, and all that
// holds for groups holds for buckets. Owned by its queue, on the queue's thread; it knows ready
// messages by their positions and takes none. A position whose message has gone (expired, dropped)
// may stay for a while: who is told to hand it out finds nothing and asks again.
#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <set>
#include <string>
#include <tuple>
#include <unordered_map>
#include <utility>
#include <vector>

#include "broker/core/consumer_roster.hpp"
#include "broker/core/delivery_rate.hpp"
#include "broker/core/due_ranges.hpp"
#include "broker/core/ready_list.hpp"

namespace harrier::broker {

class MessageGroups {
 public:
  static constexpr std::uint32_t kBuckets = 1024;
  // In place of the name of a header.
  static constexpr std::string_view kRoutingKey = "routing-key";

  explicit MessageGroups(std::string header);
  const std::string& header() const { return header_; }
  // Of each group; kUnlimited: no limit.
  static constexpr std::uint32_t kUnlimited = ~0u;
  void set_unsettled_max(std::uint32_t max);
  // Of deliveries of each group; none: no limit.
  void set_rate(std::optional<std::int64_t> per_second);
  bool has_rate() const { return rate_.has_value(); }

  // When the next one that has used up its rate may go on; kNeverDue: there is none.
  Millis next_due() const { return resting_.empty() ? kNeverDue : resting_.begin()->first; }

  // ---- messages ----
  // Before any are handed out: takes up the ready ones that it has not seen, and the time.
  void look_through(const ReadyList& ready, Millis now);
  // Ready again.
  void returned(const Ready& ready) { waits(ready); }
  // Those from there on have left memory, but for returned ones.
  void forget_from(Seq seq);
  // All ready ones are looked through again: some have gone, or all.
  void forget_waiting();
  // Is handed out; `settled_at_once`: and settled with it.
  void handed_out(const protocol::Message& message, bool settled_at_once);
  // Has been handed out before there were groups.
  void is_out(const protocol::Message& message) { count_out(bucket_of(message)); }
  // Is settled, or about to be returned.
  void settled(const protocol::Message& message) { count_back(bucket_of(message)); }
  // Its consumer was too slow: as settled(), and the group is anybody's once nothing of it is out.
  void timed_out(const protocol::Message& message);

  // ---- consumers ----
  // A share of the groups of the others becomes free for it, each when nothing of it is out.
  void joined(const QueueConsumer& consumer, const ConsumerRoster& roster);
  // Its groups are free, those of which something is out later.
  void left(const QueueConsumer& consumer);
  // It may be able to take a message now.
  void touch(std::uint32_t slot);
  // Whether anything waits that it could be given.
  bool offers(std::uint32_t slot) const;

  struct Pick {
    QueueConsumer* consumer;
    Seq seq;
  };
  // The next message to be handed out, and to whom. In the order of the queue for each consumer.
  std::optional<Pick> pick(ConsumerRoster& roster);
  // The next one for basic.get of that slot: of a group of which nothing is out elsewhere.
  std::optional<Seq> pick_for_get(std::optional<std::uint32_t> slot);
  bool has_for_get(std::optional<std::uint32_t> slot) const {
    return first_for_get(slot) != heads_.end();
  }
  // Of what handed_out() was told of: the group is that slot's until it has settled what it has.
  void lend(const protocol::Message& message, std::uint32_t slot);

 private:
  static constexpr std::uint32_t kLoose = kBuckets;  // the bucket of those without a group
  // In place of a slot.
  static constexpr std::uint32_t kNobody = ~0u;
  static constexpr std::uint32_t kBlocked = ~0u - 1;  // nobody may have the next one now

  struct Bucket {
    std::uint32_t owner = kNobody;
    std::uint32_t unsettled = 0;
    bool moving = false;  // the owner gets no more of it, and loses it when it has settled all
    bool lent = false;    // to basic.get: nobody's when all is settled
    std::uint32_t lane = kBlocked;   // where its head is listed, and which that is; 0: it is not
    Seq head = 0;                    // its rank; 0: nothing waits
    Millis rests_until = kNeverDue;  // it could go on, but for its rate; kNeverDue: not so
  };
  struct Member {
    std::uint32_t buckets = 0;  // that it owns
    bool touched = false;
  };
  using Heads = std::set<std::tuple<std::uint32_t, Seq, std::uint32_t>>;  // lane, head, bucket

  std::uint32_t bucket_of(const protocol::Message& message) const;
  void waits(const Ready& ready);
  void count_out(std::uint32_t index);
  void count_back(std::uint32_t index);
  std::uint32_t lane_of(std::uint32_t index) const;
  bool must_rest(std::uint32_t index);
  void relist(std::uint32_t index);
  void own(std::uint32_t index, std::uint32_t slot);
  void disown(std::uint32_t index);
  void give_up(std::uint32_t index);
  Heads::const_iterator head_of(std::uint32_t lane) const;
  Heads::const_iterator first_for_get(std::optional<std::uint32_t> slot) const;
  Pick take(Heads::const_iterator head, QueueConsumer& consumer);
  QueueConsumer* next_touched(ConsumerRoster& roster);
  QueueConsumer* claimant(std::uint32_t index, ConsumerRoster& roster);

  const std::string header_;
  std::uint32_t unsettled_max_ = kUnlimited;
  std::vector<Bucket> buckets_;
  std::set<std::pair<std::uint32_t, Seq>> waiting_;  // bucket, rank_of(position)
  Heads heads_;                                      // the first that waits of each bucket
  std::unordered_map<std::uint32_t, Member> members_;
  std::deque<std::uint32_t> touched_;                   // members, each once
  std::optional<std::int64_t> rate_;                    // per second
  std::vector<DeliveryRate> rates_;                     // by bucket, if there is a rate
  std::set<std::pair<Millis, std::uint32_t>> resting_;  // until when, bucket
  Millis now_ = 0;
  Seq seen_to_ = 0;            // of those that have never been out
  bool seen_returned_ = true;  // and those that have
};

}  // namespace harrier::broker
