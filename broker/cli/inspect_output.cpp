// SPDX-License-Identifier: Apache-2.0
#include "broker/cli/inspect_output.hpp"

#include <algorithm>
#include <array>
#include <cstdio>
#include <map>
#include <string_view>

#include <nlohmann/json.hpp>

namespace harrier::broker {
namespace {

using persistence::Define;
using persistence::Inspection;
using persistence::Kind;
using Json = nlohmann::ordered_json;

constexpr std::array<std::string_view, 10> kKindNames = {
    "unknown", "vhost",      "exchange", "queue",     "binding",
    "user",    "permission", "policy",   "parameter", "counter"};

std::string_view name_of(Kind kind) {
  const auto at = static_cast<std::size_t>(kind);
  return at < kKindNames.size() ? kKindNames[at] : kKindNames[0];
}

using KindCounts = std::map<std::string, std::map<Kind, std::uint64_t>>;  // by vhost

KindCounts count_kinds(const std::vector<Define>& definitions) {
  KindCounts counts;
  for (const Define& definition : definitions) ++counts[definition.vhost][definition.kind];
  return counts;
}

std::string hexadecimal(std::uint64_t number) {
  std::array<char, 20> text{};
  std::snprintf(text.data(), text.size(), "%016llx", static_cast<unsigned long long>(number));
  return text.data();
}

std::string printable(std::string_view text) {
  std::string out;
  for (const char each : text) {
    const auto byte = static_cast<unsigned char>(each);
    if (byte >= 0x20 && byte != 0x7f) {
      out += each;
      continue;
    }
    std::array<char, 5> escaped{};
    std::snprintf(escaped.data(), escaped.size(), "\\x%02x", static_cast<unsigned>(byte));
    out += escaped.data();
  }
  return out;
}

std::string_view verdict(const Inspection& found) {
  if (!found.damage.empty()) return "damaged";
  return found.verified ? "sound" : "sound, as far as was looked (--verify reads everything)";
}

std::string plural(std::uint64_t count, std::string_view one, std::string_view many) {
  return std::to_string(count) + ' ' + std::string(count == 1 ? one : many);
}

void print_journal(const Inspection& found, std::ostream& out) {
  if (found.journal_files == 0 && found.journal_read) {
    out << "journal      none\n";
    return;
  }
  out << "journal      ";
  if (found.journal_format != 0) out << "format " << found.journal_format << ", ";
  out << plural(found.journal_files, "file", "files") << " of " << size_text(found.journal_bytes)
      << '\n';
  if (!found.journal_read) {
    out << "             cannot be replayed; what follows is as of the last checkpoint\n";
    return;
  }
  const persistence::Replay& replay = found.replay;
  out << "             to replay: " << plural(replay.entries, "entry", "entries") << ", "
      << size_text(replay.bytes) << "; ends at " << position_text(replay.end) << '\n';
  if (replay.torn) {
    out << "             with an entry that a crash cut off, never confirmed: " << *replay.torn
        << '\n';
  }
}

void print_definitions(const Inspection& found, std::ostream& out) {
  const KindCounts counts = count_kinds(found.definitions);
  if (counts.empty()) out << "definitions  none\n";
  for (const auto& [vhost, kinds] : counts) {
    out << "definitions  " << (vhost.empty() ? "of no vhost" : "vhost " + printable(vhost)) << ':';
    const char* comma = " ";
    for (const auto& [kind, count] : kinds) {
      out << comma << name_of(kind) << ' ' << count;
      comma = ", ";
    }
    out << '\n';
  }
}

void print_queues(const Inspection& found, std::ostream& out) {
  if (found.queues.empty()) return;
  out << "\n    messages         bytes       seq-max    id  queue\n";
  for (const Inspection::Queue& queue : found.queues) {
    std::array<char, 96> numbers{};
    const auto wide = [](auto number) { return static_cast<unsigned long long>(number); };
    std::snprintf(numbers.data(), numbers.size(), "%12llu  %12llu  %12llu  %4llu  ",
                  wide(queue.messages), wide(queue.bytes), wide(queue.seq_max), wide(queue.id));
    out << numbers.data()
        << (queue.defined ? printable(queue.name) + "  (vhost " + printable(queue.vhost) + ")"
                          : "without a definition, dropped at the next start")
        << '\n';
  }
}

Json queue_json(const Inspection::Queue& queue) {
  Json out;
  out["vhost"] = queue.defined ? Json(queue.vhost) : Json();
  out["name"] = queue.defined ? Json(queue.name) : Json();
  out["id"] = static_cast<std::uint64_t>(queue.id);
  out["messages"] = queue.messages;
  out["bytes"] = queue.bytes;
  out["seq_max"] = queue.seq_max;
  return out;
}

Json position_json(persistence::JournalPosition position) {
  return {{"segment", persistence::segment_of(position)},
          {"offset", persistence::offset_of(position)}};
}

Json image_json(const Inspection& found) {
  const persistence::Image::Stats& image = found.image;
  return {{"format", found.image_format},
          {"store", hexadecimal(found.meta.store)},
          {"journal_position", position_json(found.meta.journal)},
          {"clean", found.meta.clean},
          {"next_content", found.meta.next_content},
          {"file_bytes", image.file_bytes},
          {"page_bytes", image.page_bytes},
          {"pages", image.pages},
          {"free_pages", image.free_pages},
          {"message_rows", image.message_rows},
          {"contents", image.contents},
          {"parts", image.parts},
          {"garbage_ranges", image.garbage}};
}

Json journal_json(const Inspection& found) {
  Json out = {{"format", found.journal_format},
              {"files", found.journal_files},
              {"file_bytes", found.journal_bytes},
              {"readable", found.journal_read}};
  if (!found.journal_read) return out;
  out["entries"] = found.replay.entries;
  out["entry_bytes"] = found.replay.bytes;
  out["segments"] = found.replay.segments;
  out["end"] = position_json(found.replay.end);
  out["torn"] = found.replay.torn ? Json(*found.replay.torn) : Json();
  return out;
}

}  // namespace

std::string size_text(std::uint64_t bytes) {
  static constexpr std::array<const char*, 5> kUnits = {"KiB", "MiB", "GiB", "TiB", "PiB"};
  if (bytes < 1024) return std::to_string(bytes) + " bytes";
  auto size = static_cast<double>(bytes) / 1024;
  std::size_t unit = 0;
  for (; size >= 1024 && unit + 1 < kUnits.size(); ++unit) size /= 1024;
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), "%.1f %s", size, kUnits[unit]);
  return text.data();
}

