// SPDX-License-Identifier: Apache-2.0
//
// One publishing connection: sends as fast as the socket, its confirm window and its rate allow.
// With a rate, message n is due at start + n / rate however late it gets, and its latency counts
// from there. Owned by a run, on the loop's thread; a broken connection throws.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "broker/bench/ledger.hpp"
#include "broker/bench/message_properties.hpp"
#include "broker/bench/message_writer.hpp"
#include "broker/bench/meter.hpp"
#include "broker/bench/setup.hpp"

namespace harrier::bench {

// A small generator: which key, which size. Not for secrets.
class Dice {
 public:
  explicit Dice(std::uint64_t seed) : state_(seed * 2 + 1) {}
  std::uint64_t roll() {
    state_ ^= state_ << 13;
    state_ ^= state_ >> 7;
    state_ ^= state_ << 17;
    return state_ * 0x2545'F491'4F6C'DD1D;
  }
  std::uint32_t below(std::uint32_t limit) {
    return static_cast<std::uint32_t>((roll() >> 32) * limit >> 32);
  }

 private:
  std::uint64_t state_;
};

// What all publishers and consumers of a run share; outlives them.
struct RunContext {
  Loop& loop;
  const Endpoint& endpoint;
  const Workload& workload;
  const Names& names;
  const BodyFormat& format;
  Ledger& ledger;
  Meter& meter;
};

class Publisher final : public ConnectionEvents {
 public:
  Publisher(const RunContext& run, std::uint32_t index);

  Connection& connection() { return connection_; }
  void prepare();  // once open: confirm mode
  // Sends until stop() or `messages` are sent (kNever: no limit).
  void start(std::uint64_t start_ns, std::uint64_t messages);
  // So many that a delaying exchange keeps, and that are in no books.
  void start_pending(std::uint64_t messages);
  void stop();
  bool done() const { return left_ == 0 && connection_.unsent() == 0; }
  std::uint64_t unconfirmed() const { return unconfirmed_; }
  // Sends what is due; returns when the next one is, or kNever if something else will tell.
  std::uint64_t pump(std::uint64_t now_ns);

  void on_confirm(std::uint64_t tag, bool multiple, bool ack) override;
  void on_return(const protocol::BasicReturn& returned) override;
  void on_batch_end() override;
  void on_room() override;

 private:
  struct Route {
    std::uint32_t queue;
    std::uint32_t binding;
  };
  bool window_open() const;
  bool due(std::uint64_t now_ns) const { return interval_ns_ == 0 || due_ns() <= now_ns; }
  std::uint64_t due_ns() const;
  Route pick_route();
  void send_one(std::uint64_t now_ns);
  void remember(std::uint64_t sent_ns);
  bool settle(std::uint64_t tag, bool ack);

  const RunContext& run_;
  Connection connection_;
  MessageWriter writer_;
  std::uint32_t index_;
  Dice dice_;
  std::vector<std::string> queue_names_;  // with the default exchange: where to, in turn
  std::vector<std::uint32_t> queue_indices_;
  std::size_t turn_ = 0;
  std::string key_;
  MessageProperties properties_;
  std::string routing_type_;
  bool pending_ = false;
  std::uint32_t bindings_;

  std::uint64_t left_ = 0;
  std::uint64_t sent_ = 0;
  std::uint64_t start_ns_ = 0;
  double interval_ns_ = 0;
  // By confirm tag, modulo the size, a power of two: when it was due; 0: settled.
  std::vector<std::uint64_t> open_;
  std::uint64_t oldest_tag_ = 1, next_tag_ = 1;
  std::uint64_t unconfirmed_ = 0;
};

}  // namespace harrier::bench
