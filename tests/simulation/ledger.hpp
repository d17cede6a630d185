// SPDX-License-Identifier: Apache-2.0
//
// Ledger: what every client of a run has published, been confirmed, been given and settled, and the
// rules that follow from it. It believes only what clients can see. One per run; a rule that does
// not hold is a Violation.
//
// A copy is one message in one queue. Who holds a copy is a channel, known by a number that is
// never used twice. A settlement is in doubt from the moment it is sent until a later answer on the
// same connection proves that the broker has read it.
#pragma once

#include <algorithm>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "broker/core/info.hpp"
#include "protocol/bytes.hpp"
#include "routing/topology.hpp"
#include "tests/simulation/dice.hpp"

namespace harrier::simulation {

enum class QueueKind : std::uint8_t {
  Strict,     // nothing may ever be missing
  Purged,     // as Strict, but for what purges count
  Lossy,      // consumers without acknowledgements, whose deliveries die with their connections
  Volatile,   // deleted and declared again
  Exclusive,  // goes with its connection
};

struct SharedQueue {
  std::string name;
  QueueKind kind;
  bool auto_delete = false;
};
// Declared by the first client of a run; the index is the queue's number in the ledger.
const std::vector<SharedQueue>& shared_queues();
inline constexpr const char* kVhost = "/";
inline constexpr const char* kFanout = "sim.fanout";  // bound to the first two queues
inline constexpr const char* kGroups = "sim.groups";  // messages of one group in order
inline constexpr const char* kSingle = "sim.single";  // one consumer at a time
inline constexpr const char* kGroupHeader = "group";
// Of a message; 0: of none.
inline std::uint64_t group_of(std::uint64_t message) { return message % 4; }
inline constexpr const char* kChanging = "sim.changing";  // a direct exchange, made and deleted
// All that clients ever bind.
const std::vector<routing::Binding>& possible_bindings();

// The one shared queue that deduplicates, by the message's number.
inline constexpr std::size_t kDedupQueue = 2;

using ChannelSerial = std::uint64_t;  // 0: nobody
using QueueNumber = std::size_t;

struct Copy {
  enum class Settled : std::uint8_t { No, Doubtful, Certain };
  std::uint64_t message = 0;
  QueueNumber queue = 0;
  bool seen = false;
  bool redelivered = false;  // the last time
  Settled settled = Settled::No;
  bool settled_durably = false;  // a commit-ok said so
  bool survived = false;         // a crash: counts as delivered before, whatever was
  bool past = false;             // it was gone before the last crash, or went with it
  ChannelSerial holder = 0;
  ChannelSerial settler = 0;
};

struct Published {
  ChannelSerial channel = 0;
  std::vector<QueueNumber> queues;
  bool confirmed = false;
  bool withdrawn = false;  // its transaction was rolled back: nobody may ever see it
  bool open_transaction = false;
  bool persistent = false;
  unsigned priority = 0;
  bool at_rest = false;   // it was where it belongs when everything was at rest for the last time
  unsigned times = 1;     // that it was published, always the same
  unsigned confirms = 0;  // one for each time
};

// A message as a queue gives it out or a store gives it back.
struct Stored {
  std::uint64_t message = 0;
  bool returned = false;
  unsigned level = 0;
  friend bool operator==(const Stored&, const Stored&) = default;
};

class Ledger {
 public:
  explicit Ledger(Dice& dice);  // which decide what is durable
  // A queue of a name of its own, known to every client from now on unless it is exclusive.
  QueueNumber add_queue(const std::string& name, QueueKind kind, bool durable,
                        unsigned priority_max);
  std::size_t queue_count() const { return queues_.size(); }
  bool queue_gone(QueueNumber queue) const { return queues_[queue].gone; }
  const std::string& queue_name(QueueNumber queue) const { return queues_[queue].name; }
  QueueKind queue_kind(QueueNumber queue) const { return queues_[queue].kind; }
  // Of a volatile queue: the first one of that name.
  bool queue_durable(QueueNumber queue) const { return queues_[queue].durable; }
  // Its x-max-priority; 0: it has none.
  unsigned queue_priority_max(QueueNumber queue) const { return queues_[queue].priority_max; }
  unsigned level(std::uint64_t message, QueueNumber queue) const {
    return std::min(messages_[message].priority, queues_[queue].priority_max);
  }
  void queue_deleted(QueueNumber queue) { queues_[queue].gone = true; }

  ChannelSerial new_channel() { return ++last_channel_; }
  // Returns the message's number, of which its body is made.
  std::uint64_t publish(ChannelSerial channel, std::vector<QueueNumber> queues, bool transactional,
                        bool persistent, unsigned priority);
  unsigned priority(std::uint64_t message) const { return messages_[message].priority; }
  // Again, as a publisher does that knows no better: nobody may get it for that.
  void publish_again(std::uint64_t message) { ++messages_[message].times; }
  // One that a queue has taken, whatever has happened since; nullopt if there is none.
  std::optional<std::uint64_t> pick_taken(Dice& dice) const;
  bool deduplicated(std::uint64_t message) const {
    return messages_[message].queues == std::vector<QueueNumber>{kDedupQueue};
  }
  bool persistent(std::uint64_t message) const { return messages_[message].persistent; }
  // In how many stored queues that stay it must be.
  std::size_t stored_copies(std::uint64_t message) const;
  static std::vector<std::uint8_t> body(std::uint64_t message);
  static std::uint64_t read_body(protocol::ByteView body);

