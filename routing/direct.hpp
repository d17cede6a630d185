// SPDX-License-Identifier: Apache-2.0
//
// DirectMatcher: destinations by byte-equal routing key (C-194). A persistent value. The key's text
// is shared with the registry's record of the binding.
#pragma once

#include <cstddef>
#include <string_view>
#include <vector>

#include "routing/destination.hpp"
#include "routing/persistent_map.hpp"
#include "routing/ref.hpp"
#include "routing/text.hpp"

namespace harrier::routing {

class DirectMatcher {
 public:
  void add(const Ref<Text>& key, Destination destination);
  bool remove(std::string_view key, Destination destination);  // false if there is none
  std::size_t match(std::string_view key, std::vector<Destination>& out) const;
  bool empty() const { return keys_.empty(); }

 private:
  struct KeyEntry {
    Ref<Text> key;
    DestinationSet destinations;
  };
  struct KeyTraits {
    using Entry = KeyEntry;
    using Key = std::string_view;
    static std::uint64_t hash(Key key) { return hash_text(key); }
    static Key key(const Entry& entry) { return entry.key->view(); }
    static bool equal(Key a, Key b) { return a == b; }
  };

  PersistentMap<KeyTraits> keys_;
};

}  // namespace harrier::routing
