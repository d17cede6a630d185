// SPDX-License-Identifier: Apache-2.0
//
// Confirms: the publisher's sequence numbers of one channel and how many queues have yet to answer
// for each. Owned by the channel. Answers go out in sequence order, once per turn, as few basic.ack
// with multiple as possible (C-378, C-380); a refused message is answered by a basic.nack of its
// own (C-376).
#pragma once

#include <cstdint>
#include <deque>

namespace harrier::broker {

class Confirms {
 public:
  // The number of a message that `queues` queues answer for; with none it is settled at once
  // (C-372).
  std::uint64_t add(std::uint32_t queues) {
    open_.push_back({queues, false});
    return first_ + open_.size() - 1;
  }

  // One queue has answered. A number that is not open is a bug elsewhere and ignored.
  void settle(std::uint64_t sequence, bool accepted) {
    if (sequence < first_ || sequence - first_ >= open_.size()) return;
    Entry& entry = open_[sequence - first_];
    if (entry.queues > 0) --entry.queues;
    if (!accepted) entry.refused = true;
  }

  std::size_t open_count() const { return open_.size(); }
  bool has_settled() const { return !open_.empty() && open_.front().queues == 0; }

  // ack(sequence, multiple) and nack(sequence) for everything settled up to the first that is not.
  template <class Ack, class Nack>
  void flush(Ack&& ack, Nack&& nack) {
    std::uint64_t run = 0;
    const auto end_run = [&] {
      if (run > 0) ack(first_ - 1, run > 1);
      run = 0;
    };
    while (has_settled()) {
      const bool refused = open_.front().refused;
      if (refused) end_run();
      open_.pop_front();
      ++first_;
      if (refused) {
        nack(first_ - 1);
      } else {
        ++run;
      }
    }
    end_run();
  }

 private:
  struct Entry {
    std::uint32_t queues = 0;
    bool refused = false;
  };
  std::uint64_t first_ = 1;
  std::deque<Entry> open_;
};

}  // namespace harrier::broker
