// SPDX-License-Identifier: Apache-2.0
#include "tests/simulation/ledger.hpp"

#include <algorithm>
#include <functional>

namespace harrier::simulation {

const std::vector<SharedQueue>& shared_queues() {
  static const std::vector<SharedQueue> queues = {
      {"sim.strict.0", QueueKind::Strict},
      {"sim.strict.1", QueueKind::Strict},
      {"sim.strict.2", QueueKind::Strict},
      {"sim.purged", QueueKind::Purged},
      {"sim.lossy", QueueKind::Lossy},
      {"sim.volatile.0", QueueKind::Volatile},
      {"sim.auto", QueueKind::Volatile, true},
      {kGroups, QueueKind::Strict},
      {kSingle, QueueKind::Strict},
  };
  return queues;
}

const std::vector<routing::Binding>& possible_bindings() {
  static const std::vector<routing::Binding> bindings = [] {
    std::vector<routing::Binding> all;
    for (const QueueNumber queue : {0u, 1u})
      all.push_back({kFanout, shared_queues()[queue].name, false, "", {}});
    for (const QueueNumber queue : {2u, 5u, 6u}) {
      for (const char* key : {"one", "two"})
        all.push_back({kChanging, shared_queues()[queue].name, false, key, {}});
    }
    return all;
  }();
  return bindings;
}

Ledger::Ledger(Dice& dice) {
  for (const SharedQueue& queue : shared_queues()) {
    const bool may_have = queue.kind != QueueKind::Volatile && queue.name != kGroups;
    const bool has_priorities = may_have && dice.chance(40);
    const auto highest = static_cast<unsigned>(has_priorities ? dice.between(1, 5) : 0);
    queues_.push_back({queue.name, queue.kind, dice.chance(60), highest});
  }
  fanout_durable_ = dice.chance(60);
}

QueueNumber Ledger::add_queue(const std::string& name, QueueKind kind, bool durable,
                              unsigned priority_max) {
  for (const QueueState& queue : queues_)
    require(queue.name != name, "two queues are named " + name);
  queues_.push_back({name, kind, durable, priority_max});
  return queues_.size() - 1;
}

std::uint64_t Ledger::publish(ChannelSerial channel, std::vector<QueueNumber> queues,
                              bool transactional, bool persistent, unsigned priority) {
  messages_.push_back(
      {channel, std::move(queues), false, false, transactional, persistent, priority});
  const std::uint64_t message = messages_.size() - 1;
  for (const QueueNumber queue : messages_.back().queues) {
    copies_[{message, queue}] = {message, queue};
  }
  return message;
}

std::optional<std::uint64_t> Ledger::pick_taken(Dice& dice) const {
  if (messages_.empty() || !queues_[kDedupQueue].durable) return std::nullopt;
  for (int attempt = 0; attempt < 10; ++attempt) {
    const std::uint64_t message = dice.below(messages_.size());
    const Published& published = messages_[message];
    if (deduplicated(message) && published.confirmed && published.persistent) return message;
  }
  return std::nullopt;
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
  require(published.confirms < published.times,
          "message " + std::to_string(message) + " was confirmed more often than published");
  ++published.confirms;
  published.confirmed = true;
  ++confirms_;
}

// What it had settled with a commit that nobody has answered may be with others now, whatever has
// become of the commit.
void Ledger::channel_over(ChannelSerial channel) {
  over_.insert(channel);
  if (crashing_) return;
  for (auto& [number, commit] : commits_)
    std::erase_if(commit.settled, [&](const Copy* copy) { return copy->settler == channel; });
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
  if (queues_[queue].name == kGroups && group_of(message) != 0)
    check_group(copy, redelivered, channel);
  copy.seen = true;
  copy.redelivered = redelivered;
  if (watching_ && published.persistent)
    drained_[queue].push_back({message, redelivered, level(message, queue)});
  copy.settled = no_ack ? Copy::Settled::Certain : Copy::Settled::No;
  copy.holder = no_ack ? 0 : channel;
  ++deliveries_;
  return copy;
}

// Nobody else holds one of its group, and none comes for the first time after a later one.
void Ledger::check_group(const Copy& copy, bool redelivered, ChannelSerial channel) {
  const std::uint64_t group = group_of(copy.message);
  for (const auto& [key, other] : copies_) {
    if (other.queue != copy.queue || group_of(other.message) != group || other.past) continue;
    require(other.holder == 0 || other.holder == channel || over_.contains(other.holder),
            text_of(copy) + " was delivered while another channel holds " + text_of(other) +
                " of its group");
  }
  if (redelivered) return;
  std::uint64_t& last = last_of_group_[{group, publisher_of(copy.message)}];
  require(last < copy.message,
          text_of(copy) + " came after " + std::to_string(last) + " of its group");
  last = copy.message;
}

void Ledger::served(QueueNumber queue, ChannelSerial channel, const std::string& consumer) {
  if (queues_[queue].name != kSingle) return;
  const std::pair now(channel, consumer);
  require(single_.first == 0 || single_ == now || over_.contains(single_.first),
          consumer + " was served, though " + single_.second + " is the active consumer");
  single_ = now;
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

void Ledger::rested() {
  for (Published& each : messages_) each.at_rest = !each.open_transaction && !each.withdrawn;
}

void Ledger::check_at_rest(const std::vector<broker::QueueInfo>& infos) const {
  for (QueueNumber number = 0; number < queues_.size(); ++number) {
    const QueueState& queue = queues_[number];
    if (queue.kind != QueueKind::Strict && queue.kind != QueueKind::Purged) continue;
    const auto info = std::ranges::find(infos, queue.name, &broker::QueueInfo::name);
    require(info != infos.end(), queue.name + " has gone");
    const bool has_active = queue.name == kSingle && info->consumers > 0;
    require(info->single_active.has_value() == has_active, queue.name + " has another active one");
    std::uint64_t held = 0;
    std::uint64_t settled = 0;
    std::uint64_t doubtful = 0;
    for (const auto& [key, copy] : copies_) {
      if (copy.queue != number || copy.past) continue;
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
    const std::uint64_t published = info->messages_published - queue.published_before;
    require(info->messages_unacknowledged == held, text);
    const std::uint64_t accounted =
        info->messages_ready + info->messages_unacknowledged + settled + queue.purged;
    require(accounted <= published, text);
    require(queue.purges_open > 0 || accounted + doubtful >= published, text);
  }
}

bool Ledger::has_for_anybody(QueueNumber queue, bool is_only_consumer) const {
  std::set<std::uint64_t> out;
  std::set<std::uint64_t> waiting;
  for (const auto& [key, copy] : copies_) {
    if (copy.queue != queue || copy.past || copy.settled != Copy::Settled::No) continue;
    if (is_out(copy)) {
      out.insert(group_of(copy.message));
    } else if (messages_[copy.message].confirmed) {
      waiting.insert(group_of(copy.message));
    }
  }
  return std::ranges::any_of(waiting, [&](std::uint64_t group) {
    return group == 0 || (is_only_consumer && !out.contains(group));
  });
}

std::size_t Ledger::stored_copies(std::uint64_t message) const {
  const Published& published = messages_.at(message);
  if (!published.persistent) return 0;
  return static_cast<std::size_t>(std::ranges::count_if(published.queues, [&](QueueNumber queue) {
    return queues_[queue].durable && queues_[queue].kind != QueueKind::Volatile;
  }));
}

void Ledger::check_stored(const Copy& copy, const Stored* stored) const {
  const Published& published = messages_[copy.message];
  const QueueKind kind = queues_[copy.queue].kind;
  const std::string text = text_of(copy);
  if (stored != nullptr) {
    require(published.persistent, text + " is stored, but transient");
    require(!published.withdrawn && !published.open_transaction, text + " is stored uncommitted");
    require(copy.settled != Copy::Settled::Certain, text + " is stored after it was settled");
    require(copy.settled == Copy::Settled::No || over_.contains(copy.settler),
            text + " is stored after it was acknowledged");
  }
  if (kind == QueueKind::Volatile || !published.persistent) return;
  if (copy.holder != 0 && !over_.contains(copy.holder)) {
    require(stored != nullptr, text + " is held by a client and not stored");
    require(stored->returned == copy.redelivered || copy.survived,
            text + " is stored with a wrong delivery count");
  }
  if (stored != nullptr && copy.holder == 0 && copy.seen && !copy.survived)
    require(stored->returned, text + " came back, but its delivery count is 0");
  if (kind != QueueKind::Strict || !published.confirmed) return;
  require(stored != nullptr || copy.settled != Copy::Settled::No,
          text + " was confirmed, but is not stored");
}

void Ledger::check_stored(const std::string& name, const std::vector<Stored>& messages) const {
  const auto at = std::ranges::find(queues_, name, &QueueState::name);
  if (at == queues_.end()) {  // its client went before it could read the name
    require(messages.empty(), name + " is known to nobody and has messages stored");
    return;
  }
  require(at->kind != QueueKind::Exclusive, name + " is exclusive, but stored");  // C-215
  const auto number = static_cast<QueueNumber>(at - queues_.begin());
  std::map<std::uint64_t, const Stored*> by_message;
  std::map<std::pair<ChannelSerial, unsigned>, std::uint64_t> last;
  for (const Stored& stored : messages) {
    require(by_message.emplace(stored.message, &stored).second, name + " has stored one twice");
    require(copies_.contains({stored.message, number}), name + " has stored another's message");
    require(stored.level == level(stored.message, number),
            name + " has stored message " + std::to_string(stored.message) + " in level " +
                std::to_string(stored.level));
    std::uint64_t& before = last[{messages_[stored.message].channel, stored.level}];
    require(before <= stored.message, name + " has stored messages in another order");
    before = stored.message;
  }
  for (const auto& [key, copy] : copies_) {
    if (copy.queue != number) continue;
    const auto stored = by_message.find(copy.message);
    check_stored(copy, stored == by_message.end() ? nullptr : stored->second);
  }
}

void Ledger::check_drained(const std::string& name, std::vector<Stored> stored) const {
  const auto at = std::ranges::find(queues_, name, &QueueState::name);
  if (at == queues_.end()) return;  // never had a message
  const auto number = static_cast<QueueNumber>(at - queues_.begin());
  for (Stored& each : stored) {
    if (copies_.at({each.message, number}).survived) each.returned = true;
  }
  std::ranges::stable_sort(stored, std::greater<>(), &Stored::level);  // the highest goes first
  const auto drained = drained_.find(number);
  const std::vector<Stored> none;
  require((drained == drained_.end() ? none : drained->second) == stored,
          name + " gave out other messages than it had stored");
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
