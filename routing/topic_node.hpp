// SPDX-License-Identifier: Apache-2.0
//
// TopicNode: one node of the trie of routing/topic.hpp; immutable once shared. The label is the run
// of words on the edge that leads to the node, stored behind it; only the root's is empty. A node
// that is not the root has destinations or at least two children, or it is joined with its child.
// The characters of the label's first word lie in the node too, unless it is long or a wildcard, so
// that whoever looks for a child reads the node and nothing else.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "routing/destination.hpp"
#include "routing/persistent_map.hpp"
#include "routing/ref.hpp"
#include "routing/text.hpp"

namespace harrier::routing {

// The wildcards as words of labels: interned for ever, known by their address.
const Text* star_word();
const Text* hash_word();
// A word of a routing key, with all that nodes want to know of it.
class KeyWord {
 public:
  // The word that begins at `begin` and ends before the next '.', which must be there and must be
  // followed by 7 bytes that can be read. With few branches: words are short, and their lengths
  // hard to foretell.
  void read(const char* begin);

  std::string_view text() const { return {begin_, size_}; }
  std::size_t size() const { return size_; }
  std::uint64_t hash() const { return hash_; }  // hash_text()
  std::uint64_t head() const { return head_; }  // bytes 0 to 7
  std::uint64_t tail() const { return tail_; }  // bytes 8 to 15, of a word that has no more
  bool is(const Text* other) const {
    if (other->size() != size_) return false;
    return size_ <= sizeof head_ ? size_ == 0 || other->head() == head_ : other->view() == text();
  }

  static constexpr std::size_t kLoadedMax = 16;  // longer ones have no tail

 private:
  void measure_long();

  const char* begin_ = nullptr;
  std::size_t size_ = 0;
  std::uint64_t hash_ = 0;
  std::uint64_t head_ = 0;
  std::uint64_t tail_ = 0;
};

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
  using Children = PersistentMap<ChildTraits>;

  static Ref<TopicNode> make(Label first, Label second = {});
  static TopicNode* clone(const TopicNode& node);
  static void destroy(TopicNode* node);

  Label label() const {
    return {reinterpret_cast<const Text* const*>(first_word() + first_words_),
            static_cast<std::size_t>(label_size_)};
  }
  std::uint32_t label_size() const { return label_size_; }
  // False if the label starts with a wildcard.
  bool starts_with(const KeyWord& word) const {
    if (first_size_ == kElsewhere) return is_long_word(word);
    return first_size_ == word.size() && (first_words_ < 1 || first_word()[0] == word.head()) &&
           (first_words_ < 2 || first_word()[1] == word.tail());
  }

  bool has_star() const { return has_star_; }  // a child whose label starts with '*'
  bool has_hash() const { return has_hash_; }
  bool is_leaf() const { return children_.empty(); }
  const TopicNode* child(const Text* word, std::uint64_t hash) const {
    const Ref<TopicNode>* found = children_.find(word, hash);
    return found == nullptr ? nullptr : found->get();
  }
  const TopicNode* child(const Text* word) const { return child(word, ChildTraits::hash(word)); }
  // The child behind a word that is no wildcard, in two halves (PersistentMap::place_of).
  Children::Place place_of(const KeyWord& word) const { return children_.place_of(word.hash()); }
  static const TopicNode* child_at(Children::Place place, const KeyWord& word) {
    const Ref<TopicNode>* found =
        Children::find_at(place, word.hash(),
                          [&word](const Ref<TopicNode>& node) { return node->starts_with(word); });
    return found == nullptr ? nullptr : found->get();
  }
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

 private:
  static constexpr std::uint8_t kElsewhere = 0xff;

  TopicNode(std::size_t label_size, std::uint8_t first_size)
      : label_size_(static_cast<std::uint16_t>(label_size)),
        first_size_(first_size),
        first_words_(words_of(first_size) & 3U) {}
  bool is_long_word(const KeyWord& word) const;
  // What lies behind the object is left raw.
  static TopicNode* allocate(std::size_t label_size, std::uint8_t first_size);

  // Machine words that so many characters take, between the object and the label.
  static constexpr unsigned words_of(std::uint8_t first_size) {
    return first_size == kElsewhere ? 0U : (first_size + 7U) / 8U;
  }
  std::uint64_t* first_word() { return reinterpret_cast<std::uint64_t*>(this + 1); }
  const std::uint64_t* first_word() const {
    return reinterpret_cast<const std::uint64_t*>(this + 1);
  }
  const Text** label_begin() { return reinterpret_cast<const Text**>(first_word() + first_words_); }

  std::uint16_t label_size_;      // at most 256 words
  std::uint8_t first_size_;       // characters of the first word, if they are here
  std::uint8_t first_words_ : 2;  // words_of() that
  bool has_star_ : 1 = false;
  bool has_hash_ : 1 = false;

 public:
  DestinationSet destinations;

 private:
  Children children_;
};
static_assert(sizeof(TopicNode) == 3 * sizeof(std::uint64_t), "every binding has one");

}  // namespace harrier::routing
