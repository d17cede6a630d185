// SPDX-License-Identifier: Apache-2.0
#include "broker/core/stream_offsets.hpp"

#include <algorithm>
#include <charconv>
#include <tuple>
#include <utility>

#include "protocol/bytes.hpp"

namespace harrier::broker {

namespace {

constexpr std::size_t kValueBytes = 17;

std::string name_of(QueueId queue, const std::string& tag) {
  return std::string(kStreamOffsetPrefix) + std::to_string(static_cast<std::uint64_t>(queue)) +
         ':' + tag;
}

std::uint64_t read_u64(const std::uint8_t* bytes) {
  std::uint64_t number = 0;
  for (int i = 0; i < 8; ++i) number = number << 8 | bytes[i];
  return number;
}

}  // namespace

std::optional<StreamOffsets::Name> StreamOffsets::parse_name(std::string_view name) {
  if (!name.starts_with(kStreamOffsetPrefix)) return std::nullopt;
  name.remove_prefix(kStreamOffsetPrefix.size());
  std::uint64_t id = 0;
  const char* const end = name.data() + name.size();
  const auto parsed = std::from_chars(name.data(), end, id);
  if (parsed.ec != std::errc{} || parsed.ptr == end || *parsed.ptr != ':') return std::nullopt;
  return Name{QueueId{id}, std::string(parsed.ptr + 1, end)};
}

bool StreamOffsets::restore(std::string tag, const persistence::Bytes& value) {
  if (value.size() != kValueBytes) return false;
  Known known;
  known.next = read_u64(value.data());
  known.moved_ms = static_cast<Millis>(read_u64(value.data() + 8));
  known.asked_for = value[16] != 0;
  known.stored = true;
  known_.insert_or_assign(std::move(tag), known);
  return true;
}

std::optional<Seq> StreamOffsets::find(const std::string& tag) const {
  const auto at = known_.find(tag);
  if (at == known_.end()) return std::nullopt;
  return at->second.next;
}

bool StreamOffsets::note(QueueId queue, const std::string& tag, Seq next, bool asked_for,
                         Outlet& outlet) {
  auto at = known_.find(tag);
  if (at == known_.end()) {
    if (known_.size() >= kTagsMax) make_room(queue, outlet);
    at = known_.emplace(tag, Known{}).first;
  }
  Known& known = at->second;
  // Two of one tag: how far the first of them has come counts.
  if (next <= known.next) return false;
  known.next = next;
  known.moved_ms = outlet.unix_ms();
  known.asked_for = known.asked_for || asked_for;
  changed_.insert(tag);
  return !std::exchange(known.changed, true);
}

void StreamOffsets::make_room(QueueId queue, Outlet& outlet) {
  const auto age = [](const auto& entry) {
    return std::tuple(entry.second.asked_for, entry.second.moved_ms);
  };
  const auto oldest = std::ranges::min_element(known_, {}, age);
  changed_.erase(oldest->first);
  if (oldest->second.stored) {
    outlet.record(
        persistence::Forget{persistence::Kind::Counter, "", name_of(queue, oldest->first)});
  }
  known_.erase(oldest);
}

void StreamOffsets::write(QueueId queue, Outlet& outlet) {
  for (const std::string& tag : std::exchange(changed_, {})) {
    Known& known = known_.at(tag);
    known.changed = false;
    known.stored = true;
    persistence::Bytes value(kValueBytes);
    std::uint8_t* out = protocol::put_u64(value.data(), known.next);
    out = protocol::put_u64(out, static_cast<std::uint64_t>(known.moved_ms));
    protocol::put_u8(out, known.asked_for ? 1 : 0);
    outlet.record(
        persistence::Define{persistence::Kind::Counter, "", name_of(queue, tag), std::move(value)});
  }
}

void StreamOffsets::forget_all(QueueId queue, Outlet& outlet) {
  for (const auto& [tag, known] : known_) {
    if (known.stored)
      outlet.record(persistence::Forget{persistence::Kind::Counter, "", name_of(queue, tag)});
  }
  known_.clear();
  changed_.clear();
}

}  // namespace harrier::broker
