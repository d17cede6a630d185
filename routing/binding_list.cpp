// SPDX-License-Identifier: Apache-2.0
#include "routing/binding_list.hpp"

#include <algorithm>

namespace harrier::routing {

bool BindingList::before(const Entry& a, const Entry& b) {
  if (a.name_hash != b.name_hash) return a.name_hash < b.name_hash;
  return a.destination.packed() < b.destination.packed();
}

void BindingList::add(Destination destination, std::uint64_t name_hash) {
  if (!block_) block_ = Ref<Block>::adopt(new Block);
  std::vector<Entry>& entries = block_.edit().entries;
  const Entry entry{name_hash, destination};
  entries.insert(std::upper_bound(entries.begin(), entries.end(), entry, before), entry);
}

bool BindingList::remove(Destination destination, std::uint64_t name_hash) {
  if (!block_) return false;
  const Entry wanted{name_hash, destination};
  const std::vector<Entry>& known = block_->entries;
  const auto found = std::lower_bound(known.begin(), known.end(), wanted, before);
  if (found == known.end() || found->destination != destination) return false;
  const auto index = found - known.begin();
  if (known.size() == 1) {
    block_ = {};
    return true;
  }
  std::vector<Entry>& entries = block_.edit().entries;
  entries.erase(entries.begin() + index);
  return true;
}

std::size_t BindingList::pick(std::uint64_t number, std::vector<Destination>& out) const {
  if (empty()) return 0;
  out.push_back(at(static_cast<std::size_t>(number % size())));
  return 1;
}

}  // namespace harrier::routing
