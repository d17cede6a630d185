// SPDX-License-Identifier: Apache-2.0
//
// Permission: what one user may do in one virtual host (section 10): a pattern on names for each
// right, and for some exchanges of type topic patterns on routing keys. A value, immutable once
// shared; any thread may ask.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "broker/auth/name_pattern.hpp"

namespace harrier::broker {

enum class Right : std::uint8_t { Configure, Write, Read };
std::string_view name(Right right);  // "configure"

struct TopicPermission {
  NamePattern write;
  NamePattern read;
  friend bool operator==(const TopicPermission&, const TopicPermission&) = default;
};

struct Permission {
  NamePattern configure;
  NamePattern write;
  NamePattern read;
  std::map<std::string, TopicPermission, std::less<>> topics;  // by exchange; none: any key

  const NamePattern& of(Right right) const;
  bool allows_everything() const;
  friend bool operator==(const Permission&, const Permission&) = default;
};

using PermissionPtr = std::shared_ptr<const Permission>;

// A topic pattern with `{username}` and `{vhost}` in place, taken literally (C-562).
std::string expand_topic_pattern(std::string_view pattern, std::string_view user,
                                 std::string_view vhost);

}  // namespace harrier::broker
