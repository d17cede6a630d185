// SPDX-License-Identifier: Apache-2.0
//
// The books of one run: what was sent into each stream, and what came out of each queue. Finds
// loss, duplicates, changed order and messages in a queue that they were not meant for. Owned by a
// run, one thread. A violation is counted, and the first few are kept as text.
#pragma once

#include <cstdint>
#include <deque>
#include <string>
#include <vector>

#include "broker/bench/body.hpp"

namespace harrier::bench {

struct Violations {
  std::uint64_t lost = 0;
  std::uint64_t duplicates = 0;
  std::uint64_t reordered = 0;
  std::uint64_t damaged = 0;       // no body of this run
  std::uint64_t misrouted = 0;     // in a queue that it was not meant for, or never sent
  std::uint64_t refused = 0;       // basic.nack or basic.return
  std::uint64_t bad_confirms = 0;  // for a delivery tag that was not open
  std::uint64_t bad_tags = 0;      // a delivery tag that does not follow the one before
  std::vector<std::string> texts;

  std::uint64_t total() const {
    return lost + duplicates + reordered + damaged + misrouted + refused + bad_confirms + bad_tags;
  }
  void note(std::uint64_t& counter, std::uint64_t count, const std::string& text);
};

// Which numbers have been seen; what lies below the first gap costs nothing.
class SequenceSet {
 public:
  // False if it was there already.
  bool insert(std::uint64_t number);
  std::uint64_t size() const { return size_; }
  std::uint64_t first_missing() const;

 private:
  std::deque<std::uint64_t> words_;
  std::uint64_t base_ = 0;  // of the first word; everything below is in the set
  std::uint64_t size_ = 0;
};

// Each publisher has a stream for every queue, or, with `fanout`, one that goes to all queues.
class Ledger {
 public:
  // The order is that of messages of the same class (see class_of).
  Ledger(std::uint32_t publishers, std::uint32_t queues, bool fanout, std::uint32_t classes = 1);

  std::uint32_t stream(std::uint32_t publisher, std::uint32_t queue) const {
    return fanout_ ? publisher : publisher * queues_ + queue;
  }
  std::uint64_t next_sequence(std::uint32_t stream) {
    ++sent_total_;
    return sent_[stream]++;
  }

  // A consumer's own view of one queue, for the order.
  struct View {
    std::uint32_t queue = 0;
    std::vector<std::uint64_t>
        next;  // by publisher and class: the smallest sequence that is in order
  };
  View view(std::uint32_t queue) const {
    return {queue, std::vector<std::uint64_t>(std::size_t{publishers_} * classes_)};
  }

  void received(View& view, const BodyHeader& header, bool redelivered);
  void damaged(const View& view);

  std::uint64_t sent() const { return sent_total_; }
  std::uint64_t copies() const { return fanout_ ? queues_ : 1; }
  std::uint64_t expected() const { return sent_total_ * copies(); }
  std::uint64_t received_once() const { return received_once_; }
  bool complete() const { return received_once_ == expected(); }
  std::uint64_t underway() const { return (expected() - received_once_) / copies(); }
  // After the end: whatever is missing now is lost.
  void settle();

  Violations& violations() { return violations_; }
  const Violations& violations() const { return violations_; }

 private:
  std::uint32_t publishers_, queues_, classes_;
  bool fanout_;
  std::vector<std::uint64_t> sent_;   // by stream
  std::vector<SequenceSet> arrived_;  // by publisher and queue
  std::uint64_t sent_total_ = 0;
  std::uint64_t received_once_ = 0;
  Violations violations_;
};

}  // namespace harrier::bench
