// SPDX-License-Identifier: Apache-2.0
#include "routing/direct.hpp"

namespace harrier::routing {

void DirectMatcher::add(const Ref<Text>& key, Destination destination) {
  if (KeyEntry* entry = keys_.edit(key->view())) {
    entry->destinations.add(destination);
    return;
  }
  KeyEntry entry{key, {}};
  entry.destinations.add(destination);
  keys_.insert(std::move(entry));
}

bool DirectMatcher::remove(std::string_view key, Destination destination) {
  const KeyEntry* known = keys_.find(key);
  if (known == nullptr || !known->destinations.contains(destination)) return false;
  KeyEntry* entry = keys_.edit(key);
  entry->destinations.remove(destination);
  if (entry->destinations.empty()) keys_.erase(key);
  return true;
}

std::size_t DirectMatcher::match(std::string_view key, std::vector<Destination>& out) const {
  const KeyEntry* entry = keys_.find(key);
  return entry == nullptr ? 0 : entry->destinations.append_to(out);
}

}  // namespace harrier::routing
