// SPDX-License-Identifier: Apache-2.0
//
// LogClient: a client of one stream on one simulated connection: it publishes, with confirms or in
// transactions, or reads. StreamHistory: what all of them have published, been confirmed and seen,
// also across crashes; whatever does not fit together is a Violation. Beside Client and Ledger,
// which know queues where a message is in one place at a time.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "protocol/codec.hpp"
#include "tests/simulation/ledger.hpp"
#include "tests/simulation/world.hpp"

namespace harrier::simulation {

inline constexpr const char* kStream = "sim.stream";
inline constexpr unsigned kFilters = 3;  // a message's is its number modulo that

// What one reader has been given; kept when it has gone.
struct ReaderLog {
  std::optional<unsigned> filter;
  bool from_first = false;
  std::vector<std::uint64_t> offsets;
};

class StreamHistory {
 public:
  explicit StreamHistory(bool retains) : retains_(retains) {}

  std::uint64_t publish(std::uint64_t publisher) {
    messages_.push_back({publisher, false, false});
    return messages_.size() - 1;
  }
  void confirmed(std::uint64_t message) { messages_[message].confirmed = true; }
  void withdrawn(std::uint64_t message) { messages_[message].withdrawn = true; }
  void seen(std::uint64_t offset, std::uint64_t message);
  ReaderLog& new_reader();
  // A consumer of that tag has acknowledged all below the offset.
  std::uint64_t& done(const std::string& tag) { return done_[tag]; }
  bool retains() const { return retains_; }
  // Everything has been read from the first message on.
  void check_at_end(std::uint64_t first, std::uint64_t count) const;

  std::uint64_t deliveries = 0;
  std::uint64_t confirms = 0;
  std::size_t message_count() const { return messages_.size(); }

 private:
  struct Message {
    std::uint64_t publisher = 0;
    bool confirmed = false;
    bool withdrawn = false;
  };
  void check(const ReaderLog& reader) const;

  bool retains_;
  std::vector<Message> messages_;
  std::map<std::uint64_t, std::uint64_t> log_;    // offset -> message
  std::map<std::uint64_t, std::uint64_t> where_;  // the other way
  std::map<std::string, std::uint64_t> done_;
  std::vector<std::unique_ptr<ReaderLog>> readers_;
};

class LogClient {
 public:
  enum class Role : std::uint8_t { Declares, Confirms, Commits, Reads, ReadsAll };
  LogClient(World& world, StreamHistory& history, Dice& dice, Role role, std::uint64_t serial);

  bool read(std::size_t size);
  void act();
  void cut() {
    gone_ = true;
    link_->cut = true;
  }
  bool gone() const { return gone_; }
  // It reads, and has no credit left or everything.
  void check_at_rest(std::uint64_t first, std::uint64_t count) const;

 private:
  void on_frame(const protocol::Frame& frame);
  void on_method(const protocol::Method& method);
  void on_connection_method(const protocol::Method& method);
  void on_content(const protocol::Frame& frame);
  void on_delivery(protocol::ByteView header, protocol::ByteView body);
  void set_up();
  void start_reading();
  void publish();
  void commit_or_roll_back();
  void acknowledge();
  template <class M>
  void send(std::uint16_t channel, const M& method);

  World& world_;
  StreamHistory& history_;
  Dice& dice_;
  const Role role_;
  const std::uint64_t serial_;
  LinkPtr link_;
  Bytes inbox_;
  bool gone_ = false;
  bool ready_ = false;
  bool committing_ = false;

  std::uint64_t published_ = 0;
  std::map<std::uint64_t, std::uint64_t> unconfirmed_;  // sequence -> message
  std::vector<std::uint64_t> transaction_;

  ReaderLog* reader_ = nullptr;
  std::string tag_;
  bool tracks_ = false;
  std::uint32_t prefetch_ = 0;
  std::optional<std::uint64_t> next_;            // offset
  std::map<std::uint64_t, std::uint64_t> held_;  // delivery tag -> offset
  std::optional<std::uint64_t> delivery_tag_;    // a delivery whose content is to come
  Bytes header_;
  Bytes body_;
  std::uint64_t body_size_ = 0;
};

}  // namespace harrier::simulation
