// SPDX-License-Identifier: Apache-2.0
//
// Repeats: queues that deduplicate, and publishers that repeat themselves, in one life of the
// broker and after the next start. The ids are the message-ids that every message has. An id that
// is known for certain (confirmed, or found by an audit) has been taken: repeating it must change
// nothing, however long its message has been gone; so the ledger hears nothing of that, and knows
// the queue as it knows others. An id that was lost with a kill is published again, as the first of
// all. Kept over all rounds, on the only thread of the test.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "tests/crash/subject.hpp"
#include "tests/crash/unconfirmed.hpp"

namespace harrier::crash_tests {

// The ids of one queue.
class RepeatedIds {
 public:
  RepeatedIds(Ledger& ledger, Queue& queue) : ledger_(ledger), queue_(queue) {}

  Queue& queue() const { return queue_; }
  // To be published again, because the queue has not got it; nullopt: there is none.
  std::optional<MessageKey> take_lost();
  // One that has been taken, or, in this life, is on its way; nullopt: there is none.
  std::optional<MessageKey> any(Dice& dice) const;
  void published(const MessageKey& key);
  void confirmed(const MessageKey& key);  // once or again

  void killed();   // before the audit: what was on its way?
  void resumed();  // after it

 private:
  void keep(const MessageKey& key);

  Ledger& ledger_;
  Queue& queue_;
  std::deque<MessageKey> taken_;  // the last of them
  std::deque<MessageKey> open_;   // published, not known to be taken
  std::deque<MessageKey> lost_;
};

class Repeats final : public Subject {
 public:
  explicit Repeats(Ledger& ledger);

  void set_up(Client&) override {}  // they are queues of the ledger
  void add_actors(World& world, std::uint32_t& publisher,
                  std::vector<std::unique_ptr<Actor>>& actors) override;
  void audit(World&, bool) override {}
  void killed() override;
  void stopped_in_good_order() override { killed(); }
  void check_load() const override;
  std::string summary() const override;
  void repeated() { ++repeats_; }

 private:
  std::deque<RepeatedIds> ids_;  // the first queue has no consumer
  std::uint64_t repeats_ = 0;
};

class RepeatingPublisher final : public Actor {
 public:
  RepeatingPublisher(World& world, std::uint32_t id, RepeatedIds& ids, Repeats& repeats);
  void step() override;
  bool at_rest() const override { return unconfirmed_.empty(); }

 private:
  void publish(const MessageKey& key);
  void on_method(const protocol::Method& method, const Content& content) override;

  const std::uint32_t id_;
  RepeatedIds& ids_;
  Repeats& repeats_;
  Unconfirmed unconfirmed_;
};

}  // namespace harrier::crash_tests
