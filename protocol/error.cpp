// SPDX-License-Identifier: Apache-2.0
#include "protocol/error.hpp"

#include <cstdio>
#include <cstdlib>

#include "protocol/check.hpp"
#include "protocol/methods.hpp"
#include "protocol/utf8.hpp"

namespace harrier::protocol {
namespace {

constexpr std::size_t kShortStringMax = 255;

const ReplyCodeEntry* find_code(ReplyCode code) {
  for (const ReplyCodeEntry& entry : kReplyCodes) {
    if (entry.code == code) return &entry;
  }
  return nullptr;
}

// 255 bytes may end inside a character; strict clients refuse a reply text that is not UTF-8.
std::size_t cut_before_character(std::string_view text, std::size_t size) {
  std::size_t start = size;
  while (start > 0 && size - start < 3 &&
         (static_cast<unsigned char>(text[start]) & 0xC0u) == 0x80u) {
    --start;
  }
  const bool inside = start < size && (static_cast<unsigned char>(text[start]) & 0xC0u) == 0xC0u;
  return inside ? start : size;
}

}  // namespace

std::string_view name(ReplyCode code) {
  const ReplyCodeEntry* entry = find_code(code);
  return entry != nullptr ? entry->name : std::string_view("UNKNOWN");
}

bool is_hard(ReplyCode code) {
  const ReplyCodeEntry* entry = find_code(code);
  return entry == nullptr || entry->hard;
}

std::string reply_text(ReplyCode code, std::string_view explanation) {
  std::string text(name(code));
  if (!explanation.empty()) {
    text += " - ";
    text += explanation;
  }
  // It quotes names, and those of basic.publish may be any bytes (C-085); clients read a text.
  if (!is_utf8(text)) {
    for (char& c : text) c = (static_cast<unsigned char>(c) & 0x80u) != 0 ? '?' : c;
  }
  if (text.size() > kShortStringMax) text.resize(cut_before_character(text, kShortStringMax));
  return text;
}

void check_failed(const char* condition, const char* file, int line) {
  std::fprintf(stderr, "harrier: internal check failed: %s (%s:%d)\n", condition, file, line);
  std::abort();
}

}  // namespace harrier::protocol
