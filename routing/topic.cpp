// SPDX-License-Identifier: Apache-2.0
#include "routing/topic.hpp"

#include <algorithm>

#include "protocol/check.hpp"

namespace harrier::routing {

using Kind = PatternWord::Kind;
using Label = TopicNode::Label;

namespace {

std::size_t common_prefix(Label a, Label b) {
  const auto ends = std::mismatch(a.begin(), a.end(), b.begin(), b.end());
  return static_cast<std::size_t>(ends.first - a.begin());
}

Ref<TopicNode> make_leaf(Label label, Destination destination) {
  Ref<TopicNode> leaf = TopicNode::make(label);
  leaf.edit().destinations.add(destination);
  return leaf;
}

// Cuts the node in `slot` in two behind `size` words of its label.
void split(Ref<TopicNode>& slot, std::size_t size) {
  Ref<TopicNode> lower = TopicNode::make(slot->label().subspan(size));
  lower.edit().take_content(*slot);
  Ref<TopicNode> upper = TopicNode::make(slot->label().first(size));
  upper.edit().add_child(std::move(lower));
  slot = std::move(upper);
}

// Precondition: the label of the node in `slot` and `words` start alike, or the node is the root.
// Returns how many words, at the end of `words`, got into a new label.
std::size_t insert(Ref<TopicNode>& slot, Label words, Destination destination) {
  const std::size_t common = common_prefix(slot->label(), words);
  if (common < slot->label_size()) split(slot, common);
  TopicNode& node = slot.edit();
  const Label rest = words.subspan(common);
  if (rest.empty()) {
    node.destinations.add(destination);
    return 0;
  }
  if (Ref<TopicNode>* child = node.edit_child(rest.front())) {
    return insert(*child, rest, destination);
  }
  node.add_child(make_leaf(rest, destination));
  return rest.size();
}

const TopicNode* find(const TopicNode* node, Label words) {
  while (node != nullptr) {
    if (common_prefix(node->label(), words) < node->label_size()) return nullptr;
    words = words.subspan(node->label_size());
    if (words.empty()) return node;
    node = node->child(words.front());
  }
  return nullptr;
}

struct Erased {
  bool node_gone = false;          // the slot is to be taken out of its parent
  std::size_t words_released = 0;  // at the end of the pattern
};

// Precondition: the pattern has that destination below `slot`.
Erased erase(Ref<TopicNode>& slot, Label words, Destination destination) {
  TopicNode& node = slot.edit();
  const Label rest = words.subspan(node.label_size());
  Erased erased;
  if (rest.empty()) {
    node.destinations.remove(destination);
  } else {
    Ref<TopicNode>* child = node.edit_child(rest.front());
    erased = erase(*child, rest, destination);
    if (erased.node_gone) node.remove_child(rest.front());
    erased.node_gone = false;
  }
  const bool is_root = node.label_size() == 0;
  if (!node.destinations.empty()) return erased;
  if (node.is_leaf()) {
    erased.node_gone = true;
    // Words are released with the label that holds them; the root's children held theirs.
    if (!is_root) erased.words_released = node.label_size();
  } else if (const Ref<TopicNode>* only = node.only_child(); only != nullptr && !is_root) {
    Ref<TopicNode> joined = TopicNode::make(node.label(), (*only)->label());
    joined.edit().take_content(**only);
    slot = std::move(joined);
  }
  return erased;
}

}  // namespace

Label TopicMatcher::intern(const Pattern& pattern, Words& words) {
  std::size_t size = 0;
  for (const PatternWord& word : pattern.words) {
    const Text*& place = words.at(size++);
    if (word.kind == Kind::Star) {
      place = star_word();
    } else if (word.kind == Kind::Hash) {
      place = hash_word();
    } else if (const Word* known = words_.find(word.text)) {
      place = known->text.get();
    } else {
      Ref<Text> text = Text::make(word.text);
      place = text.get();
      words_.insert({std::move(text), 0});
    }
  }
  return {words.data(), size};
}

std::optional<Label> TopicMatcher::look_up(const Pattern& pattern, Words& words) const {
  std::size_t size = 0;
  for (const PatternWord& word : pattern.words) {
    const Text*& place = words.at(size++);
    if (word.kind == Kind::Star) {
      place = star_word();
    } else if (word.kind == Kind::Hash) {
      place = hash_word();
    } else if (const Word* known = words_.find(word.text)) {
      place = known->text.get();
    } else {
      return std::nullopt;
    }
  }
  return Label{words.data(), size};
}

void TopicMatcher::count_uses(Label words, bool up) {
  for (const Text* text : words) {
    if (text == star_word() || text == hash_word()) continue;
    Word* word = words_.edit(text->view());
    HARRIER_CHECK(word != nullptr && (up || word->uses > 0));
    word->uses = up ? word->uses + 1 : word->uses - 1;
    if (word->uses == 0) words_.erase(Ref<Text>(word->text)->view());
  }
}

void TopicMatcher::add(const Pattern& pattern, Destination destination) {
  Words memory;
  const Label words = intern(pattern, memory);
  if (!root_) root_ = TopicNode::make({});
  const std::size_t added = insert(root_, words, destination);
  count_uses(words.last(added), true);
}

bool TopicMatcher::remove(const Pattern& pattern, Destination destination) {
  Words memory;
  const std::optional<Label> words = look_up(pattern, memory);
  if (!words) return false;
  const TopicNode* node = find(root_.get(), *words);
  if (node == nullptr || !node->destinations.contains(destination)) return false;
  const Erased erased = erase(root_, *words, destination);
  if (erased.node_gone) root_ = {};
  count_uses(words->last(erased.words_released), false);
  return true;
}

std::size_t TopicMatcher::word_count() const {
  std::size_t count = 0;
  words_.for_each([&count](const Word&) { ++count; });
  return count;
}

namespace {

std::size_t nodes_from(const TopicNode& node) {
  std::size_t count = 1;
  node.for_each_child([&count](const TopicNode& child) { count += nodes_from(child); });
  return count;
}

}  // namespace

std::size_t TopicMatcher::node_count() const { return root_ ? nodes_from(*root_) : 0; }

}  // namespace harrier::routing
