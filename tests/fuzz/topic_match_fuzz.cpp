// SPDX-License-Identifier: Apache-2.0
//
// Differential fuzzing of the topic trie against the naive matcher. The input is lines:
//   "+" pattern   bind it to a queue of its own
//   "-" pattern   remove it again, if it is there
//   "="           take a copy, which must answer the same from then on
//   other         a routing key: trie and naive matcher must agree
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <map>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "routing/pattern_grammar.hpp"
#include "routing/topic.hpp"
#include "tests/unit/routing/naive_topic.hpp"

namespace {

using harrier::routing::Destination;
using harrier::routing::Pattern;
using harrier::routing::QueueId;
using harrier::routing::TopicMatcher;

// Bounds the time of one input: the naive matcher walks every pattern.
constexpr std::size_t kPatternsMax = 200;
constexpr std::size_t kKeysMax = 200;

struct State {
  TopicMatcher matcher;
  std::map<std::string, std::uint64_t> patterns;  // bound, with their queue
};

void require(bool condition) {
  if (!condition) std::abort();
}

void compare(const State& state, std::string_view key) {
  static harrier::routing::TopicScratch scratch;
  std::vector<Destination> out;
  state.matcher.match(key, scratch, out);
  std::vector<std::uint64_t> found;
  found.reserve(out.size());
  for (const Destination destination : out) {
    found.push_back(static_cast<std::uint64_t>(destination.queue()));
  }
  std::sort(found.begin(), found.end());
  found.erase(std::unique(found.begin(), found.end()), found.end());
  std::vector<std::uint64_t> expected;
  for (const auto& [pattern, queue] : state.patterns) {
    if (harrier::routing_tests::naive_match(pattern, key)) expected.push_back(queue);
  }
  std::sort(expected.begin(), expected.end());
  require(found == expected);
}

void change(State& state, char what, const std::string& text, std::uint64_t queue) {
  const auto parsed = harrier::routing::parse_pattern(text);
  const auto* pattern = std::get_if<Pattern>(&parsed);
  if (pattern == nullptr) return;
  const auto known = state.patterns.find(text);
  if (what == '-') {
    const std::uint64_t bound = known == state.patterns.end() ? queue : known->second;
    const bool removed = state.matcher.remove(*pattern, Destination(QueueId{bound}));
    require(removed == (known != state.patterns.end()));
    if (removed) state.patterns.erase(known);
  } else if (known == state.patterns.end() && state.patterns.size() < kPatternsMax) {
    state.matcher.add(*pattern, Destination(QueueId{queue}));
    state.patterns.emplace(text, queue);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::string_view input(reinterpret_cast<const char*>(data), size);
  State state;
  State copy;
  std::vector<std::string> keys;
  for (std::uint64_t line_number = 0; !input.empty(); ++line_number) {
    const std::size_t end = std::min(input.find('\n'), input.size());
    const std::string line(input.substr(0, end));
    input.remove_prefix(std::min(end + 1, input.size()));
    if (line == "=") {
      copy = state;
    } else if (line.starts_with('+') || line.starts_with('-')) {
      change(state, line[0], line.substr(1), line_number);
    } else if (keys.size() < kKeysMax) {
      keys.push_back(line.substr(0, harrier::routing::kPatternBytesMax));
      compare(state, keys.back());
    }
  }
  for (const std::string& key : keys) {
    compare(state, key);
    compare(copy, key);
  }
  for (const auto& [text, queue] : std::map(state.patterns)) change(state, '-', text, queue);
  require(state.matcher.empty() && state.matcher.word_count() == 0);
  for (const std::string& key : keys) compare(copy, key);
  return 0;
}
