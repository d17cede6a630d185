// SPDX-License-Identifier: Apache-2.0
//
// StreamOffsets: how far the consumers of one stream have come, by consumer tag, so that one that
// comes back goes on where it was, also after a restart. A value inside its stream. What changes
// in a turn is written once at its end, into the write batch of the acknowledgements. At most
// kTagsMax tags are known; then the one that has not moved for the longest time is forgotten, and
// those that nobody asked to track before all others.
//
// In the store: a Counter named stream-offset:<queue id>:<tag> with
//   value = next:u64 moved-at:i64 asked-for:u8      next: position of the next message, from 1
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>

#include "broker/core/ids.hpp"
#include "broker/core/outlet.hpp"

namespace harrier::broker {

inline constexpr std::string_view kStreamOffsetPrefix = "stream-offset:";

class StreamOffsets {
 public:
  static constexpr std::size_t kTagsMax = 1'000;

  // Which queue's and which tag's a Counter of the prefix is; nullopt: none.
  struct Name {
    QueueId queue{};
    std::string tag;
  };
  static std::optional<Name> parse_name(std::string_view name);
  // False if the value is not one.
  bool restore(std::string tag, const persistence::Bytes& value);

  std::optional<Seq> find(const std::string& tag) const;
  // True if it must be written before the turn's batch goes.
  bool note(QueueId queue, const std::string& tag, Seq next, bool asked_for, Outlet& outlet);
  void write(QueueId queue, Outlet& outlet);
  void forget_all(QueueId queue, Outlet& outlet);
  std::size_t size() const { return known_.size(); }

 private:
  struct Known {
    Seq next = 0;
    Millis moved_ms = 0;
    bool asked_for = false;
    bool changed = false;
    bool stored = false;
  };
  void make_room(QueueId queue, Outlet& outlet);

  std::map<std::string, Known> known_;
  std::set<std::string> changed_;
};

}  // namespace harrier::broker
