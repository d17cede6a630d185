// SPDX-License-Identifier: Apache-2.0
#include "broker/core/message_groups.hpp"

#include <algorithm>

namespace harrier::broker {

namespace {

constexpr std::size_t kStaleMin = 64;

// FNV-1a with the last step of splitmix64: what is alike in names must not be in buckets.
std::uint64_t hash_of(char kind, protocol::ByteView bytes) {
  std::uint64_t hash = 14'695'981'039'346'656'037ull;
  const auto add = [&](std::uint8_t octet) { hash = (hash ^ octet) * 1'099'511'628'211ull; };
  add(static_cast<std::uint8_t>(kind));
  for (const std::uint8_t octet : bytes) add(octet);
  hash = (hash ^ (hash >> 30)) * 0xbf58476d1ce4e5b9ull;
  hash = (hash ^ (hash >> 27)) * 0x94d049bb133111ebull;
  return hash ^ (hash >> 31);
}

protocol::ByteView bytes_of(std::string_view text) {
  return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()};
}

}  // namespace

MessageGroups::MessageGroups(std::string header)
    : header_(std::move(header)), buckets_(kBuckets + 1) {}

std::uint32_t MessageGroups::bucket_of(const protocol::Message& message) const {
  if (header_ == kRoutingKey) {
    return static_cast<std::uint32_t>(hash_of('S', bytes_of(message.routing_key())) % kBuckets);
  }
  const auto properties = message.properties();
  if (!properties.has(protocol::kHeaders)) return kLoose;
  const auto value = properties.headers().find(header_);
  if (!value || value->tag == 'V') return kLoose;
  // A number is the same group in any width.
  if (const auto number = value->as_integer()) {
    return static_cast<std::uint32_t>(hash_of('l', bytes_of(std::to_string(*number))) % kBuckets);
  }
  return static_cast<std::uint32_t>(hash_of(value->tag, value->payload) % kBuckets);
}

void MessageGroups::set_unsettled_max(std::uint32_t max) {
  if (std::exchange(unsettled_max_, max) == max) return;
  for (std::uint32_t index = 0; index < kBuckets; ++index) relist(index);
}

void MessageGroups::set_rate(std::optional<std::int64_t> per_second) {
  if (std::exchange(rate_, per_second) == per_second) return;
  rates_.clear();
  if (rate_) rates_.assign(kBuckets, DeliveryRate(*rate_));
  for (std::uint32_t index = 0; index < kBuckets; ++index) relist(index);
}

// ---- messages ----

void MessageGroups::look_through(const ReadyList& ready, Millis now) {
  now_ = now;
  while (next_due() <= now) relist(resting_.begin()->second);
  if (waiting_.size() > kStaleMin + 2 * ready.size()) forget_waiting();
  if (!std::exchange(seen_returned_, true))
    ready.for_each_returned([&](const Ready& each) { waits(each); });
  ready.fresh().for_each_above(seen_to_, [&](const Ready& each) {
    seen_to_ = each.seq;
    waits(each);
  });
}

void MessageGroups::waits(const Ready& ready) {
  const std::uint32_t index = bucket_of(*ready.message);
  waiting_.emplace(index, rank_of(ready.seq));
  relist(index);
}

void MessageGroups::forget_from(Seq seq) {
  for (std::uint32_t index = 0; index <= kLoose; ++index) {
    const auto from = waiting_.lower_bound({index, rank_of(seq)});
    if (from == waiting_.end() || from->first != index) continue;
    waiting_.erase(from, waiting_.lower_bound({index + 1, 0}));
    relist(index);
  }
  seen_to_ = std::min(seen_to_, seq == 0 ? 0 : seq - 1);
  seen_returned_ = false;
}

void MessageGroups::forget_waiting() {
  waiting_.clear();
  heads_.clear();
  for (Bucket& bucket : buckets_) bucket.head = 0;
  seen_to_ = 0;
  seen_returned_ = false;
}

void MessageGroups::handed_out(const protocol::Message& message, bool settled_at_once) {
  if (settled_at_once && !rate_) return;
  const std::uint32_t index = bucket_of(message);
  if (index == kLoose) return;
  if (rate_) rates_[index].handed_out();
  if (!settled_at_once) ++buckets_[index].unsettled;
  relist(index);
}

void MessageGroups::count_out(std::uint32_t index) {
  if (index == kLoose) return;
  ++buckets_[index].unsettled;
  relist(index);
}

