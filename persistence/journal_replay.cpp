// SPDX-License-Identifier: Apache-2.0
#include "persistence/journal_replay.hpp"

#include <algorithm>
#include <filesystem>
#include <system_error>

#include "persistence/crc32c.hpp"

namespace harrier::persistence {
namespace {

using protocol::ByteView;

constexpr const char* kRemedy =
    "Messages that were confirmed are affected, so nothing is skipped: restore the data directory "
    "from a backup.";

std::string place(const std::string& path, std::uint64_t offset) {
  return path + ", offset " + std::to_string(offset);
}

// Entries begin at pages behind the header; any position in one's payload leads to the next.
JournalPosition entry_boundary(JournalPosition from) {
  if (from == 0) return 0;
  const std::uint64_t offset = std::max(whole_pages(offset_of(from)), kJournalPageBytes);
  return journal_position(segment_of(from), offset);
}

class Replayer {
 public:
  Replayer(const JournalOptions& options, Files& files, bool only_look, JournalPosition from,
           const Journal::Visitor& visit, Replay& report)
      : options_(options),
        files_(files),
        only_look_(only_look),
        from_(entry_boundary(from)),
        visit_(visit),
        report_(report) {}

  Status run(ReplayedJournal& out);

 private:
  Status load();
  Status load_file(std::uint64_t number, const std::string& path);
  Status choose_chain();
  Status follow_back(std::size_t newest, std::optional<JournalPosition>& broken_at);
  Status chain_is_empty();
  Status read_chain();
  Status read_segment(ReplayedSegment& segment, const ReplayedSegment* next);
  Status ended_at(const ReplayedSegment& segment, bool& torn);
  Status find_confirmation(JournalPosition bad, std::optional<std::string>& proof, bool& later);
  Status damaged(const std::string& what, const std::string& proof) const;
  Status sync() const;
  ReplayedSegment* find(std::uint64_t number);
  static ByteView bytes_of(const ReplayedSegment& segment) {
    return segment.file->mapped().first(segment.file->size_at_open());
  }

  const JournalOptions& options_;
  Files& files_;
  const bool only_look_;
  const JournalPosition from_;
  const Journal::Visitor& visit_;
  Replay& report_;