  void confirmed(std::uint64_t message);
  void committing(std::uint64_t message);
  void rolled_back(std::uint64_t message);
  Copy& delivered(std::uint64_t message, QueueNumber queue, bool redelivered, ChannelSerial channel,
                  bool no_ack);
  static void settling(Copy& copy);
  static void settled_for_certain(Copy& copy) { copy.settled = Copy::Settled::Certain; }
  static void released(Copy& copy) { copy.holder = 0; }
  // A consumer has been given a message; none of another may come while it is there.
  void served(QueueNumber queue, ChannelSerial channel, const std::string& consumer);
  void consumer_leaves(ChannelSerial channel, const std::string& consumer) {
    if (single_ == std::pair(channel, consumer)) single_ = {};
  }
  void crashing() { crashing_ = true; }  // what is over from now on is so by the crash
  void channel_over(ChannelSerial channel);
  // A commit is asked for: all of it survives a crash or nothing does.
  using CommitNumber = std::size_t;
  CommitNumber commit_asked(std::vector<std::uint64_t> messages, std::vector<Copy*> settled);
  void commit_answered(CommitNumber commit);
  // A crash, with what the store has left of each queue and the queues that are there again.
  void crashed(const std::map<std::string, std::vector<Stored>>& stored,
               const std::vector<broker::QueueInfo>& infos);
  bool fanout_durable() const { return fanout_durable_; }

  void purging(QueueNumber queue) { ++queues_[queue].purges_open; }
  void purged(QueueNumber queue, std::uint32_t count);

  // Everything has arrived, from now on until the next step.
  void rested();
  // Whether a message that is delivered for the first time has waited in its queue since then.
  bool ready_since_rest(std::uint64_t message) const { return messages_[message].at_rest; }
  // Everything has arrived; some clients are still there and hold copies.
  void check_at_rest(const std::vector<broker::QueueInfo>& infos) const;
  // While everything is at rest: whether a message waits in a queue with groups that no consumer
  // with room may go without: one of no group or, for the only consumer, of one that nobody has.
  bool has_for_anybody(QueueNumber queue, bool is_only_consumer) const;
  // What the store holds for a durable queue while everything is at rest.
  void check_stored(const std::string& queue, const std::vector<Stored>& messages) const;
  // What comes out of a queue is kept from now on, for comparison with what was stored.
  void watch_drain() { watching_ = true; }
  void check_drained(const std::string& queue, std::vector<Stored> stored) const;
  // Everybody has gone and every queue has been emptied into delivered().
  void check_at_end() const;
  ChannelSerial publisher_of(std::uint64_t message) const { return messages_[message].channel; }
  std::size_t message_count() const { return messages_.size(); }
  std::uint64_t delivery_count() const { return deliveries_; }
  std::uint64_t confirm_count() const { return confirms_; }

 private:
  struct QueueState {
    std::string name;
    QueueKind kind;
    bool durable = false;
    unsigned priority_max = 0;
    bool gone = false;
    std::uint64_t purged = 0;
    std::uint64_t purges_open = 0;       // asked for, not answered: how many they took is not known
    std::uint64_t published_before = 0;  // and gone since, at the last crash
  };
  struct Commit {
    std::vector<std::uint64_t> messages;
    std::vector<Copy*> settled;
  };
  using Survivors = std::set<std::pair<std::uint64_t, QueueNumber>>;
  using Key = std::pair<std::uint64_t, QueueNumber>;

  std::string text_of(const Copy& copy) const;
  bool is_kept(const Copy& copy) const;
  bool is_out(const Copy& copy) const { return copy.holder != 0 && !over_.contains(copy.holder); }
  void check_group(const Copy& copy, bool redelivered, ChannelSerial channel);
  void check_whole(const Commit& commit, const Survivors& survivors) const;
  void doubt(Copy& copy) const;
  void crash_copy(Copy& copy, bool is_there);
  void crash_queue(QueueState& queue, const std::vector<broker::QueueInfo>& infos);
  void check_stored(const Copy& copy, const Stored* stored) const;

  std::vector<QueueState> queues_;
  std::vector<Published> messages_;
  std::map<Key, Copy> copies_;
  std::set<ChannelSerial> over_;
  bool crashing_ = false;
  ChannelSerial last_channel_ = 0;
  std::pair<ChannelSerial, std::string> single_;  // the active consumer of kSingle; 0: not known
  // Of kGroups: the last one that came for the first time, by group and publishing channel.
  std::map<std::pair<std::uint64_t, ChannelSerial>, std::uint64_t> last_of_group_;
  std::map<CommitNumber, Commit> commits_;  // not answered
  CommitNumber last_commit_ = 0;
  bool fanout_durable_ = false;
  bool watching_ = false;
  std::map<QueueNumber, std::vector<Stored>> drained_;  // persistent ones
  std::uint64_t deliveries_ = 0;
  std::uint64_t confirms_ = 0;
};

}  // namespace harrier::simulation