void MessageGroups::count_back(std::uint32_t index) {
  if (index == kLoose) return;
  Bucket& bucket = buckets_[index];
  --bucket.unsettled;
  if (bucket.unsettled == 0 && (bucket.moving || bucket.lent)) disown(index);
  relist(index);
}

void MessageGroups::timed_out(const protocol::Message& message) {
  const std::uint32_t index = bucket_of(message);
  if (index == kLoose) return;
  if (buckets_[index].owner != kNobody) buckets_[index].moving = true;
  count_back(index);
}

// ---- buckets ----

std::uint32_t MessageGroups::lane_of(std::uint32_t index) const {
  if (index == kLoose) return kNobody;
  const Bucket& bucket = buckets_[index];
  if (bucket.moving || bucket.unsettled >= unsettled_max_) return kBlocked;
  // Something is out with one who has left.
  if (bucket.owner == kNobody && bucket.unsettled > 0) return kBlocked;
  return bucket.owner;
}

// Whether its rate keeps the next one back; if so it is looked at again when that is over.
bool MessageGroups::must_rest(std::uint32_t index) {
  const Millis until = rates_[index].allows(now_) ? kNeverDue : rates_[index].next_due();
  if (until != kNeverDue) resting_.emplace(until, index);
  buckets_[index].rests_until = until;
  return until != kNeverDue;
}

void MessageGroups::relist(std::uint32_t index) {
  Bucket& bucket = buckets_[index];
  const auto first = waiting_.lower_bound({index, 0});
  const Seq head = first == waiting_.end() || first->first != index ? 0 : first->second;
  std::uint32_t lane = lane_of(index);
  if (bucket.rests_until != kNeverDue)
    resting_.erase({std::exchange(bucket.rests_until, kNeverDue), index});
  if (rate_ && index != kLoose && head != 0 && lane != kBlocked && must_rest(index))
    lane = kBlocked;
  if (head != bucket.head || lane != bucket.lane) {
    if (bucket.head != 0) heads_.erase({bucket.lane, bucket.head, index});
    if (head != 0) heads_.emplace(lane, head, index);
    bucket.head = head;
    bucket.lane = lane;
  }
  if (head != 0 && lane < kBlocked) touch(lane);
}

void MessageGroups::own(std::uint32_t index, std::uint32_t slot) {
  disown(index);
  buckets_[index].owner = slot;
  if (const auto member = members_.find(slot); member != members_.end()) ++member->second.buckets;
}

void MessageGroups::disown(std::uint32_t index) {
  Bucket& bucket = buckets_[index];
  if (const auto member = members_.find(bucket.owner); member != members_.end())
    --member->second.buckets;
  bucket.owner = kNobody;
  bucket.moving = bucket.lent = false;
}

// Now, or when nothing of it is out.
void MessageGroups::give_up(std::uint32_t index) {
  if (buckets_[index].unsettled == 0) {
    disown(index);
  } else {
    buckets_[index].moving = true;
  }
  relist(index);
}

// ---- consumers ----

// What one of the highest priority may keep is an equal share of all; the others keep nothing.
void MessageGroups::joined(const QueueConsumer& consumer, const ConsumerRoster& roster) {
  members_.try_emplace(consumer.slot);
  std::int64_t highest = consumer.priority;
  const auto counts = [](const QueueConsumer& each) { return !each.cancelled && !each.getter; };
  roster.for_each([&](const QueueConsumer& each) {
    if (counts(each)) highest = std::max(highest, each.priority);
  });
  std::uint32_t sharers = 0;
  std::uint32_t owned = 0;
  roster.for_each([&](const QueueConsumer& each) {
    if (counts(each) && each.priority == highest) ++sharers;
  });
  for (const auto& [slot, member] : members_) owned += member.buckets;
  const std::uint32_t share = (owned + sharers - 1) / std::max(sharers, 1u);
  std::unordered_map<std::uint32_t, std::uint32_t> moving, excess;
  for (const Bucket& bucket : buckets_) {
    if (bucket.moving) ++moving[bucket.owner];
  }
  roster.for_each([&](const QueueConsumer& each) {
    const auto member = members_.find(each.slot);
    if (!counts(each) || member == members_.end()) return;
    const std::uint32_t has = member->second.buckets - moving[each.slot];
    const std::uint32_t keeps = each.priority == highest ? share : 0;
    if (has > keeps) excess[each.slot] = has - keeps;
  });
  for (const bool idle : {true, false}) {
    for (std::uint32_t index = 0; index < kBuckets && !excess.empty(); ++index) {
      const Bucket& bucket = buckets_[index];
      const auto at = excess.find(bucket.owner);
      if (at == excess.end() || bucket.moving || (bucket.unsettled == 0) != idle) continue;
      give_up(index);
      if (--at->second == 0) excess.erase(at);
    }
  }
  touch(consumer.slot);
}

