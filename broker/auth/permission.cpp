// SPDX-License-Identifier: Apache-2.0
#include "broker/auth/permission.hpp"

namespace harrier::broker {
namespace {

bool is_word(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
         static_cast<unsigned char>(c) >= 0x80;
}

std::string literally(std::string_view text) {
  std::string pattern;
  for (const char c : text) {
    if (!is_word(c)) pattern += '\\';
    pattern += c;
  }
  return pattern;
}

void replace_all(std::string& text, std::string_view what, const std::string& by) {
  for (std::size_t at = text.find(what); at != std::string::npos; at = text.find(what, at)) {
    text.replace(at, what.size(), by);
    at += by.size();
  }
}

}  // namespace

std::string_view name(Right right) {
  switch (right) {
    case Right::Configure:
      return "configure";
    case Right::Write:
      return "write";
    case Right::Read:
      return "read";
  }
  return "";
}

const NamePattern& Permission::of(Right right) const {
  switch (right) {
    case Right::Configure:
      return configure;
    case Right::Write:
      return write;
    case Right::Read:
      break;
  }
  return read;
}

bool Permission::allows_everything() const {
  return configure.matches_all() && write.matches_all() && read.matches_all() && topics.empty();
}

std::string expand_topic_pattern(std::string_view pattern, std::string_view user,
                                 std::string_view vhost) {
  std::string expanded(pattern);
  replace_all(expanded, "{username}", literally(user));
  replace_all(expanded, "{vhost}", literally(vhost));
  return expanded;
}

}  // namespace harrier::broker
