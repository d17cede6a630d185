// SPDX-License-Identifier: Apache-2.0
//
// Letters: the ledger of a run about how messages die: queues with time to live, length limits and
// delivery limits, whose dead letters go to two queues, one of which passes them on. It knows what
// clients published, were confirmed, were given and said, and what the store holds when everything
// is at rest or after a crash. The rule: a confirmed persistent message is in the queue where it
// was published or in all that its death leads to, never in both and never nowhere, until somebody
// has acknowledged it. One per run; a rule that does not hold is a Violation.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "broker/core/info.hpp"
#include "protocol/field_table.hpp"
#include "tests/simulation/dice.hpp"

namespace harrier::simulation {

inline constexpr const char* kDeadExchange = "letters.dead";  // a fanout to the first two graves

using QueueIndex = std::size_t;
using MessageNumber = std::uint64_t;
using ChannelSerial = std::uint64_t;  // 0: nobody; never used twice

struct LetterQueue {
  std::string name;
  std::vector<QueueIndex> targets;  // of its dead letters; the queues form a tree for each message
  std::set<std::string> reasons;    // for which a message may die in it
  bool consumed = true;             // or its messages die, in their order
  protocol::Table arguments;
};

// The queues of a run: sources first, then kGraves where letters end.
inline constexpr std::size_t kSources = 6;
inline constexpr std::size_t kQueues = 9;
inline constexpr QueueIndex kStrict = 3;  // refuses what is too much
inline constexpr QueueIndex kMixed = 5;   // gets messages with an expiration of their own, too
inline constexpr std::int64_t kLivesEndMs = 100;  // whatever lives for some time only

class Letters {
 public:
  explicit Letters(Dice& dice);
  const LetterQueue& queue(QueueIndex index) const { return queues_[index]; }
  bool is_leaf(QueueIndex index) const { return queues_[index].targets.empty(); }
  bool is_for_a_time(std::string_view queue) const;  // whatever is in it ends by itself

  ChannelSerial new_channel() { return ++last_channel_; }
  void channel_over(ChannelSerial channel) { over_.insert(channel); }
  MessageNumber publish(ChannelSerial channel, QueueIndex source, bool persistent);
  bool persistent(MessageNumber message) const { return messages_[message].persistent; }
  void confirmed(MessageNumber message);
  void refused(MessageNumber message);
  void delivered(MessageNumber message, QueueIndex queue, bool redelivered, ChannelSerial channel,
                 bool no_ack);
  // With the headers that a message has after a death.
  void check_history(MessageNumber message, QueueIndex queue, protocol::TableView headers) const;
  // The delivery is fresh and came to a consumer, who keeps `last`.
  using Order = std::map<std::pair<QueueIndex, ChannelSerial>, MessageNumber>;
  void check_order(MessageNumber message, QueueIndex queue, Order& last) const;
  void acked(MessageNumber message, QueueIndex queue, ChannelSerial channel);
  void rejected(MessageNumber message, QueueIndex queue, ChannelSerial channel);
  void requeued(MessageNumber message, QueueIndex queue) { at(message, queue).holder = 0; }

  // What the store would give back, by queue, in order.
  using Contents = std::array<std::vector<MessageNumber>, kQueues>;
  void check_at_rest(const Contents& stored, const std::vector<broker::QueueInfo>& infos);
  void crashed(const Contents& stored, const std::vector<broker::QueueInfo>& infos);

  std::string summary() const;

 private:
  enum class Fate : std::uint8_t { None, Acked, Rejected };
  struct Copy {
    bool seen = false;
    bool entered = false;  // it has been there, seen or found in the store after a crash
    bool survived = false;
    bool past = false;     // settled before a crash
    bool certain = false;  // the broker has read what the fate says
    Fate fate = Fate::None;
    ChannelSerial holder = 0;
    ChannelSerial settler = 0;
  };
  struct Message {
    ChannelSerial publisher = 0;
    QueueIndex source = 0;
    bool persistent = false;
    bool confirmed = false;
    bool refused = false;
    bool gone = false;  // with a crash
  };
  using Found = std::array<std::set<MessageNumber>, kQueues>;

  Copy& at(MessageNumber message, QueueIndex queue) { return copies_[{message, queue}]; }
  const Copy& at(MessageNumber message, QueueIndex queue) const;
  bool is_over(ChannelSerial channel) const { return channel == 0 || over_.contains(channel); }
  bool leads_to(QueueIndex from, QueueIndex to) const;
  bool keeps_order(QueueIndex source, QueueIndex queue) const;
  std::string text_of(MessageNumber message, QueueIndex queue) const;
  bool is_known_below(const Found& found, MessageNumber message, QueueIndex queue) const;
  void check_nowhere(const Found& found, MessageNumber message, QueueIndex queue,
                     const std::string& why) const;
  void check_place(const Found& found, MessageNumber message, QueueIndex queue, bool must) const;
  Found check_contents(const Contents& stored) const;
  void check_counts(const std::vector<broker::QueueInfo>& infos) const;
  void restart_copy(const Found& found, MessageNumber message, QueueIndex queue, bool above);

  std::vector<LetterQueue> queues_;
  std::vector<Message> messages_;
  std::map<std::pair<MessageNumber, QueueIndex>, Copy> copies_;
  std::set<ChannelSerial> over_;
  ChannelSerial last_channel_ = 0;
  // At the last crash: what had ever come, and how much of that was gone.
  std::array<std::uint64_t, kQueues> came_before_{}, gone_before_{};
  bool crashing_ = false;  // what clients have seen need not have reached the disk
  std::uint64_t confirms_ = 0, refusals_ = 0, deliveries_ = 0, letters_ = 0, crashes_ = 0;
};

}  // namespace harrier::simulation
