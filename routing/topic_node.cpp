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

namespace {

// How many of 8 bytes lie before the first '.'; 8 if there is none.
std::size_t bytes_before_dot(std::uint64_t bytes) {
  const std::uint64_t dots = bytes_equal_to('.', bytes);
  return dots == 0 ? kWordBytes : byte_of(dots);
}

}  // namespace

void KeyWord::read(const char* begin) {
  begin_ = begin;
  head_ = load_word(begin);
  size_ = bytes_before_dot(head_);
  if (size_ < kWordBytes) {
    head_ &= (std::uint64_t{1} << 8 * size_) - 1;
    hash_ = hash_loaded(head_, size_);
  } else {
    measure_long();
  }
}

void KeyWord::measure_long() {
  for (std::size_t more = kWordBytes; more == kWordBytes; size_ += more) {
    more = bytes_before_dot(load_word(begin_ + size_));
  }
  if (size_ <= kLoadedMax) tail_ = load_bytes(begin_ + kWordBytes, size_ - kWordBytes);
  hash_ = hash_text(text());
}

bool TopicNode::is_long_word(const KeyWord& word) const {
  const Text* front = label().front();
  return front->view() == word.text() && front != star_word() && front != hash_word();
}

TopicNode* TopicNode::allocate(std::size_t label_size, std::uint8_t first_size) {
  const std::size_t words = words_of(first_size) + label_size;
  static_assert(sizeof(const Text*) == sizeof(std::uint64_t));
  void* block = ::operator new(sizeof(TopicNode) + words * sizeof(std::uint64_t));
  return new (block) TopicNode(label_size, first_size);
}

Ref<TopicNode> TopicNode::make(Label first, Label second) {
  const std::size_t size = first.size() + second.size();
  std::string_view kept;
  std::uint8_t kept_size = kElsewhere;
  if (size > 0) {
    const Text* front = first.empty() ? second.front() : first.front();
    const bool is_short = front->view().size() <= KeyWord::kLoadedMax;
    if (is_short && front != star_word() && front != hash_word()) {
      kept = front->view();
      kept_size = static_cast<std::uint8_t>(kept.size());
    }
  }
  TopicNode* node = allocate(size, kept_size);
  std::fill_n(node->first_word(), words_of(kept_size), 0);
  std::copy(kept.begin(), kept.end(), reinterpret_cast<char*>(node->first_word()));
  std::copy(second.begin(), second.end(),
            std::copy(first.begin(), first.end(), node->label_begin()));
  return Ref<TopicNode>::adopt(node);
}

TopicNode* TopicNode::clone(const TopicNode& node) {
  TopicNode* copy = allocate(node.label_size(), node.first_size_);
  const Label label = node.label();
  std::copy_n(node.first_word(), words_of(node.first_size_), copy->first_word());
  std::copy(label.begin(), label.end(), copy->label_begin());
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
