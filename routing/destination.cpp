// SPDX-License-Identifier: Apache-2.0
#include "routing/destination.hpp"

namespace harrier::routing {

DestinationSet::DestinationSet(const DestinationSet& other) : bits_(other.bits_) {
  if (is_many()) many()->retain();
}

DestinationSet::~DestinationSet() {
  if (is_many() && many()->release()) delete many();
}

std::size_t DestinationSet::size() const {
  if (is_many()) return many()->size;
  return empty() ? 0 : 1;
}

bool DestinationSet::contains(Destination destination) const {
  if (is_many()) return many()->counts.find(destination) != nullptr;
  return is_one() && one() == destination;
}

DestinationSet::Many& DestinationSet::edit_many() {
  if (!many()->is_unique()) {
    Many* copy = Many::clone(*many());
    if (many()->release()) delete many();
    bits_ = reinterpret_cast<std::uintptr_t>(copy);
  }
  return *many();
}

void DestinationSet::add(Destination destination) {
  if (empty()) {
    bits_ = destination.packed() << 1 | 1;
    return;
  }
  if (is_one()) {
    Many* made = new Many;
    made->counts.insert({one(), 1});
    made->size = 1;
    bits_ = reinterpret_cast<std::uintptr_t>(made);
  }
  Many& set = edit_many();
  if (Count* count = set.counts.edit(destination)) {
    ++count->bindings;
  } else {
    set.counts.insert({destination, 1});
    ++set.size;
  }
}

bool DestinationSet::remove(Destination destination) {
  if (!contains(destination)) return false;
  if (is_one()) {
    bits_ = 0;
    return true;
  }
  Many& set = edit_many();
  if (--set.counts.edit(destination)->bindings == 0) {
    set.counts.erase(destination);
    --set.size;
  }
  const Count* last = set.counts.single();
  if (last != nullptr && last->bindings == 1) {
    const Destination kept = last->destination;
    delete many();
    bits_ = kept.packed() << 1 | 1;
  }
  return true;
}

std::size_t DestinationSet::append_to(std::vector<Destination>& out) const {
  if (is_one()) {
    out.push_back(one());
  } else if (is_many()) {
    many()->counts.for_each([&out](const Count& count) { out.push_back(count.destination); });
  }
  return empty() ? 0 : 1;
}

}  // namespace harrier::routing