void MessageGroups::left(const QueueConsumer& consumer) {
  for (std::uint32_t index = 0; index < kBuckets; ++index) {
    if (buckets_[index].owner == consumer.slot) give_up(index);
  }
  const auto member = members_.find(consumer.slot);
  if (member == members_.end()) return;
  // Its slot is the next one's who comes.
  if (member->second.touched) std::erase(touched_, consumer.slot);
  members_.erase(member);
}

void MessageGroups::touch(std::uint32_t slot) {
  const auto member = members_.find(slot);
  if (member == members_.end() || std::exchange(member->second.touched, true)) return;
  touched_.push_back(slot);
}

MessageGroups::Heads::const_iterator MessageGroups::head_of(std::uint32_t lane) const {
  const auto at = heads_.lower_bound({lane, 0, 0});
  return at != heads_.end() && std::get<0>(*at) == lane ? at : heads_.end();
}

bool MessageGroups::offers(std::uint32_t slot) const {
  return head_of(slot) != heads_.end() || head_of(kNobody) != heads_.end();
}

// ---- who gets what ----

// One that can take a message and has one waiting in a bucket of its own.
QueueConsumer* MessageGroups::next_touched(ConsumerRoster& roster) {
  while (!touched_.empty()) {
    const std::uint32_t slot = touched_.front();
    if (const auto member = members_.find(slot); member != members_.end()) {
      QueueConsumer* const consumer = roster.at(slot);
      if (consumer != nullptr && roster.can_take(*consumer) && head_of(slot) != heads_.end())
        return consumer;
      member->second.touched = false;
    }
    touched_.pop_front();
  }
  return nullptr;
}

QueueConsumer* MessageGroups::claimant(std::uint32_t index, ConsumerRoster& roster) {
  if (index == kLoose) return roster.next();
  return roster.next_least([&](const QueueConsumer& consumer) -> std::size_t {
    const auto member = members_.find(consumer.slot);
    return member == members_.end() ? 0 : member->second.buckets;
  });
}

MessageGroups::Pick MessageGroups::take(Heads::const_iterator head, QueueConsumer& consumer) {
  const auto [lane, rank, index] = *head;
  if (index != kLoose && lane == kNobody) own(index, consumer.slot);
  waiting_.erase({index, rank});
  relist(index);
  touch(consumer.slot);  // it may have more
  return {&consumer, rank_of(rank)};
}

std::optional<MessageGroups::Pick> MessageGroups::pick(ConsumerRoster& roster) {
  QueueConsumer* const owner = next_touched(roster);
  const auto owned = owner == nullptr ? heads_.end() : head_of(owner->slot);
  const auto free = head_of(kNobody);
  if (free != heads_.end() && (owned == heads_.end() || std::get<1>(*free) < std::get<1>(*owned))) {
    if (QueueConsumer* const consumer = claimant(std::get<2>(*free), roster))
      return take(free, *consumer);
  }
  if (owner == nullptr) return std::nullopt;
  touched_.pop_front();  // others in between: a cap may stop us anywhere
  touched_.push_back(owner->slot);
  return take(owned, *owner);
}

MessageGroups::Heads::const_iterator MessageGroups::first_for_get(
    std::optional<std::uint32_t> slot) const {
  auto best = heads_.end();
  for (auto at = heads_.begin(); at != heads_.end(); ++at) {
    const auto [lane, rank, index] = *at;
    if (lane == kBlocked) continue;
    const bool may = lane == kNobody || lane == slot || buckets_[index].unsettled == 0;
    if (may && (best == heads_.end() || rank < std::get<1>(*best))) best = at;
  }
  return best;
}

std::optional<Seq> MessageGroups::pick_for_get(std::optional<std::uint32_t> slot) {
  const auto best = first_for_get(slot);
  if (best == heads_.end()) return std::nullopt;
  const auto [lane, rank, index] = *best;
  waiting_.erase({index, rank});
  relist(index);
  return rank_of(rank);
}

void MessageGroups::lend(const protocol::Message& message, std::uint32_t slot) {
  const std::uint32_t index = bucket_of(message);
  if (index != kLoose && buckets_[index].owner != slot) {
    own(index, slot);
    buckets_[index].lent = true;
    relist(index);
  }
}

}  // namespace harrier::broker
