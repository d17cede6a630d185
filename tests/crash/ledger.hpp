// SPDX-License-Identifier: Apache-2.0
//
// Ledger: the oracle. It knows, outside the broker, what was published where, what was confirmed,
// and what clients did with what they got; from that, what a restarted broker must hold, may hold
// and must not hold. Owned by the test, kept over all rounds, used on its only thread. Everything
// is noted before it is sent and when its answer is read. A broken promise is a Violation.
//
// A copy is one message in one queue. It must be there once it is known to be durable (confirmed,
// in an answered tx.commit, or seen after a restart) and nobody asked to settle it. An ack has no
// answer, so it is certain only inside an answered tx.commit, or when the broker was stopped in
// good order after it had counted the queue for the same channel. Until then the copy may be there,
// but only as redelivered; a later confirm proves nothing about it. A purge has an answer that
// promises no more than an ack, but it is one record: all or nothing. What is rejected in a queue
// with dead letters leaves it and enters all their queues, together or not at all. What is gone
// once never comes back.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "protocol/field_table.hpp"
#include "tests/crash/client.hpp"
#include "tests/crash/message_form.hpp"
#include "tests/crash/violation.hpp"

namespace harrier::crash_tests {

using GroupId = std::uint64_t;  // copies that enter or leave together, or not at all; 0: none

struct Copy {
  std::uint32_t run = 0;  // in which it was published; a run is one life of the broker
  bool persistent = true;
  bool durable = false;    // known to be
  bool delivered = false;  // some client has had it
  bool held = false;       // some client has it now
  bool settle_asked = false;
  std::uint32_t settle_run = 0;
  GroupId entered_with = 0;
  GroupId left_with = 0;
};

struct Queue {
  std::string name;
  std::string exchange;  // where its messages were published, and with which key
  std::string routing_key;
  std::vector<Queue*> dead_letters_to;
  protocol::Table arguments;
  bool deduplicates = false;  // what has been taken is kept for ever, and no audit leaves it out
  std::set<MessageKey> ids;   // that: confirmed, or found by an audit
  std::string died_in;  // all that it gets are dead letters from there, in the order of their end
  std::map<MessageKey, Copy> copies;
};

struct Seen {
  MessageKey key;
  bool redelivered = false;
};

class Ledger {
 public:
  Queue& add_queue(std::string name, std::string exchange, std::string routing_key);
  std::vector<Queue*> queues();

  std::uint32_t run() const { return run_; }
  void killed();
  // After everything the clients said was counted by the broker: what they settled is gone.
  void stopped_in_good_order();

  std::uint64_t next_number(std::uint32_t publisher) { return ++numbers_[publisher]; }
  void published(Queue& queue, const MessageKey& key, bool persistent, GroupId transaction = 0);
  void confirmed(Queue& queue, const MessageKey& key);

  // Checks the message against its queue and what was published.
  Seen read(const Queue& queue, const protocol::Method& method, const Content& content) const;
  // A consumer got it; checks that it may.
  void delivered(Queue& queue, const Seen& seen);
  void settle_asked(Queue& queue, const MessageKey& key, GroupId transaction = 0);
  void rejected(Queue& queue, const MessageKey& key);  // for good
  void requeued(Queue& queue, const MessageKey& key);
  void purge_asked(Queue& queue, GroupId purge);

  GroupId new_group() { return ++last_group_; }
  void committed(GroupId transaction, const std::vector<Queue*>& queues);

  // All that a queue held at rest after a restart, in order. With settled(), everything was taken.
  void audited(Queue& queue, const std::vector<Seen>& all);
  void audit_is_over();  // groups whose outcome was open have one
  bool open_groups(const Queue& queue) const;
  std::pair<std::uint64_t, std::uint64_t> count_bounds(const Queue& queue) const;  // at rest

  struct Totals {
    std::uint64_t published = 0;
    std::uint64_t confirmed = 0;
    std::uint64_t delivered = 0;
    std::uint64_t settled = 0;
    std::uint64_t died = 0;
    std::uint64_t audited = 0;
    std::uint64_t came_back = 0;  // settled, not certainly, and redelivered after a kill
    std::uint64_t transactions = 0;
    std::uint64_t torn_open = 0;  // groups whose outcome a kill had left open
  };
  const Totals& totals() const { return totals_; }

 private:
  void check_seen(const Queue& queue, const Seen& seen, const Copy& copy) const;
  void observe(GroupId group, bool happened, const Queue& queue, const MessageKey& key);
  void check_missing(const Queue& queue, const MessageKey& key, const Copy& copy);

  std::vector<Queue*> order_;
  std::map<std::string, Queue> queues_;
  std::uint32_t run_ = 1;
  std::map<std::uint32_t, std::uint64_t> numbers_;
  GroupId last_group_ = 0;
  std::map<GroupId, bool> outcomes_;  // found by the audit under way
  Totals totals_;
};

}  // namespace harrier::crash_tests
