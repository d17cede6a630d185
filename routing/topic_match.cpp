// SPDX-License-Identifier: Apache-2.0
//
// Matching: the trie of routing/topic.hpp as an automaton that reads the key word by word.
//
// A state is a place in the trie. Being a tree, it has one way into each place, so a place is
// reached at most once per word of the key; the exception are places behind a '#', which stay
// active. Those are kept apart (`looping`) and taken up once: while no '#' lies above there is only
// one word of the key at which they can be reached, below a '#' the set `seen` tells.
#include <algorithm>

#include "routing/topic.hpp"

namespace harrier::routing {

class TopicMatch {
 public:
  TopicMatch(const TopicMatcher& matcher, TopicScratch& scratch, std::vector<Destination>& out)
      : matcher_(matcher), scratch_(scratch), out_(out) {
    scratch.current.clear();
    scratch.next.clear();
    scratch.looping.clear();
    scratch.seen.clear();
  }

  std::size_t run(std::string_view key) {
    reach({matcher_.root_.get(), 0, false});
    scratch_.current.swap(scratch_.next);
    // The empty key has no words (C-531); otherwise a word ends at each '.' and at the end.
    for (std::size_t begin = 0; !key.empty() && begin <= key.size();) {
      if (scratch_.current.empty() && scratch_.looping.empty()) break;
      const std::size_t end = std::min(key.find('.', begin), key.size());
      read_word(key.substr(begin, end - begin));
      begin = end + 1;
    }
    for (const State& state : scratch_.current) emit_if_complete(state);
    for (const State& state : scratch_.looping) emit_if_complete(state);
    return sets_;
  }

 private:
  using State = TopicScratch::State;

  static bool at_end_of_label(const State& state) {
    return state.position == state.node->label_size();
  }

  void emit_if_complete(const State& state) {
    if (at_end_of_label(state)) sets_ += state.node->destinations.append_to(out_);
  }

  void read_word(std::string_view text) {
    const std::uint64_t hash = hash_text(text);
    scratch_.next.clear();
    // What this word adds to `looping` begins to read at the next word.
    const std::size_t looping = scratch_.looping.size();
    for (const State& state : scratch_.current) consume(state, text, hash);
    for (std::size_t i = 0; i < looping; ++i) {
      const State state = scratch_.looping[i];
      consume(state, text, hash);
    }
    scratch_.current.swap(scratch_.next);
  }

  void consume(const State& state, std::string_view word, std::uint64_t hash) {
    const TopicNode& node = *state.node;
    if (!at_end_of_label(state)) {
      const Text* wanted = node.label()[state.position];
      if (wanted == star_word_ || (wanted != hash_word_ && wanted->view() == word)) {
        reach({&node, state.position + 1, state.below_hash});
      }
      return;
    }
    if (node.has_star()) reach_child(node.child(star_word_, star_hash_), state.below_hash);
    reach_child(node.child(word, hash), state.below_hash);
  }

  void reach_child(const TopicNode* child, bool below_hash) {
    if (child != nullptr) reach({child, 1, below_hash});
  }

  void reach(const State& state) {
    const bool reads_a_word =
        at_end_of_label(state) || state.node->label()[state.position] != hash_word_;
    if (reads_a_word) scratch_.next.push_back(state);
    pass_hash(state);
  }

  // A '#' that comes next may stand for no word at all.
  void pass_hash(const State& state) {
    if (!at_end_of_label(state)) {
      if (state.node->label()[state.position] != hash_word_) return;
      reach_behind_hash({state.node, state.position + 1, true}, state.below_hash);
      return;
    }
    if (!state.node->has_hash()) return;
    if (const TopicNode* child = state.node->child(hash_word_, hash_hash_)) {
      reach_behind_hash({child, 1, true}, state.below_hash);
    }
  }

  void reach_behind_hash(const State& state, bool was_below_hash) {
    if (was_below_hash && !scratch_.seen.insert(identity(state))) return;
    if (at_end_of_label(state) && state.node->is_leaf()) {
      // It matches whatever follows, and nothing else can come of it.
      sets_ += state.node->destinations.append_to(out_);
      return;
    }
    scratch_.looping.push_back(state);
    pass_hash(state);
  }

  static std::uint64_t identity(const State& state) {
    static_assert(kPatternWordsMax < 512);
    return reinterpret_cast<std::uintptr_t>(state.node) << 9 | state.position;
  }

  const TopicMatcher& matcher_;
  TopicScratch& scratch_;
  std::vector<Destination>& out_;
  std::size_t sets_ = 0;
  const Text* const star_word_ = star_word();
  const Text* const hash_word_ = hash_word();
  // Known at compile time in all but name.
  const std::uint64_t star_hash_ = TopicNode::ChildTraits::hash(star_word_);
  const std::uint64_t hash_hash_ = TopicNode::ChildTraits::hash(hash_word_);
};

std::size_t TopicMatcher::match(std::string_view key, TopicScratch& scratch,
                                std::vector<Destination>& out) const {
  return root_ ? TopicMatch(*this, scratch, out).run(key) : 0;
}

}  // namespace harrier::routing
