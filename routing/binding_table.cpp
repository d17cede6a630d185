// SPDX-License-Identifier: Apache-2.0
#include "routing/binding_table.hpp"

#include <string>

#include "protocol/check.hpp"

namespace harrier::routing {

using protocol::TableView;

namespace {

bool same_arguments(TableView a, TableView b) {
  if (protocol::as_text(a.bytes()) == protocol::as_text(b.bytes())) return true;
  if (a.bytes().size() != b.bytes().size()) return false;
  return canonical_form(a) == canonical_form(b);  // C-174: order does not count
}

}  // namespace

std::uint32_t BindingTable::hash_of(ExchangeId source, Destination destination,
                                    std::string_view key, TableView arguments) {
  std::uint64_t hash = hash_id(static_cast<std::uint64_t>(source));
  hash = hash_id(hash ^ destination.packed());
  hash = hash_text(key, hash);
  if (!arguments.empty()) hash = hash_text(canonical_form(arguments), hash);
  return static_cast<std::uint32_t>(hash);
}

BindingTable::Slot BindingTable::find(ExchangeId source, Destination destination,
                                      std::string_view key, TableView arguments) const {
  if (buckets_.empty()) return kNone;
  const std::uint32_t hash = hash_of(source, destination, key, arguments);
  Slot slot = buckets_[hash & (buckets_.size() - 1)];
  for (; slot != kNone; slot = records_[slot].same_bucket) {
    const Record& record = records_[slot];
    if (record.hash == hash && record.source == source && record.destination == destination &&
        record.key->view() == key && same_arguments(record.table(), arguments)) {
      break;
    }
  }
  return slot;
}

BindingTable::Slot BindingTable::take_slot() {
  if (first_free_ != kNone) {
    const Slot slot = first_free_;
    first_free_ = records_[slot].same_bucket;
    return slot;
  }
  HARRIER_CHECK(records_.size() < kNone);
  records_.emplace_back();
  return static_cast<Slot>(records_.size() - 1);
}

const BindingTable::Record& BindingTable::insert(ExchangeId source, Destination destination,
                                                 std::string_view key, TableView arguments) {
  if (size_ >= buckets_.size()) grow_buckets();
  const Slot slot = take_slot();
  Record& record = records_[slot];
  record.source = source;
  record.destination = destination;
  record.key = Text::make(key);
  if (!arguments.empty()) record.arguments = Text::make(protocol::as_text(arguments.bytes()));
  record.hash = hash_of(source, destination, key, arguments);
  Slot& bucket = buckets_[record.hash & (buckets_.size() - 1)];
  record.same_bucket = bucket;
  bucket = slot;
  link(from_, static_cast<std::uint64_t>(source), slot, &Record::next_from, &Record::previous_from);
  link(to_, destination.packed(), slot, &Record::next_to, &Record::previous_to);
  ++size_;
  return record;
}

void BindingTable::erase(Slot slot) {
  Record& record = records_[slot];
  Slot* at = &buckets_[record.hash & (buckets_.size() - 1)];
  while (*at != slot) at = &records_[*at].same_bucket;
  *at = record.same_bucket;
  unlink(from_, static_cast<std::uint64_t>(record.source), slot, &Record::next_from,
         &Record::previous_from);
  unlink(to_, record.destination.packed(), slot, &Record::next_to, &Record::previous_to);
  record = Record();
  record.same_bucket = first_free_;
  first_free_ = slot;
  --size_;
}

BindingTable::Slot BindingTable::first_from(ExchangeId source) const {
  const auto found = from_.find(static_cast<std::uint64_t>(source));
  return found == from_.end() ? kNone : found->second;
}

BindingTable::Slot BindingTable::first_to(Destination destination) const {
  const auto found = to_.find(destination.packed());
  return found == to_.end() ? kNone : found->second;
}

void BindingTable::link(Heads& heads, std::uint64_t id, Slot slot, Link next, Link previous) {
  const auto [head, is_first] = heads.try_emplace(id, slot);
  if (is_first) return;
  records_[slot].*next = head->second;
  records_[head->second].*previous = slot;
  head->second = slot;
}

void BindingTable::unlink(Heads& heads, std::uint64_t id, Slot slot, Link next, Link previous) {
  const Slot before = records_[slot].*previous;
  const Slot after = records_[slot].*next;
  if (after != kNone) records_[after].*previous = before;
  if (before != kNone) {
    records_[before].*next = after;
  } else if (after != kNone) {
    heads.find(id)->second = after;
  } else {
    heads.erase(id);
  }
}

void BindingTable::grow_buckets() {
  constexpr std::size_t kBucketsMin = 16;
  const std::size_t size = buckets_.empty() ? kBucketsMin : buckets_.size() * 2;
  std::vector<Slot> grown(size, kNone);
  for (Slot head : buckets_) {
    while (head != kNone) {
      const Slot next = records_[head].same_bucket;
      Slot& bucket = grown[records_[head].hash & (size - 1)];
      records_[head].same_bucket = bucket;
      bucket = head;
      head = next;
    }
  }
  buckets_ = std::move(grown);
}

}  // namespace harrier::routing
