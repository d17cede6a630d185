// SPDX-License-Identifier: Apache-2.0
//
// What messages carry beyond their delivery mode, and how the command line writes entries of field
// tables. Values: the command line fills one in, it is part of a workload.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "protocol/field_table.hpp"

namespace harrier::bench {

struct MessageOptions {
  std::uint32_t priorities = 0;  // each has one of 0 ... priorities - 1; 0: none has one
  std::string group_header;      // each has one of `groups` texts in this header; "": none
  std::uint32_t groups = 0;
  std::string expiration;   // milliseconds; "": none
  bool message_id = false;  // a different one for each
  protocol::Table headers;  // the same for all

  // So many kinds of messages keep their order each, and not one with another.
  std::uint32_t classes() const {
    return priorities != 0 ? priorities : group_header.empty() ? 1 : groups;
  }
  friend bool operator==(const MessageOptions&, const MessageOptions&) = default;
};

// NAME=VALUE into `out`: a number is an integer, true and false are what they say, everything else
// is text; "5" in quotes is the text 5. Returns what is wrong, or "".
std::string parse_entry(std::string_view text, protocol::Table& out);

// NAME=COUNT as the group header and the number of its values. Returns what is wrong, or "".
std::string parse_groups(std::string_view text, MessageOptions& out);

// What does not fit together, or "".
std::string check(const MessageOptions& options);

// ", 10 priorities, expiring after 500 ms"
std::string describe(const MessageOptions& options);

}  // namespace harrier::bench