  std::vector<ReplayedSegment> segments_;  // all files, ascending
  std::vector<std::size_t> chain_;         // indexes of those that make up the journal, ascending
  std::optional<JournalId> id_;
  std::uint32_t seed_ = 0;
  JournalPosition end_ = 0;
};

Status Replayer::load() {
  std::vector<std::pair<std::uint64_t, std::string>> found;
  std::error_code error;
  std::filesystem::directory_iterator entry(options_.directory, error);
  for (; !error && entry != std::filesystem::directory_iterator(); entry.increment(error)) {
    const auto number = segment_number(entry->path().filename().string());
    if (!number) continue;  // not ours
    if (*number == 0 || *number >= segment_of(~JournalPosition{0})) {
      return Status::failed(entry->path().string() + ": no journal segment has this number");
    }
    found.emplace_back(*number, entry->path().string());
  }
  if (error) return io_failure("read", options_.directory, error.value());
  std::sort(found.begin(), found.end());
  for (const auto& [number, path] : found) {
    if (Status status = load_file(number, path); !status.ok()) return status;
  }
  if (id_) seed_ = crc32c(*id_);
  return {};
}

Status Replayer::load_file(std::uint64_t number, const std::string& path) {
  ReplayedSegment segment{number, path, std::make_shared<File>(), std::nullopt, 0};
  Status status = only_look_ ? File::open_to_read(files_, path, *segment.file)
                             : File::open(files_, path, false, 0, *segment.file);
  if (!status.ok()) return status;
  const std::uint64_t head = std::min(segment.file->size_at_open(), kJournalPageBytes);
  status = check_readable(segment.file->fd(), path, 0, head);
  if (!status.ok()) return status;
  const ByteView bytes = bytes_of(segment);
  if (const std::uint32_t version = segment_version(bytes); version > kJournalVersion) {
    return Status::failed(path + ": written by a newer version (format " + std::to_string(version) +
                          ", this one reads up to " + std::to_string(kJournalVersion) +
                          "); start that version, or restore a backup that this one made");
  }
  const auto header = decode_segment_header(bytes);
  if (header) {
    if (id_ && *id_ != header->id) {
      return Status::failed(path +
                            ": belongs to another journal than the files before it; "
                            "journals of two data directories have been mixed, restore "
                            "the directory from a backup");
    }
    id_ = header->id;
    // Another number is what a file keeps from before it was recycled: not begun yet.
    if (header->number == number) segment.header = header;
    const std::uint64_t size = segment.file->size_at_open();
    if (segment.header && number >= segment_of(from_) && size < header->written) {
      return Status::failed(path + " is truncated: it has " + std::to_string(size) + " of " +
                            std::to_string(header->written) + " bytes. " + kRemedy);
    }
  }
  segments_.push_back(std::move(segment));
  return {};
}

ReplayedSegment* Replayer::find(std::uint64_t number) {
  const auto found = std::lower_bound(
      segments_.begin(), segments_.end(), number,
      [](const ReplayedSegment& segment, std::uint64_t value) { return segment.number < value; });
  return found != segments_.end() && found->number == number ? &*found : nullptr;
}

Status Replayer::damaged(const std::string& what, const std::string& proof) const {
  return Status::failed("the journal is damaged: " + what + ", though it had been flushed (" +
                        proof + " states so). " + kRemedy);
}

// Is anything at or after `bad` stated to have been flushed? Looks at whatever is valid beyond it,
// part of the chain or not: what was given up earlier states less.
Status Replayer::find_confirmation(JournalPosition bad, std::optional<std::string>& proof,
                                   bool& later) {
  later = false;
  for (const ReplayedSegment& segment : segments_) {
    if (segment.number < segment_of(bad) || !id_) continue;
    if (segment.header && segment.header->flushed > bad) {
      proof = segment.path;
      return {};
    }
    const bool here = segment.number == segment_of(bad);
    std::uint64_t offset = kJournalPageBytes;
    if (here) offset = std::max(offset, offset_of(bad) + kJournalPageBytes);
    const ByteView bytes = bytes_of(segment);
    Status status = check_readable(segment.file->fd(), segment.path, offset, bytes.size());
    if (!status.ok()) return status;
    for (; offset < bytes.size(); offset += kJournalPageBytes) {
      const auto entry = read_entry(bytes, segment.number, offset, seed_);
      if (!entry) continue;
      later = true;
      if (entry->header.flushed <= bad) continue;
      proof = place(segment.path, offset);
      return {};
    }
  }
  return {};
}

// From the newest segment back to the one that holds `from_`.
Status Replayer::follow_back(std::size_t newest, std::optional<JournalPosition>& broken_at) {
  chain_.clear();
  broken_at.reset();
  const ReplayedSegment* segment = &segments_[newest];
  for (;;) {
    chain_.insert(chain_.begin(), static_cast<std::size_t>(segment - segments_.data()));
    const JournalPosition follows = segment->header->follows;
    if (segment->number == segment_of(from_) || follows == from_) return {};
    if (follows < from_) {
      return Status::failed("the journal in " + options_.directory +
                            " does not hold the position that the database "
                            "was saved at (segment " +
                            std::to_string(segment_of(from_)) + ", offset " +
                            std::to_string(offset_of(from_)) +
                            "): the two do not belong together. " + kRemedy);
    }
    const ReplayedSegment* before = find(segment_of(follows));
    if (before == nullptr || !before->header) {
      broken_at = journal_position(segment_of(follows), 0);
      return {};
    }
    segment = before;
  }
}

Status Replayer::choose_chain() {
  for (std::size_t i = segments_.size(); i > 0; --i) {
    const ReplayedSegment& newest = segments_[i - 1];
    if (!newest.header || newest.number < segment_of(from_)) continue;
    std::optional<JournalPosition> broken_at;
    if (Status status = follow_back(i - 1, broken_at); !status.ok()) return status;
    if (!broken_at) return {};
    std::optional<std::string> proof;
    bool later = false;
    if (Status status = find_confirmation(*broken_at, proof, later); !status.ok()) return status;
    const std::string name = segment_name(segment_of(*broken_at));
    if (proof) {
      return damaged(options_.directory + '/' + name + " is missing or has no readable header",
                     *proof);
    }
    report_.torn = place(options_.directory + '/' + name, 0);
  }
  chain_.clear();
  return chain_is_empty();
}

// Nothing to replay. That is so in a new directory, and may be so after power loss without flushes.
Status Replayer::chain_is_empty() {
  const bool any = std::any_of(segments_.begin(), segments_.end(), [this](const auto& segment) {
    return segment.header && segment.number >= segment_of(from_);
  });
  for (const ReplayedSegment& segment : segments_) {
    // The first header of all is on disk before the first entry is written.
    if (!id_ && has_entry_mark(bytes_of(segment), segment.number, kJournalPageBytes)) {
      return damaged(segment.path + " has no readable header", "the entry behind it");
    }
  }
  if (from_ == 0 ? !any : !options_.flush || (options_.may_be_missing && !any)) return {};
  const std::uint64_t wanted = from_ == 0 ? 1 : segment_of(from_);
  return Status::failed("the journal is damaged: " + options_.directory + '/' +
                        segment_name(wanted) +
                        ", where the replay starts, is missing or has no "
                        "readable header. " +
                        kRemedy);
}

// `segment` cannot be read on at its end. Right, if that is the end of the journal.
Status Replayer::ended_at(const ReplayedSegment& segment, bool& torn) {
  const JournalPosition bad = journal_position(segment.number, segment.end);
  std::optional<std::string> proof;
  bool later = false;
  if (Status status = find_confirmation(bad, proof, later); !status.ok()) return status;
  const std::string where = place(segment.path, segment.end);
  if (proof) return damaged("there is no valid entry at " + where, *proof);
  torn = later || has_entry_mark(bytes_of(segment), segment.number, segment.end);
  if (torn) report_.torn = where;
  return {};
}

// Up to where `next` says that it ended, or as far as there are entries.
Status Replayer::read_segment(ReplayedSegment& segment, const ReplayedSegment* next) {
  const ByteView bytes = bytes_of(segment);
  const bool starts_here = segment.number == segment_of(from_);
  segment.end = starts_here ? offset_of(from_) : kJournalPageBytes;
  if (starts_here && options_.flush && segment.end > bytes.size()) {
    return damaged(segment.path + " is too short",
                   "the database, saved at offset " + std::to_string(segment.end) + ",");
  }
  std::optional<std::uint32_t> previous;  // not known where a replay starts in the middle
  if (segment.end == kJournalPageBytes) previous = segment.header->crc;
  const std::uint64_t limit =
      next == nullptr ? segment.header->capacity : offset_of(next->header->follows);
  Status status = check_readable(segment.file->fd(), segment.path, segment.end,
                                 std::min<std::uint64_t>(limit, bytes.size()));
  while (status.ok() && segment.end < limit) {
    const auto entry = read_entry(bytes, segment.number, segment.end, seed_);
    if (!entry || (previous && *previous != entry->header.previous)) break;
    if (entry_disk_bytes(entry->payload.size()) > limit - segment.end) break;
    status = visit_(entry->header.position + kEntryHeaderBytes, entry->payload);
    previous = entry->header.crc;
    segment.end += entry_disk_bytes(entry->payload.size());
    ++report_.entries;
    report_.bytes += entry->payload.size();
  }
  ++report_.segments;
  return status;
}

Status Replayer::read_chain() {
  end_ = from_;
  for (std::size_t i = 0; i < chain_.size(); ++i) {
    ReplayedSegment& segment = segments_[chain_[i]];
    const ReplayedSegment* next = i + 1 < chain_.size() ? &segments_[chain_[i + 1]] : nullptr;
    if (Status status = read_segment(segment, next); !status.ok()) return status;
    end_ = journal_position(segment.number, segment.end);
    if (next != nullptr && end_ == next->header->follows) continue;
    bool torn = false;
    if (Status status = ended_at(segment, torn); !status.ok()) return status;
    chain_.resize(i + 1);  // what follows a torn entry was never confirmed
  }
  return {};
}

// What was replayed counts as flushed from now on, whether or not it was when the process ended.
Status Replayer::sync() const {
  if (!options_.flush || only_look_) return {};
  for (const std::size_t index : chain_) {
    const ReplayedSegment& segment = segments_[index];
    Status status = sync_data(files_, segment.file->fd(), segment.path);
    if (!status.ok()) return status;
  }
  return chain_.empty() ? Status() : sync_directory(files_, options_.directory);
}

Status Replayer::run(ReplayedJournal& out) {
  if (Status status = load(); !status.ok()) return status;
  if (Status status = choose_chain(); !status.ok()) return status;
  if (Status status = read_chain(); !status.ok()) return status;
  if (Status status = sync(); !status.ok()) return status;
  report_.end = end_;
  out.id = id_;
  out.end = end_;
  out.number_max = segment_of(from_);
  for (std::size_t i = 0; i < segments_.size(); ++i) {
    out.number_max = std::max(out.number_max, segments_[i].number);
    const bool used = std::find(chain_.begin(), chain_.end(), i) != chain_.end();
    (used ? out.chain : out.unused).push_back(std::move(segments_[i]));
  }
  return {};
}

}  // namespace

Status replay_journal(const JournalOptions& options, Files& files, JournalPosition from,
                      const Journal::Visitor& visit, ReplayedJournal& out, Replay& report) {
  return Replayer(options, files, false, from, visit, report).run(out);
}

Status read_journal(const JournalOptions& options, JournalPosition from,
                    const Journal::Visitor& visit, ReplayedJournal& out, Replay& report) {
  return Replayer(options, Files::real(), true, from, visit, report).run(out);
}

}  // namespace harrier::persistence
