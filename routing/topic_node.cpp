// SPDX-License-Identifier: Apache-2.0
#include "routing/topic_node.hpp"

#include <algorithm>
#include <new>

namespace harrier::routing {

const Text* star_word() {
  static const Ref<Text> word = Text::make("*");
  return word.get();
}

const Text* hash_word() {
  static const Ref<Text> word = Text::make("#");
  return word.get();
}

Ref<TopicNode> TopicNode::make(Label first, Label second) {
  const std::size_t size = first.size() + second.size();
  void* block = ::operator new(sizeof(TopicNode) + size * sizeof(const Text*));
  auto* node = new (block) TopicNode(static_cast<std::uint16_t>(size));
  auto* words = reinterpret_cast<const Text**>(node + 1);
  std::copy(second.begin(), second.end(), std::copy(first.begin(), first.end(), words));
  return Ref<TopicNode>::adopt(node);
}

TopicNode* TopicNode::clone(const TopicNode& node) {
  void* block = ::operator new(sizeof(TopicNode) + node.label_size() * sizeof(const Text*));
  auto* copy = new (block) TopicNode(node.label_size_);
  const Label label = node.label();
  std::copy(label.begin(), label.end(), reinterpret_cast<const Text**>(copy + 1));
  copy->take_content(node);
  return copy;
}

void TopicNode::destroy(TopicNode* node) {
  node->~TopicNode();
  ::operator delete(node);
}

void TopicNode::add_child(Ref<TopicNode> node) {
  const Text* word = node->label().front();
  if (word == star_word()) has_star_ = true;
  if (word == hash_word()) has_hash_ = true;
  children_.insert(std::move(node));
}

void TopicNode::remove_child(const Text* word) {
  if (word == star_word()) has_star_ = false;
  if (word == hash_word()) has_hash_ = false;
  children_.erase(word);
}

void TopicNode::take_content(const TopicNode& other) {
  has_star_ = other.has_star_;
  has_hash_ = other.has_hash_;
  children_ = other.children_;
  destinations = other.destinations;
}

}  // namespace harrier::routing
