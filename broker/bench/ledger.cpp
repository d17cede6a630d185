// SPDX-License-Identifier: Apache-2.0
#include "broker/bench/ledger.hpp"

#include <bit>
#include <cstddef>
#include <limits>

namespace harrier::bench {
namespace {

constexpr std::size_t kTextsMax = 10;
constexpr std::uint64_t kFull = std::numeric_limits<std::uint64_t>::max();

std::string place(std::uint32_t publisher, std::uint32_t queue) {
  return "publisher " + std::to_string(publisher) + " to queue " + std::to_string(queue);
}

}  // namespace

void Violations::note(std::uint64_t& counter, std::uint64_t count, const std::string& text) {
  counter += count;
  if (texts.size() < kTextsMax) texts.push_back(text);
}

bool SequenceSet::insert(std::uint64_t number) {
  if (number < base_) return false;
  const std::uint64_t index = (number - base_) / 64;
  if (index >= words_.size()) words_.resize(index + 1);
  const std::uint64_t bit = std::uint64_t{1} << (number % 64);
  if ((words_[index] & bit) != 0) return false;
  words_[index] |= bit;
  ++size_;
  while (!words_.empty() && words_.front() == kFull) {
    words_.pop_front();
    base_ += 64;
  }
  return true;
}

std::uint64_t SequenceSet::first_missing() const {
  // The first word is never full: insert() takes full ones away.
  return words_.empty() ? base_ : base_ + static_cast<std::uint64_t>(std::countr_one(words_[0]));
}

Ledger::Ledger(std::uint32_t publishers, std::uint32_t queues, bool fanout, std::uint32_t classes)
    : publishers_(publishers),
      queues_(queues),
      classes_(classes),
      fanout_(fanout),
      sent_(fanout ? publishers : std::size_t{publishers} * queues),
      arrived_(std::size_t{publishers} * queues) {}

void Ledger::received(View& view, const BodyHeader& header, bool redelivered) {
  const std::uint32_t publisher = fanout_ ? header.stream : header.stream / queues_;
  const std::uint32_t meant_for = fanout_ ? view.queue : header.stream % queues_;
  if (header.stream >= sent_.size() || header.sequence >= sent_[header.stream] ||
      meant_for != view.queue) {
    violations_.note(violations_.misrouted, 1,
                     "queue " + std::to_string(view.queue) + " delivered message " +
                         std::to_string(header.sequence) + " of stream " +
                         std::to_string(header.stream) + ", which was not sent there");
    return;
  }
  if (!arrived_[std::size_t{publisher} * queues_ + view.queue].insert(header.sequence)) {
    // Whoever gives a delivery back may see it again; nobody does so here.
    violations_.note(violations_.duplicates, 1,
                     place(publisher, view.queue) + ": message " + std::to_string(header.sequence) +
                         " came twice");
    return;
  }
  ++received_once_;
  std::uint64_t& next = view.next[std::size_t{publisher} * classes_ + class_of(header, classes_)];
  if (header.sequence < next && !redelivered) {
    violations_.note(violations_.reordered, 1,
                     place(publisher, view.queue) + ": message " + std::to_string(header.sequence) +
                         " came after message " + std::to_string(next - 1));
    return;
  }
  next = header.sequence + 1;
}

void Ledger::damaged(const View& view) {
  violations_.note(
      violations_.damaged, 1,
      "queue " + std::to_string(view.queue) + " delivered a body that this run did not send");
}

void Ledger::settle() {
  for (std::uint32_t publisher = 0; publisher < publishers_; ++publisher) {
    for (std::uint32_t queue = 0; queue < queues_; ++queue) {
      const SequenceSet& arrived = arrived_[std::size_t{publisher} * queues_ + queue];
      const std::uint64_t sent = sent_[stream(publisher, queue)];
      if (arrived.size() >= sent) continue;
      violations_.note(violations_.lost, sent - arrived.size(),
                       place(publisher, queue) + ": " + std::to_string(sent - arrived.size()) +
                           " of " + std::to_string(sent) + " messages never came, the first is " +
                           std::to_string(arrived.first_missing()));
    }
  }
}

}  // namespace harrier::bench
