// SPDX-License-Identifier: Apache-2.0
//
// Delays: messages that an exchange delays on their way into one queue, and what a broker owes of
// them after a kill. None comes before its time. One that was confirmed waits, or is in the queue,
// until somebody has settled it; one that was not may be either. None is with two at once, and what
// was delivered or settled before comes again only after a kill, and as redelivered if it is known
// to have reached the queue on the disk: until then it may be due once more, as new. After a
// restart both places are counted, and now and then and at the end everything is waited for and
// read. Kept over all rounds, on the only thread of the test.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "tests/crash/subject.hpp"
#include "tests/crash/unconfirmed.hpp"

namespace harrier::crash_tests {

class Delays final : public Subject {
 public:
  // The broker's clock may be read so much before what it is read for is sent: a thread waits for
  // its turn on a busy machine.
  static constexpr std::int64_t kEarlyMaxMs = 1'000;
  static constexpr std::int64_t kDelayMaxMs = 2'500;

  void set_up(Client& client) override;
  void add_actors(World& world, std::uint32_t& publisher,
                  std::vector<std::unique_ptr<Actor>>& actors) override;
  void audit(World& world, bool all) override;
  void killed() override;
  void stopped_in_good_order() override;
  void check_load() const override;
  std::string summary() const override;

  // ---- the oracle ----
  void published(const MessageKey& key, std::int64_t delay_ms, std::int64_t now);
  void confirmed(const MessageKey& key);
  void delivered(const MessageKey& key, bool redelivered, std::int64_t now);
  void settle_asked(const MessageKey& key);
  void returned(const MessageKey& key) { messages_.at(key).held = false; }
  std::int64_t delay_of(const MessageKey& key) const;            // known, or it must not be there
  std::pair<std::uint64_t, std::uint64_t> count_bounds() const;  // at rest
  void drained();  // all that was there has been settled in this life; the rest is gone

 private:
  struct Message {
    std::uint32_t run = 0;  // in which it was published
    std::int64_t delay_ms = 0;
    std::int64_t not_before = 0;  // since 1970
    bool durable = false;         // known to be
    bool delivered = false;
    std::uint32_t delivered_run = 0;
    bool moved = false;  // it is known that the queue has it on the disk
    bool held = false;
    bool settle_asked = false;
    std::uint32_t settle_run = 0;
  };

  void await_counts(World& world) const;
  void drain(World& world);

  std::map<MessageKey, Message> messages_;
  std::uint32_t run_ = 1;
  std::uint64_t confirms_ = 0, deliveries_ = 0, outlived_ = 0;
};

class DelayedPublisher final : public Actor {
 public:
  DelayedPublisher(World& world, std::uint32_t id, Delays& delays);
  void step() override;
  bool at_rest() const override { return unconfirmed_.empty(); }

 private:
  void on_method(const protocol::Method& method, const Content& content) override;

  const std::uint32_t id_;
  Delays& delays_;
  Unconfirmed unconfirmed_;
  std::uint32_t published_ = 0;
};

// Acknowledges most of what it gets, and gives some back.
class DelayedConsumer final : public Actor {
 public:
  DelayedConsumer(World& world, Delays& delays, bool gives_back);
  void finish() override;
  std::uint32_t count(const char* queue);  // of its ready messages

 private:
  void on_method(const protocol::Method& method, const Content& content) override;

  Delays& delays_;
  const bool gives_back_;
};

}  // namespace harrier::crash_tests
