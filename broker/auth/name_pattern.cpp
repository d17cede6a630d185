// SPDX-License-Identifier: Apache-2.0
#include "broker/auth/name_pattern.hpp"

#include <array>
#include <cstdint>
#include <utility>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

namespace harrier::broker {
namespace {

// A name has at most 255 bytes; an honest pattern stays far below these.
constexpr std::uint32_t kMatchLimit = 100'000;
constexpr std::uint32_t kHeapLimitKiB = 1'024;

struct FreeMatch {
  void operator()(pcre2_match_data* data) const { pcre2_match_data_free(data); }
};
struct FreeContext {
  void operator()(pcre2_match_context* context) const { pcre2_match_context_free(context); }
};

PCRE2_SPTR octets(std::string_view text) { return reinterpret_cast<PCRE2_SPTR>(text.data()); }

}  // namespace

struct NamePattern::Compiled {
  explicit Compiled(pcre2_code* made) : code(made) {
    context.reset(pcre2_match_context_create(nullptr));
    pcre2_set_match_limit(context.get(), kMatchLimit);
    pcre2_set_heap_limit(context.get(), kHeapLimitKiB);
  }
  Compiled(const Compiled&) = delete;
  Compiled& operator=(const Compiled&) = delete;
  ~Compiled() { pcre2_code_free(code); }

  pcre2_code* const code;
  std::unique_ptr<pcre2_match_context, FreeContext> context;
};

std::variant<NamePattern, PatternFault> NamePattern::parse(std::string_view pattern) {
  NamePattern made;
  made.text_ = pattern;
  made.matches_all_ = pattern == ".*" || pattern == "^.*";
  if (pattern.empty() || made.matches_all_) return made;
  int error = 0;
  PCRE2_SIZE offset = 0;
  pcre2_code* const code =
      pcre2_compile(octets(pattern), pattern.size(), PCRE2_NEVER_BACKSLASH_C | PCRE2_DOLLAR_ENDONLY,
                    &error, &offset, nullptr);
  if (code == nullptr) {
    std::array<PCRE2_UCHAR, 256> text{};
    pcre2_get_error_message(error, text.data(), text.size());
    return PatternFault{offset, reinterpret_cast<const char*>(text.data())};
  }
  made.compiled_ = std::make_shared<const Compiled>(code);
  return made;
}

bool NamePattern::matches(std::string_view name) const {
  if (matches_all_) return true;
  if (!compiled_) return name.empty();
  const std::unique_ptr<pcre2_match_data, FreeMatch> found(pcre2_match_data_create(1, nullptr));
  return pcre2_match(compiled_->code, octets(name), name.size(), 0, 0, found.get(),
                     compiled_->context.get()) >= 0;
}

}  // namespace harrier::broker