std::string position_text(persistence::JournalPosition position) {
  return "segment " + std::to_string(persistence::segment_of(position)) + ", offset " +
         std::to_string(persistence::offset_of(position));
}

void print_text(const std::string& directory, const Inspection& found, std::ostream& out) {
  out << directory << ": " << verdict(found) << '\n';
  if (!found.image_read) return;
  const persistence::Image::Stats& image = found.image;
  out << "stopped      "
      << (found.clean ? "in order" : "not in order: messages may be delivered again") << '\n'
      << "image        format " << found.image_format << ", " << size_text(image.file_bytes) << ", "
      << plural(image.pages, "page", "pages") << " of " << image.page_bytes << " bytes, "
      << image.free_pages << " of them free\n"
      << "             saved at " << position_text(found.meta.journal) << ", store "
      << (found.meta.store == 0 ? "none yet (new, or a copy)" : hexadecimal(found.meta.store))
      << '\n'
      << "             " << plural(image.message_rows, "row", "rows") << " of messages, "
      << plural(image.contents, "content", "contents") << " in "
      << plural(image.parts, "part", "parts") << ", " << plural(image.garbage, "range", "ranges")
      << " of garbage\n";
  print_journal(found, out);
  print_definitions(found, out);
  print_queues(found, out);
}

void print_json(const std::string& directory, const Inspection& found, std::ostream& out) {
  Json json;
  json["directory"] = directory;
  json["sound"] = found.damage.empty();
  json["verified"] = found.verified;
  json["damage"] = found.damage;
  if (found.image_read) {
    json["clean"] = found.clean;
    json["image"] = image_json(found);
    json["journal"] = journal_json(found);
    json["definitions"] = Json::array();
    for (const auto& [vhost, kinds] : count_kinds(found.definitions)) {
      Json counts;
      counts["vhost"] = vhost;
      for (const auto& [kind, count] : kinds) counts[std::string(name_of(kind))] = count;
      json["definitions"].push_back(std::move(counts));
    }
    json["queues"] = Json::array();
    for (const Inspection::Queue& queue : found.queues) json["queues"].push_back(queue_json(queue));
  }
  out << json.dump(2, ' ', false, Json::error_handler_t::replace) << '\n';
}

}  // namespace harrier::broker
