// SPDX-License-Identifier: Apache-2.0
//
// Matching: the trie of routing/topic.hpp as an automaton that reads the key word by word.
//
// A state is a place in the trie. Being a tree, it has one way into each place, so a place is
// reached at most once per word of the key; the exception are places behind a '#', which stay
// active. Those are kept apart (`looping`) and taken up once: while no '#' lies above there is only
// one word of the key at which they can be reached, below a '#' the set `seen` tells.
//
// In a large trie most of the time goes into waiting for memory. So where the next word of the key
// leads is looked up, and asked for, when a state is reached (`aim`), which is before the states
// that are still to read this word do so.
#include <array>
#include <utility>

#include "routing/topic.hpp"

namespace harrier::routing {

using namespace std::string_view_literals;

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
    constexpr std::string_view kEnd = ".\0\0\0\0\0\0\0"sv;
    scratch_.key.assign(key).append(kEnd);
    rest_ = scratch_.key.data();
    end_ = rest_ + key.size();
    more_ = !key.empty();  // the empty key has no words (C-531)
    if (more_) read_ahead();
    reach(matcher_.root_.get(), 0, false);
    scratch_.current.swap(scratch_.next);
    while (more_ && !(scratch_.current.empty() && scratch_.looping.empty())) {
      std::swap(word_, next_word_);
      more_ = rest_ <= end_;
      if (more_) read_ahead();
      consume_word();
    }
    for (const State& state : scratch_.current) emit_if_complete(state);
    for (const State& state : scratch_.looping) emit_if_complete(state);
    return sets_;
  }

 private:
  using State = TopicScratch::State;
  using Place = TopicNode::Children::Place;
  // States are handed on by value: what has just been written in pieces is slow to read as a whole.

  void emit_if_complete(const State& state) {
    if (state.position == state.node->label_size()) {
      sets_ += state.node->destinations.append_to(out_);
    }
  }

  // A word ends at each '.' and at the end.
  void read_ahead() {
    next_word_->read(rest_);
    rest_ += next_word_->size() + 1;
  }

  void consume_word() {
    scratch_.next.clear();
    // What this word adds to `looping` begins to read at the next word.
    const std::size_t looping = scratch_.looping.size();
    for (const State& state : scratch_.current) {
      consume(state.node, state.position, state.below_hash, state.next);
    }
    for (std::size_t i = 0; i < looping; ++i) {
      State& state = scratch_.looping[i];
      const TopicNode* node = state.node;
      const std::uint32_t position = state.position;
      const Place place = std::exchange(state.next, aim(node, position));
      consume(node, position, state.below_hash, place);
    }
    scratch_.current.swap(scratch_.next);
  }

  void consume(const TopicNode* node, std::uint32_t position, bool below_hash, Place place) {
    if (position < node->label_size()) {
      const Text* wanted = node->label()[position];
      if (wanted == star_word_ || (wanted != hash_word_ && word_->is(wanted))) {
        reach(node, position + 1, below_hash);
      }
      return;
    }
    if (node->has_star()) reach_child(node->child(star_word_, kStarHash), below_hash);
    reach_child(TopicNode::child_at(place, *word_), below_hash);
  }

  // Where the next word leads from there.
  Place aim(const TopicNode* node, std::uint32_t position) const {
    if (!more_) return {};
    if (position == node->label_size()) return node->place_of(*next_word_);
    __builtin_prefetch(node->label()[position]);
    return {};
  }

  void reach_child(const TopicNode* child, bool below_hash) {
    if (child != nullptr) reach(child, 1, below_hash);
  }

  void reach(const TopicNode* node, std::uint32_t position, bool below_hash) {
    const bool reads_a_word =
        position == node->label_size() || node->label()[position] != hash_word_;
    if (reads_a_word) scratch_.next.emplace_back(node, position, below_hash, aim(node, position));
    pass_hash(node, position, below_hash);
  }

  // A '#' that comes next may stand for no word at all.
  void pass_hash(const TopicNode* node, std::uint32_t position, bool below_hash) {
    if (position < node->label_size()) {
      if (node->label()[position] != hash_word_) return;
      reach_behind_hash(node, position + 1, below_hash);
      return;
    }
    if (!node->has_hash()) return;
    if (const TopicNode* child = node->child(hash_word_, kHashHash)) {
      reach_behind_hash(child, 1, below_hash);
    }
  }

  void reach_behind_hash(const TopicNode* node, std::uint32_t position, bool was_below_hash) {
    if (was_below_hash && !scratch_.seen.insert(identity(node, position))) return;
    if (position == node->label_size() && node->is_leaf()) {
      // It matches whatever follows, and nothing else can come of it.
      sets_ += node->destinations.append_to(out_);
      return;
    }
    scratch_.looping.emplace_back(node, position, true, aim(node, position));
    pass_hash(node, position, true);
  }

  static std::uint64_t identity(const TopicNode* node, std::uint32_t position) {
    static_assert(kPatternWordsMax < 512);
    return reinterpret_cast<std::uintptr_t>(node) << 9 | position;
  }

  static constexpr std::uint64_t kStarHash = hash_loaded('*', 1);
  static constexpr std::uint64_t kHashHash = hash_loaded('#', 1);

  const TopicMatcher& matcher_;
  TopicScratch& scratch_;
  std::vector<Destination>& out_;
  std::size_t sets_ = 0;
  const char* rest_ = nullptr;  // of the key, behind the next word and the '.' that ends it
  const char* end_ = nullptr;   // of the key: the last '.'
  std::array<KeyWord, 2> words_;
  KeyWord* word_ = &words_[0];       // the one that is being read
  KeyWord* next_word_ = &words_[1];  // if there is one more
  bool more_ = false;                // whether there is
  const Text* const star_word_ = star_word();
  const Text* const hash_word_ = hash_word();
};

std::size_t TopicMatcher::match(std::string_view key, TopicScratch& scratch,
                                std::vector<Destination>& out) const {
  return root_ ? TopicMatch(*this, scratch, out).run(key) : 0;
}

}  // namespace harrier::routing
