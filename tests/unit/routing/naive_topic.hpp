// SPDX-License-Identifier: Apache-2.0
//
// The reference that the trie is compared with: section 9.1 of the rules word by word, one pattern
// at a time, as a table over (words of the pattern) x (words of the key). Shares no code with
// routing/.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace harrier::routing_tests {

inline std::vector<std::string> naive_words(std::string_view text) {
  std::vector<std::string> words;
  if (text.empty()) return words;
  words.emplace_back();
  for (const char byte : text) {
    if (byte == '.') {
      words.emplace_back();
    } else {
      words.back() += byte;
    }
  }
  return words;
}

inline bool naive_match(std::string_view pattern_text, std::string_view key_text) {
  const std::vector<std::string> pattern = naive_words(pattern_text);
  const std::vector<std::string> key = naive_words(key_text);
  // matches[k]: the words of the pattern so far match the first k words of the key.
  std::vector<bool> matches(key.size() + 1, false);
  matches[0] = true;
  for (const std::string& word : pattern) {
    std::vector<bool> next(key.size() + 1, false);
    for (std::size_t k = 0; k <= key.size(); ++k) {
      if (word == "#") {
        next[k] = matches[k] || (k > 0 && next[k - 1]);
      } else {
        next[k] = k > 0 && matches[k - 1] && (word == "*" || word == key[k - 1]);
      }
    }
    matches = next;
  }
  return matches[key.size()];
}

}  // namespace harrier::routing_tests
