// SPDX-License-Identifier: Apache-2.0
#include "tests/simulation/ledger.hpp"

#include <algorithm>

namespace harrier::simulation {

const std::vector<SharedQueue>& shared_queues() {
  static const std::vector<SharedQueue> queues = {
      {"sim.strict.0", QueueKind::Strict},     {"sim.strict.1", QueueKind::Strict},
      {"sim.strict.2", QueueKind::Strict},     {"sim.purged", QueueKind::Purged},
      {"sim.lossy", QueueKind::Lossy},         {"sim.volatile.0", QueueKind::Volatile},
      {"sim.auto", QueueKind::Volatile, true},
  };
  return queues;
}

Ledger::Ledger() {
  for (const SharedQueue& queue : shared_queues()) queues_.push_back({queue.name, queue.kind});
}

QueueNumber Ledger::add_queue(const std::string& name, QueueKind kind) {
  for (const QueueState& queue : queues_)
    require(queue.name != name, "two queues are named " + name);
  queues_.push_back({name, kind});
  return queues_.size() - 1;
}

std::uint64_t Ledger::publish(ChannelSerial channel, std::vector<QueueNumber> queues,
                              bool transactional) {
  messages_.push_back({channel, std::move(queues), false, false, transactional});
  const std::uint64_t message = messages_.size() - 1;
  for (const QueueNumber queue : messages_.back().queues) {
    copies_[{message, queue}] = {message, queue};
  }
  return message;
}

// The number, then octets that depend on it: small, copied, referenced and cut into frames.
std::vector<std::uint8_t> Ledger::body(std::uint64_t message) {
  std::size_t size = 8 + message % 30;
  if (message % 11 == 0) size = 3'000;
  if (message % 43 == 0) size = 9'000;
  std::vector<std::uint8_t> bytes(size);
  protocol::put_u64(bytes.data(), message);
  for (std::size_t i = 8; i < size; ++i) bytes[i] = static_cast<std::uint8_t>(message + i);
  return bytes;
}

std::uint64_t Ledger::read_body(protocol::ByteView bytes) {
  require(bytes.size() >= 8, "a delivered body is too short");
  std::uint64_t message = 0;
  for (const std::uint8_t octet : bytes.first(8)) message = message << 8 | octet;
  require(std::ranges::equal(bytes, body(message)), "a body has changed on its way");
  return message;
}

void Ledger::confirmed(std::uint64_t message) {
  Published& published = messages_.at(message);
  require(!published.confirmed, "message " + std::to_string(message) + " was confirmed twice");
  published.confirmed = true;
  ++confirms_;
}

void Ledger::committing(std::uint64_t message) { messages_.at(message).open_transaction = false; }

void Ledger::rolled_back(std::uint64_t message) { messages_.at(message).withdrawn = true; }

std::string Ledger::text_of(const Copy& copy) const {
  return "message " + std::to_string(copy.message) + " in " + queues_[copy.queue].name;
}

Copy& Ledger::delivered(std::uint64_t message, QueueNumber queue, bool redelivered,
                        ChannelSerial channel, bool no_ack) {
  const auto at = copies_.find({message, queue});
  require(at != copies_.end(), "message " + std::to_string(message) + " came out of " +
                                   queues_[queue].name + ", where nobody published it");
  Copy& copy = at->second;
  const Published& published = messages_[message];
  const std::string text = text_of(copy);
  require(!published.withdrawn, text + " was delivered, but its transaction was rolled back");
  require(!published.open_transaction, text + " was delivered before its transaction's commit");
  require(copy.holder == 0 || over_.contains(copy.holder),
          text + " was delivered while another channel holds it");
  require(copy.settled != Copy::Settled::Certain, text + " was delivered after it was settled");
  require(copy.settled == Copy::Settled::No || over_.contains(copy.settler),
          text + " was delivered after it was acknowledged");
  require(redelivered || !copy.seen, text + " was seen before, but redelivered is false");
  copy.seen = true;
  copy.settled = no_ack ? Copy::Settled::Certain : Copy::Settled::No;
  copy.holder = no_ack ? 0 : channel;
  ++deliveries_;
  return copy;
}

void Ledger::settling(Copy& copy) {
  copy.settled = Copy::Settled::Doubtful;
  copy.settler = copy.holder;
  copy.holder = 0;
}

void Ledger::purged(QueueNumber queue, std::uint32_t count) {
  --queues_[queue].purges_open;
  queues_[queue].purged += count;
}

void Ledger::check_at_rest(const std::vector<broker::QueueInfo>& infos) const {
  for (QueueNumber number = 0; number < queues_.size(); ++number) {
    const QueueState& queue = queues_[number];
    if (queue.kind != QueueKind::Strict && queue.kind != QueueKind::Purged) continue;
    const auto info = std::ranges::find(infos, queue.name, &broker::QueueInfo::name);
    require(info != infos.end(), queue.name + " has gone");
    std::uint64_t held = 0;
    std::uint64_t settled = 0;
    std::uint64_t doubtful = 0;
    for (const auto& [key, copy] : copies_) {
      if (copy.queue != number) continue;
      if (copy.holder != 0 && !over_.contains(copy.holder)) ++held;
      if (copy.settled == Copy::Settled::Certain) ++settled;
      if (copy.settled == Copy::Settled::Doubtful) {
        ++(over_.contains(copy.settler) ? doubtful : settled);  // the broker has read everything
      }
    }
    const std::string text = queue.name + ": " + std::to_string(info->messages_published) +
                             " published, " + std::to_string(info->messages_ready) + " ready, " +
                             std::to_string(info->messages_unacknowledged) + " unacknowledged, " +
                             std::to_string(held) + " held by clients, " + std::to_string(settled) +
                             " settled, " + std::to_string(doubtful) + " perhaps settled, " +
                             std::to_string(queue.purged) + " purged";
    require(info->messages_unacknowledged == held, text);
    const std::uint64_t accounted =
        info->messages_ready + info->messages_unacknowledged + settled + queue.purged;
    require(accounted <= info->messages_published, text);
    require(queue.purges_open > 0 || accounted + doubtful >= info->messages_published, text);
  }
}

void Ledger::check_at_end() const {
  std::map<QueueNumber, std::uint64_t> missing;
  for (const auto& [key, copy] : copies_) {
    const Published& published = messages_[copy.message];
    require(copy.holder == 0 || over_.contains(copy.holder), text_of(copy) + " is still held");
    if (!published.confirmed || copy.settled != Copy::Settled::No) continue;
    const QueueState& queue = queues_[copy.queue];
    require(queue.kind != QueueKind::Strict, text_of(copy) + " was confirmed, but is lost");
    ++missing[copy.queue];
  }
  for (const auto& [number, count] : missing) {
    const QueueState& queue = queues_[number];
    require(queue.kind != QueueKind::Purged || queue.purges_open > 0 || count <= queue.purged,
            queue.name + " lost " + std::to_string(count) + " confirmed messages, purges took " +
                std::to_string(queue.purged));
  }
}

}  // namespace harrier::simulation
