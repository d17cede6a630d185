// SPDX-License-Identifier: Apache-2.0
//
// NamePattern: a regular expression on names, as operators write them in permissions and policies:
// of the PCRE flavour, searched unanchored (C-558). A value: copies share the compiled form, which
// never changes, so any thread may match. Names come from clients, so the work of one match is
// bounded; what would take more counts as no match.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

namespace harrier::broker {

struct PatternFault {
  std::size_t offset = 0;  // in the pattern
  std::string text;
};

class NamePattern {
 public:
  NamePattern() = default;  // matches the empty name only, as an empty pattern does

  static std::variant<NamePattern, PatternFault> parse(std::string_view pattern);

  bool matches(std::string_view name) const;
  bool matches_all() const { return matches_all_; }  // known without looking at a name
  const std::string& text() const { return text_; }

  friend bool operator==(const NamePattern& a, const NamePattern& b) { return a.text_ == b.text_; }

 private:
  struct Compiled;
  std::string text_;
  bool matches_all_ = false;
  std::shared_ptr<const Compiled> compiled_;  // null: without need
};

}  // namespace harrier::broker
