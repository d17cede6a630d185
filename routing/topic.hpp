// SPDX-License-Identifier: Apache-2.0
//
// TopicMatcher: all binding patterns of one topic exchange as a path-compressed trie over interned
// words. A persistent value: copies share nodes and may be read by any thread; one owner adds and
// removes. Matching runs the trie as an automaton over the words of the key, with every state taken
// up at most once per word, so one pattern costs at most (its words) x (the key's words) whatever
// its wildcards (C-535).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "routing/destination.hpp"
#include "routing/pattern_grammar.hpp"
#include "routing/persistent_map.hpp"
#include "routing/ref.hpp"
#include "routing/scratch_set.hpp"
#include "routing/text.hpp"
#include "routing/topic_node.hpp"

namespace harrier::routing {

// Memory that a match needs and leaves behind for the next one; one per thread.
struct TopicScratch {
  // A place in the trie: `position` words of the node's label have been consumed.
  struct State {
    State(const TopicNode* at, std::uint32_t words, bool hash, TopicNode::Children::Place place)
        : node(at), position(words), below_hash(hash), next(place) {}
    const TopicNode* node;
    std::uint32_t position;
    bool below_hash;                  // may be reached at more than one word of the key
    TopicNode::Children::Place next;  // at the label's end: where the next word's child would be
  };
  std::string key;  // with what KeyWord wants to have behind it
  std::vector<State> current;
  std::vector<State> next;
  std::vector<State> looping;  // behind a '#': once reached, active to the end of the key
  ScratchSet seen;
};

class TopicMatcher {
 public:
  void add(const Pattern& pattern, Destination destination);
  bool remove(const Pattern& pattern, Destination destination);  // false if there is none

  // Appends the destinations of every pattern that matches; one may come more than once.
  // Returns the number of sets appended (DestinationSet::append_to).
  std::size_t match(std::string_view key, TopicScratch& scratch,
                    std::vector<Destination>& out) const;

  bool empty() const { return !root_; }
  std::size_t word_count() const;  // different words in use
  std::size_t node_count() const;

 private:
  friend class TopicMatch;
  // A word is interned: the trie names it by its Text, which this dictionary keeps alive.
  struct Word {
    Ref<Text> text;
    std::uint64_t uses = 0;  // in labels of this version's trie
  };
  struct WordTraits {
    using Entry = Word;
    using Key = std::string_view;
    static std::uint64_t hash(Key key) { return hash_text(key); }
    static Key key(const Entry& entry) { return entry.text->view(); }
    static bool equal(Key a, Key b) { return a == b; }
  };
  using Words = std::array<const Text*, kPatternWordsMax>;

  std::span<const Text* const> intern(const Pattern& pattern, Words& words);
  // Nothing if a word is unknown: then no binding has this pattern.
  std::optional<std::span<const Text* const>> look_up(const Pattern& pattern, Words& words) const;
  void count_uses(std::span<const Text* const> words, bool up);

  PersistentMap<WordTraits> words_;
  Ref<TopicNode> root_;  // null if there are no bindings
};

}  // namespace harrier::routing
