// SPDX-License-Identifier: Apache-2.0
#include "tests/simulation/letters.hpp"

#include <algorithm>

namespace harrier::simulation {

Letters::Letters(Dice& dice) {
  const auto number = [&](std::size_t low, std::size_t high) {
    return static_cast<std::int64_t>(dice.between(low, high));
  };
  const std::vector<QueueIndex> graves = {kSources, kSources + 1};
  queues_ = {
      {"letters.work", graves, {"rejected"}, true, {}},
      {"letters.delay", graves, {"expired"}, false, {}},
      {"letters.latest", graves, {"maxlen"}, false, {}},
      {"letters.strict", graves, {"rejected"}, true, {}},
      {"letters.limited", graves, {"rejected", "delivery_limit"}, true, {}},
      {"letters.mixed", graves, {"rejected", "expired", "maxlen", "delivery_limit"}, true, {}},
      {"letters.grave.0", {}, {}, true, {}},
      {"letters.grave.1", {kQueues - 1}, {}, true, {}},
      {"letters.last", {}, {}, true, {}}};
  for (QueueIndex source = 0; source < kSources; ++source)
    queues_[source].arguments.add("x-dead-letter-exchange", kDeadExchange);
  queues_[1].arguments.add_int64("x-message-ttl", number(1, kLivesEndMs));
  queues_[2].arguments.add_int64("x-max-length", number(0, 8));
  queues_[kStrict].arguments.add_int64("x-max-length", number(1, 8));
  queues_[kStrict].arguments.add("x-overflow", "reject-publish");
  queues_[4].arguments.add_int64("x-delivery-limit", number(0, 2));
  queues_[kMixed].arguments.add_int64("x-message-ttl", number(20, kLivesEndMs));
  queues_[kMixed].arguments.add_int64("x-max-length", number(1, 8));
  queues_[kMixed].arguments.add_int64("x-delivery-limit", number(0, 3));
  queues_[kSources + 1].arguments.add("x-dead-letter-exchange", "");
  queues_[kSources + 1].arguments.add("x-dead-letter-routing-key", queues_[kQueues - 1].name);
  queues_[kSources + 1].arguments.add_int64("x-message-ttl", number(1, kLivesEndMs));
}

const Letters::Copy& Letters::at(MessageNumber message, QueueIndex queue) const {
  static const Copy kUnknown;
  const auto found = copies_.find({message, queue});
  return found == copies_.end() ? kUnknown : found->second;
}

bool Letters::leads_to(QueueIndex from, QueueIndex to) const {
  return std::ranges::any_of(queues_[from].targets, [&](QueueIndex target) {
    return target == to || leads_to(target, to);
  });
}

bool Letters::is_for_a_time(std::string_view queue) const {
  return std::ranges::any_of(queues_, [&](const LetterQueue& each) {
    return each.name == queue && each.arguments.view().find("x-message-ttl").has_value();
  });
}

// What one channel published is there in its order: where it was published, and where it went if
// all that comes from there died of one cause that follows the order of the queue.
bool Letters::keeps_order(QueueIndex source, QueueIndex queue) const {
  return source == queue ||
         (!queues_[source].consumed && std::ranges::count(queues_[source].targets, queue) > 0);
}

std::string Letters::text_of(MessageNumber message, QueueIndex queue) const {
  return "message " + std::to_string(message) + " of " + queues_[messages_[message].source].name +
         " in " + queues_[queue].name;
}

// ---- what clients do and see ----

MessageNumber Letters::publish(ChannelSerial channel, QueueIndex source, bool persistent) {
  messages_.push_back({channel, source, persistent});
  return messages_.size() - 1;
}

void Letters::confirmed(MessageNumber message) {
  require(!messages_[message].confirmed, "message " + std::to_string(message) + " confirmed twice");
  messages_[message].confirmed = true;
  ++confirms_;
}

void Letters::refused(MessageNumber message) {
  require(messages_[message].source == kStrict,
          "message " + std::to_string(message) + " was refused without a reason");
  messages_[message].refused = true;
  ++refusals_;
}

void Letters::delivered(MessageNumber number, QueueIndex queue, bool redelivered,
                        ChannelSerial channel, bool no_ack) {
  require(number < messages_.size(), "a message that nobody published");
  const Message& message = messages_[number];
  const std::string text = text_of(number, queue);
  require(queue == message.source || leads_to(message.source, queue),
          text + ", where it has no way to");
  require(!message.refused, text + " was delivered, but it had been refused");
  require(!message.gone, text + " was delivered, but a crash had taken it");
  Copy& copy = at(number, queue);
  require(is_over(copy.holder), text + " was delivered while another channel holds it");
  require(!copy.past && !copy.certain, text + " was delivered after it was settled");
  require(copy.fate == Fate::None || is_over(copy.settler), text + " was delivered after its end");
  require(redelivered || (!copy.seen && !copy.survived),
          text + " was there before, but redelivered is false");
  for (QueueIndex other = 0; other < kQueues; ++other) {
    const Copy& its = at(number, other);
    require(!leads_to(queue, other) || !its.entered,
            text + " was delivered, but it is dead already, in " + queues_[other].name);
    if (!leads_to(other, queue) || (other != message.source && !leads_to(message.source, other)))
      continue;
    require(is_over(its.holder),
            text + " was delivered, but somebody holds it in " + queues_[other].name);
    require(its.fate != Fate::Acked || (!its.certain && is_over(its.settler)),
            text + " was delivered, but acknowledged in " + queues_[other].name);
  }
  copy.seen = copy.entered = true;
  copy.fate = no_ack ? Fate::Acked : Fate::None;
  copy.certain = no_ack;
  copy.settler = 0;
  copy.holder = no_ack ? 0 : channel;
  ++deliveries_;
  if (queue != message.source) ++letters_;
}

void Letters::check_history(MessageNumber message, QueueIndex queue,
                            protocol::TableView headers) const {
  const LetterQueue& source = queues_[messages_[message].source];
  const auto text = [&](std::string_view key) {
    const auto value = headers.find(key);
    return std::string(value ? value->as_text().value_or("?") : "");
  };
  if (queue == messages_[message].source) {
    require(text("x-first-death-queue").empty(), text_of(message, queue) + " has died elsewhere");
    return;
  }
  require(text("x-first-death-queue") == source.name,
          text_of(message, queue) + " says that it died in " + text("x-first-death-queue"));
  require(source.reasons.contains(text("x-first-death-reason")),
          text_of(message, queue) + " died for " + text("x-first-death-reason"));
}

void Letters::check_order(MessageNumber number, QueueIndex queue, Order& last) const {
  const Message& message = messages_[number];
  if (!keeps_order(message.source, queue)) return;
  MessageNumber& before = last[{message.source, message.publisher}];
  require(before <= number, text_of(number, queue) + " came after " + std::to_string(before));
  before = number;
}

void Letters::acked(MessageNumber message, QueueIndex queue, ChannelSerial channel) {
  Copy& copy = at(message, queue);
  copy.holder = 0;
  copy.settler = channel;
  copy.fate = Fate::Acked;
}

// Where nothing comes after it is as good as an acknowledgement.
void Letters::rejected(MessageNumber message, QueueIndex queue, ChannelSerial channel) {
  acked(message, queue, channel);
  if (!is_leaf(queue)) at(message, queue).fate = Fate::Rejected;
}

// ---- what the store holds ----

Letters::Found Letters::check_contents(const Contents& stored) const {
  Found found;
  for (QueueIndex queue = 0; queue < kQueues; ++queue) {
    Order last;
    for (const MessageNumber number : stored[queue]) {
      require(number < messages_.size(), queues_[queue].name + " has stored what nobody published");
      const Message& message = messages_[number];
      const std::string text = text_of(number, queue);
      require(found[queue].insert(number).second, text + " is stored twice");
      require(queue == message.source || leads_to(message.source, queue),
              text + ", where it has no way to");
      require(message.persistent && !message.refused && !message.gone,
              text + " is stored, but it is transient, refused, or lost by a crash");
      check_order(number, queue, last);
    }
  }
  return found;
}

// Whether it has come so far. A crash may have undone what clients saw.
bool Letters::is_known_below(const Found& found, MessageNumber message, QueueIndex queue) const {
  const Copy& copy = at(message, queue);
  if (found[queue].contains(message) || copy.past) return true;
  if (!crashing_ && copy.entered) return true;
  return std::ranges::any_of(queues_[queue].targets, [&](QueueIndex target) {
    return is_known_below(found, message, target);
  });
}

void Letters::check_nowhere(const Found& found, MessageNumber message, QueueIndex queue,
                            const std::string& why) const {
  require(!found[queue].contains(message), text_of(message, queue) + " is there, but " + why);
  for (const QueueIndex target : queues_[queue].targets) check_nowhere(found, message, target, why);
}

// The message has come to that queue, as far as is known; with `must`, for certain.
void Letters::check_place(const Found& found, MessageNumber message, QueueIndex queue,
                          bool must) const {
  const Copy& copy = at(message, queue);
  const auto& targets = queues_[queue].targets;
  const std::string text = text_of(message, queue);
  if (found[queue].contains(message)) {
    require(!copy.certain, text + " is stored after its end");
    for (const QueueIndex target : targets)
      check_nowhere(found, message, target, "it is in " + queues_[queue].name + " as well");
    return;
  }
  require(crashing_ || is_over(copy.holder), text + " is held by a client and not stored");
  if (copy.past || (copy.certain && copy.fate == Fate::Acked)) {
    for (const QueueIndex target : targets)
      check_nowhere(found, message, target, "it was acknowledged in " + queues_[queue].name);
    return;
  }
  const bool perhaps_settled = copy.fate == Fate::Acked;
  if (targets.empty()) {
    require(!must || perhaps_settled, text + " is lost");
    return;
  }
  const bool has_died = std::ranges::any_of(
      targets, [&](QueueIndex target) { return is_known_below(found, message, target); });
  for (const QueueIndex target : targets)
    check_place(found, message, target, has_died || (must && !perhaps_settled));
}

void Letters::check_at_rest(const Contents& stored, const std::vector<broker::QueueInfo>& infos) {
  for (auto& [key, copy] : copies_) {
    if (copy.fate != Fate::None && !is_over(copy.settler)) copy.certain = true;
  }
  const Found found = check_contents(stored);
  for (MessageNumber number = 0; number < messages_.size(); ++number) {
    const Message& message = messages_[number];
    if (!message.persistent || message.gone) continue;
    check_place(found, number, message.source, message.confirmed);
  }
  check_counts(infos);
}

// All that came into a queue is ready, out, acknowledged or dead; and the dead are the letters.
void Letters::check_counts(const std::vector<broker::QueueInfo>& infos) const {
  struct Sum {
    std::uint64_t came = 0, left = 0, held = 0, settled = 0, perhaps = 0, letters = 0;
  };
  std::array<Sum, kQueues> sums;
  for (QueueIndex queue = 0; queue < kQueues; ++queue) {
    const auto info = std::ranges::find(infos, queues_[queue].name, &broker::QueueInfo::name);
    require(info != infos.end(), queues_[queue].name + " has gone");
    Sum& sum = sums[queue];
    for (const auto& [key, copy] : copies_) {
      if (key.second != queue || copy.past || messages_[key.first].gone) continue;
      if (!is_over(copy.holder)) ++sum.held;
      if (copy.fate == Fate::Acked) ++(copy.certain ? sum.settled : sum.perhaps);
    }
    sum.came = info->messages_published - gone_before_[queue];
    sum.letters = info->messages_published - came_before_[queue];
    const std::uint64_t here = info->messages_ready + info->messages_unacknowledged;
    const std::string text = queues_[queue].name + ": " + std::to_string(sum.came) + " came, " +
                             std::to_string(info->messages_ready) + " ready, " +
                             std::to_string(info->messages_unacknowledged) + " unacknowledged, " +
                             std::to_string(sum.held) + " held, " + std::to_string(sum.settled) +
                             " settled, " + std::to_string(sum.perhaps) + " perhaps";
    require(info->messages_unacknowledged == sum.held, text);
    require(here + sum.settled <= sum.came, text);
    sum.left = sum.came - here - sum.settled;
    require(!is_leaf(queue) || sum.left <= sum.perhaps, text);
  }
  for (QueueIndex grave = kSources; grave < kQueues; ++grave) {
    std::uint64_t least = 0;
    std::uint64_t most = 0;
    for (QueueIndex queue = 0; queue < kQueues; ++queue) {
      if (std::ranges::count(queues_[queue].targets, grave) == 0) continue;
      most += sums[queue].left;
      least += sums[queue].left - std::min(sums[queue].left, sums[queue].perhaps);
    }
    require(least <= sums[grave].letters && sums[grave].letters <= most,
            queues_[grave].name + " got " + std::to_string(sums[grave].letters) + " letters, but " +
                std::to_string(least) + " to " + std::to_string(most) + " have died");
  }
}

// ---- a crash ----

// `above`: where it came from it still is, so it may come here again.
void Letters::restart_copy(const Found& found, MessageNumber message, QueueIndex queue,
                           bool above) {
  const bool is_there = found[queue].contains(message);
  const auto& targets = queues_[queue].targets;
  const bool is_below = std::ranges::any_of(
      targets, [&](QueueIndex target) { return is_known_below(found, message, target); });
  const bool was_past = at(message, queue).past;
  require(!is_there || !was_past, text_of(message, queue) + " is back from an earlier crash");
  for (const QueueIndex target : targets) restart_copy(found, message, target, above || is_there);
  Copy copy;
  copy.entered = copy.survived = is_there;
  copy.past = !is_there && !above && !is_below;
  at(message, queue) = copy;
}

void Letters::crashed(const Contents& stored, const std::vector<broker::QueueInfo>& infos) {
  crashing_ = true;
  ++crashes_;
  for (auto& [key, copy] : copies_) copy.certain = false;
  const Found found = check_contents(stored);
  for (MessageNumber number = 0; number < messages_.size(); ++number) {
    Message& message = messages_[number];
    if (message.gone) continue;
    bool is_there = false;
    if (message.persistent) {
      check_place(found, number, message.source, message.confirmed);
      for (const auto& queue : found) is_there = is_there || queue.contains(number);
    }
    if (is_there) {
      restart_copy(found, number, message.source, false);
      message.confirmed = true;  // as good as
    } else {
      message.gone = true;
    }
  }
  crashing_ = false;
  for (QueueIndex queue = 0; queue < kQueues; ++queue) {
    const auto info = std::ranges::find(infos, queues_[queue].name, &broker::QueueInfo::name);
    require(info != infos.end(), queues_[queue].name + " was lost by a crash");
    came_before_[queue] = info->messages_published;
    gone_before_[queue] = info->messages_published - info->messages_ready;
  }
}

std::string Letters::summary() const {
  return std::to_string(messages_.size()) + " messages, " + std::to_string(confirms_) +
         " confirmed, " + std::to_string(refusals_) + " refused, " + std::to_string(deliveries_) +
         " deliveries, " + std::to_string(letters_) + " of dead letters, " +
         std::to_string(crashes_) + " crashes";
}

}  // namespace harrier::simulation
