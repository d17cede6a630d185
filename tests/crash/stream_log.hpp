// SPDX-License-Identifier: Apache-2.0
//
// StreamLog: one stream, as its readers have seen it, and what a broker owes of it after a kill.
// What was read once is at the same offset for ever; offsets have no gaps; each publisher's
// messages stand in the order in which they were published, once at most; what was confirmed is
// there. A consumer tag that the broker remembers goes on behind what it had acknowledged, or where
// the broker remembered it before: acks have no answer, so only a stop in good order makes them
// certain. Kept over all rounds, on the only thread of the test.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "tests/crash/subject.hpp"
#include "tests/crash/unconfirmed.hpp"

namespace harrier::crash_tests {

class StreamLog final : public Subject {
 public:
  using Offset = std::uint64_t;

  void set_up(Client& client) override;
  void add_actors(World& world, std::uint32_t& publisher,
                  std::vector<std::unique_ptr<Actor>>& actors) override;
  void audit(World& world, bool all) override;
  void killed() override { position_.reset(); }
  void stopped_in_good_order() override;
  void check_load() const override;
  std::string summary() const override;

  // ---- the oracle ----
  void published(const MessageKey& key);
  void confirmed(const MessageKey& key);
  void seen(Offset offset, const MessageKey& key);
  Offset known() const { return log_.size(); }  // all below has been seen
  // Everything there is has been seen, and nobody publishes.
  void read_to_end(Offset count);
  // Of the tag that is remembered.
  void begins_at(Offset offset);
  void acknowledged_below(Offset offset);

 private:
  std::vector<MessageKey> log_;                  // by offset
  std::set<MessageKey> open_;                    // published, and not seen
  std::set<MessageKey> owed_;                    // of them, confirmed
  std::map<std::uint32_t, std::uint64_t> last_;  // number seen, by publisher
  Offset certain_ = 0;                           // the tag does not begin before that
  Offset most_ = 0;                              // nor behind
  std::optional<Offset> position_;               // that it has, by its acks in this life
  std::uint64_t confirms_ = 0, deliveries_ = 0, resumed_ = 0;
};

class StreamPublisher final : public Actor {
 public:
  StreamPublisher(World& world, std::uint32_t id, StreamLog& log);
  void step() override;
  bool at_rest() const override { return unconfirmed_.empty(); }

 private:
  void on_method(const protocol::Method& method, const Content& content) override;

  const std::uint32_t id_;
  StreamLog& log_;
  Unconfirmed unconfirmed_;
  std::uint32_t published_ = 0;
};

// Reads all from `from` on; without it the broker knows where it was.
class StreamReader final : public Actor {
 public:
  StreamReader(World& world, StreamLog& log, std::optional<StreamLog::Offset> from);
  void finish() override;
  std::uint32_t count();
  StreamLog::Offset next() const { return next_.value_or(0); }  // offset

 private:
  void on_method(const protocol::Method& method, const Content& content) override;
  void acknowledge(std::uint64_t tag);

  StreamLog& log_;
  const bool tracked_;
  std::optional<StreamLog::Offset> next_;
  std::uint64_t held_ = 0;
};

}  // namespace harrier::crash_tests
