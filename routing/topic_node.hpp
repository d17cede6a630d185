// SPDX-License-Identifier: Apache-2.0
//
// TopicNode: one node of the trie of routing/topic.hpp; immutable once shared. The label is the run
// of words on the edge that leads to the node, stored behind it; only the root's is empty. A node
// that is not the root has destinations or at least two children, or it is joined with its child.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "routing/destination.hpp"
#include "routing/persistent_map.hpp"
#include "routing/ref.hpp"
#include "routing/text.hpp"

namespace harrier::routing {

// The wildcards as words of labels: interned for ever, known by their address.
const Text* star_word();
const Text* hash_word();
// A key may have a word that looks like a wildcard.
inline bool is_word(const Text* label, std::string_view word) {
  return label->view() == word && label != star_word() && label != hash_word();
}

class TopicNode : public RefCounted {
 public:
  using Label = std::span<const Text* const>;

  struct ChildTraits {
    using Entry = Ref<TopicNode>;
    using Key = const Text*;
    static std::uint64_t hash(Key key) { return hash_text(key->view()); }
    static Key key(const Entry& entry) { return entry->label().front(); }
    static bool equal(Key a, Key b) { return a == b; }
  };

  static Ref<TopicNode> make(Label first, Label second = {});
  static TopicNode* clone(const TopicNode& node);
  static void destroy(TopicNode* node);

  Label label() const {
    return {reinterpret_cast<const Text* const*>(this + 1), static_cast<std::size_t>(label_size_)};
  }
  std::uint32_t label_size() const { return label_size_; }

  bool has_star() const { return has_star_; }  // a child whose label starts with '*'
  bool has_hash() const { return has_hash_; }
  bool is_leaf() const { return children_.empty(); }
  const TopicNode* child(const Text* word, std::uint64_t hash) const {
    const Ref<TopicNode>* found = children_.find(word, hash);
    return found == nullptr ? nullptr : found->get();
  }
  // The child behind a word that is no wildcard.
  const TopicNode* child(std::string_view word, std::uint64_t hash) const {
    const Ref<TopicNode>* found = children_.find_where(
        hash, [word](const Ref<TopicNode>& node) { return is_word(node->label().front(), word); });
    return found == nullptr ? nullptr : found->get();
  }
  const TopicNode* child(const Text* word) const { return child(word, ChildTraits::hash(word)); }
  const Ref<TopicNode>* only_child() const { return children_.single(); }
  template <class Visit>
  void for_each_child(Visit&& visit) const {
    children_.for_each([&visit](const Ref<TopicNode>& node) { visit(*node); });
  }

  void add_child(Ref<TopicNode> node);
  void remove_child(const Text* word);
  Ref<TopicNode>* edit_child(const Text* word) { return children_.edit(word); }

  // Takes over what hangs on `other`, whose label ends where this one's does.
  void take_content(const TopicNode& other);

  DestinationSet destinations;

 private:
  explicit TopicNode(std::uint16_t label_size) : label_size_(label_size) {}

  std::uint16_t label_size_;  // at most 256 words
  bool has_star_ = false;
  bool has_hash_ = false;
  PersistentMap<ChildTraits> children_;
};

}  // namespace harrier::routing
