// SPDX-License-Identifier: Apache-2.0
//
// What a run does, as a value: the command line and the presets fill one in, the runs obey it.
// check() says what does not fit together before anything is connected.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "broker/bench/message_options.hpp"
#include "protocol/field_table.hpp"

namespace harrier::bench {

enum class Mode {
  Load,     // publishers and consumers
  Rpc,      // requests and their replies
  Idle,     // connections that do nothing
  Declare,  // queues, declared and deleted
  Churn,    // connections, opened and closed
};

// Body sizes with weights: 16 | 100-2000 (each size alike) | 16:90,4096:9,65536:1.
class Sizes {
 public:
  struct Part {
    std::uint32_t min = 0, max = 0;
    std::uint32_t weight = 1;
    friend bool operator==(const Part&, const Part&) = default;
  };
  Sizes() : Sizes(kDefault) {}
  explicit Sizes(std::uint32_t size) : parts_{{size, size, 1}} {}
  // Returns what is wrong, or "".
  static std::string parse(std::string_view text, Sizes& out);

  // `random` is any number; equal numbers give equal sizes.
  std::uint32_t pick(std::uint64_t random) const;
  bool constant() const { return parts_.size() == 1 && parts_[0].min == parts_[0].max; }
  std::uint32_t max() const;
  std::uint32_t min() const;
  std::string text() const;

 private:
  static constexpr std::uint32_t kDefault = 1024;
  std::vector<Part> parts_;
};

struct Workload {
  std::string id = "run", title;
  Mode mode = Mode::Load;

  // Load. Publisher p sends to queue p modulo queues, or to several in turn if there are fewer
  // publishers than queues; consumers likewise. Each has a connection of its own.
  std::uint32_t publishers = 1, consumers = 1, queues = 1;
  std::string exchange_type;  // "": the default exchange
  protocol::Table queue_arguments, exchange_arguments, consumer_arguments;
  MessageOptions message;
  std::uint32_t bindings = 0;      // 0: one for every queue
  std::uint32_t key_variety = 16;  // different routing keys for every wildcard binding
  std::string queue_type;          // x-queue-type; "": what the broker takes by default
  bool durable = false;
  Sizes sizes;
  bool persistent = false;
  std::uint32_t confirm_window = 0;  // 0: no confirms
  std::uint16_t prefetch = 0;        // 0: no limit
  std::uint32_t ack_every = 0;       // 0: auto-ack
  // Messages/s that all consumers together acknowledge while publishers send; 0: no limit.
  double consume_rate = 0;
  bool reject = false;                // into dead letter queues, from which they are received
  std::uint64_t lead_max = 0;         // sent but not yet delivered messages, of all; 0: no limit
  double rate = 0;                    // messages/s of all publishers together; 0: as many as go
  bool latency_from_sending = false;  // rather than from when it was due
  double warmup_s = 2, duration_s = 10;
  std::uint64_t messages = 0;  // of all publishers together, instead of a duration
  bool backlog = false;        // consumers start when all is published
  std::uint64_t standing = 0;  // messages in the queues before consumers start, and all the time
  std::uint64_t pending = 0;   // messages kept by a delaying exchange all the time

  std::uint32_t in_flight = 1;  // Rpc: requests at a time
  bool direct_reply = false;    // Rpc: amq.rabbitmq.reply-to

  std::uint32_t count = 1000;  // Idle, Declare, Churn: how many
  std::uint32_t parallel = 1;  // Idle, Churn: connections being opened at a time
  bool pipelined = false;      // Declare: without waiting for each answer

  bool keep = false;  // Load, Declare: what was declared stays, and what is in it

  double stall_s = 30;   // no progress for so long ends the run
  double settle_s = 10;  // what has not come so long after the last one that did is lost
  double spin_us = 0;    // waits shorter than this are not slept
  bool progress = true;  // a line per second on stderr
  std::vector<std::string> headline;  // the figures that the suite compares
};

// Returns what does not fit together, or "".
std::string check(const Workload& workload);

// One line: "2 publishers, 1 consumer, 1 KiB persistent, ...".
std::string describe(const Workload& workload);

// The type by which the exchange routes: of one that delays first, its x-delayed-type.
std::string routing_type(const Workload& workload);

// The cases of the standard matrix, by the ids of docs/benchmarks.md.
const std::vector<Workload>& presets();
const Workload* find_preset(std::string_view id);

}  // namespace harrier::bench
