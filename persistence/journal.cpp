// SPDX-License-Identifier: Apache-2.0
#include "persistence/journal.hpp"

#include <sys/random.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <utility>

#include "persistence/crc32c.hpp"
#include "persistence/journal_replay.hpp"
#include "protocol/check.hpp"

namespace harrier::persistence {
namespace {

using protocol::ByteView;

// Small enough that a flush of the journal that runs meanwhile does not wait long for the device.
constexpr std::uint64_t kAheadPieceBytes = std::uint64_t{256} * 1024;
constexpr int kAheadRest = 4;  // times as long as the piece took
constexpr std::uint64_t kZeroBytes = std::uint64_t{64} * 1024;
constexpr std::array<std::uint8_t, kZeroBytes> kZeros{};

iovec part_of(const std::uint8_t* data, std::size_t size) {
  return {const_cast<std::uint8_t*>(data), size};  // pwritev() only reads
}

Status random_id(JournalId& out) {
  for (std::size_t done = 0; done < out.size();) {
    const ssize_t got = ::getrandom(out.data() + done, out.size() - done, 0);
    if (got < 0 && errno != EINTR) return io_failure("read", "random bytes", errno);
    if (got > 0) done += static_cast<std::size_t>(got);
  }
  return {};
}

}  // namespace

struct Journal::Segment {
  std::uint64_t number = 0;
  std::string path;
  std::uint64_t capacity = 0;
  bool ahead = false;  // its blocks are on disk already
  bool recycled = false;
  std::shared_ptr<File> file;
  std::atomic<std::uint64_t> end{kJournalPageBytes};
};

std::string Journal::path_of(std::uint64_t number) const {
  return options_.directory + '/' + segment_name(number);
}

Status Journal::open(const JournalOptions& options, JournalPosition from, const Visitor& visit,
                     std::unique_ptr<Journal>& out, Replay& report) {
  const std::uint64_t bytes = options.segment_bytes;
  if (bytes < 2 * kJournalPageBytes || bytes > kSegmentBytesMax || bytes % kJournalPageBytes != 0) {
    return Status::failed("journal segments of " + std::to_string(bytes) +
                          " bytes: it must be a multiple of 4096 from 8192 to 4294963200");
  }
  Files& files = options.files != nullptr ? *options.files : Files::real();
  ReplayedJournal replayed;
  Status status = replay_journal(options, files, from, visit, replayed, report);
  if (!status.ok()) return status;

  std::unique_ptr<Journal> journal(new Journal(options, files));
  if (replayed.id) {
    journal->id_ = *replayed.id;
  } else {
    status = random_id(journal->id_);
    if (!status.ok()) return status;
  }
  journal->seed_ = crc32c(journal->id_);
  journal->number_max_ = replayed.number_max;
  journal->end_ = replayed.end;
  journal->flushed_ = options.flush ? replayed.end : 0;
  const auto segment_from = [](ReplayedSegment& found, std::uint64_t capacity) {
    auto segment = std::make_shared<Segment>();
    segment->number = found.number;
    segment->path = found.path;
    segment->capacity = capacity;
    segment->file = found.file;
    segment->end = found.end;
    return segment;
  };
  for (ReplayedSegment& found : replayed.chain) {
    journal->live_[found.number] = segment_from(found, found.header->capacity);
  }
  for (ReplayedSegment& found : replayed.unused) {
    journal->free_.push_back(segment_from(found, found.file->size_at_open()));
  }
  status = journal->begin_first_segment();
  if (!status.ok()) return status;
  status = journal->delete_surplus();
  if (!status.ok()) return status;
  out = std::move(journal);
  return {};
}

// Its header is on disk when open() returns: it says where the replay ended, so that what a crash
// left behind that place can never come back.
Status Journal::begin_first_segment() {
  Status status = begin_segment(options_.segment_bytes);
  if (!status.ok()) return status;
  const JournalPage page = encode(*header_);
  parts_ = {part_of(page.data(), page.size())};
  status = write_all(files_, current_->file->fd(), current_->path, parts_, 0);
  if (status.ok()) status = sync_data(files_, current_->file->fd(), current_->path);
  if (!status.ok()) return status;
  previous_ = header_->crc;
  header_.reset();
  end_ = journal_position(current_->number, kJournalPageBytes);
  if (options_.flush) flushed_ = end_;
  live_[current_->number] = current_;
  ++stats_.segments;
  if (current_->recycled) ++stats_.recycled;
  if (!current_->ahead) ++stats_.grown;
  return {};
}

// A failure of any kind but a full disk ends this journal.
Status Journal::latch(Status status) {
  if (!status.ok() && !status.is_full()) failure_ = status;
  return status;
}

Status Journal::append(std::span<const ByteView> pieces, JournalPosition& payload_at) {
  if (!failure_.ok()) return failure_;
  std::uint64_t size = 0;
  for (const ByteView piece : pieces) size += piece.size();
  if (size > kEntryPayloadBytesMax) {
    return Status::failed("a journal entry of " + std::to_string(size) + " bytes is too large");
  }
  const std::uint64_t disk_bytes = entry_disk_bytes(size);
  if (Status status = make_room(disk_bytes); !status.ok()) return latch(std::move(status));

  const std::uint64_t offset = current_->end;
  JournalPage page;
  parts_.clear();
  if (header_) {
    page = encode(*header_);
    parts_.push_back(part_of(page.data(), page.size()));
  }
  EntryHeader entry{0, static_cast<std::uint32_t>(size), header_ ? header_->crc : previous_,
                    journal_position(current_->number, offset), flushed_};
  const EntryHeaderBytes head = encode(entry, seed_, pieces);
  parts_.push_back(part_of(head.data(), head.size()));
  for (const ByteView piece : pieces) {
    if (!piece.empty()) parts_.push_back(part_of(piece.data(), piece.size()));
  }
  const std::uint64_t padding = disk_bytes - kEntryHeaderBytes - size;
  if (padding > 0) parts_.push_back(part_of(kZeros.data(), padding));
  if (dirty_.empty() || dirty_.back() != current_) dirty_.push_back(current_);
  Status status =
      write_all(files_, current_->file->fd(), current_->path, parts_, header_ ? 0 : offset);
  if (!status.ok()) return latch(std::move(status));

  previous_ = entry.crc;
  payload_at = entry.position + kEntryHeaderBytes;
  current_->end = offset + disk_bytes;
  const std::lock_guard lock(mutex_);
  if (header_) {
    header_.reset();
    live_[current_->number] = current_;
    ++stats_.segments;
    if (current_->recycled) ++stats_.recycled;
    if (!current_->ahead) ++stats_.grown;
  }
  ++stats_.entries;
  stats_.payload_bytes += size;
  stats_.disk_bytes += disk_bytes;
  end_.store(journal_position(current_->number, current_->end), std::memory_order_release);
  return {};
}

// A segment that grows as it is written is left as soon as one that does not is ready.
Status Journal::make_room(std::uint64_t disk_bytes) {
  const bool fits = disk_bytes <= current_->capacity - current_->end;
  if (fits && current_->ahead) return {};
  if (fits && disk_bytes <= options_.segment_bytes - kJournalPageBytes) {
    const std::lock_guard lock(mutex_);
    if (!next_) return {};
  } else if (fits) {
    return {};
  }
  return begin_segment(std::max(options_.segment_bytes, kJournalPageBytes + disk_bytes));
}

// The segment's header is written with its first entry. Until then the one before may be all there
// is of it: a disk that is full leaves it for the next attempt, or for later use.
Status Journal::begin_segment(std::uint64_t capacity) {
  SegmentPtr segment;
  if (capacity == options_.segment_bytes) {
    const std::lock_guard lock(mutex_);
    segment = std::move(next_);
    next_.reset();
  }
  if (!segment) {
    if (Status status = make_segment(capacity, segment); !status.ok()) return status;
  }
  SegmentHeader header;
  header.number = segment->number;
  header.capacity = segment->capacity;
  header.follows = end_;
  header.flushed = flushed_;
  header.id = id_;
  if (options_.flush && segment->ahead) header.written = segment->capacity;
  {
    const std::lock_guard lock(mutex_);
    if (header_) free_.push_back(current_);
    current_number_ = segment->number;
    if (next_ && next_->number < current_number_) free_.push_back(std::move(next_));
  }
  if (header_) std::erase(dirty_, current_);
  header_ = header;
  current_ = std::move(segment);
  return {};
}

Status Journal::flush() {
  if (!failure_.ok()) return failure_;
  if (!options_.flush) dirty_.clear();
  if (dirty_.empty()) return {};
  const JournalPosition end = end_;
  for (const SegmentPtr& segment : dirty_) {
    Status status = sync_data(files_, segment->file->fd(), segment->path);
    // What a failed flush leaves on disk is unknown, for a full one too.
    if (!status.ok()) return failure_ = Status::failed(status.error());
  }
  dirty_.clear();
  flushed_ = end;
  const std::lock_guard lock(mutex_);
  ++stats_.flushes;
  return {};
}

// A file for later use that nobody reads any more, the longest first.
Journal::SegmentPtr Journal::take_free(std::uint64_t capacity) {
  const std::lock_guard lock(mutex_);
  SegmentPtr* best = nullptr;
  for (SegmentPtr& segment : free_) {
    if (segment.use_count() > 1 || segment->capacity > capacity) continue;
    if (best == nullptr || segment->capacity > (*best)->capacity) best = &segment;
  }
  if (best == nullptr) return nullptr;
  SegmentPtr taken = std::move(*best);
  free_.erase(free_.begin() + (best - free_.data()));
  return taken;
}

// The name is on disk before the content is: entries of a number in a file that gets its old name
// back after a power loss could come to life when the number is given again.
Status Journal::make_segment(std::uint64_t capacity, SegmentPtr& out) {
  auto segment = std::make_shared<Segment>();
  segment->capacity = capacity;
  {
    const std::lock_guard lock(mutex_);
    segment->number = ++number_max_;
  }
  HARRIER_CHECK(segment->number < segment_of(~JournalPosition{0}));
  segment->path = path_of(segment->number);
  SegmentPtr old = capacity == options_.segment_bytes ? take_free(capacity) : nullptr;
  if (old != nullptr && files_.rename(old->path.c_str(), segment->path.c_str()) != 0) {
    Status status = io_failure("rename", old->path, errno);
    const std::lock_guard lock(mutex_);
    free_.push_back(std::move(old));
    return status;
  }
  segment->recycled = old != nullptr;
  old.reset();
  segment->file = std::make_shared<File>();
  Status status = File::open(files_, segment->path, !segment->recycled, capacity, *segment->file);
  if (!status.ok()) return status;
  status = sync_directory(files_, options_.directory);
  if (!status.ok()) return status;
  segment->ahead = segment->file->size_at_open() >= capacity;
  out = std::move(segment);
  return {};
}

// Unless the segment in use, `ready` bytes of the next one being so, may need that soon.
void Journal::rest(std::chrono::nanoseconds time, std::uint64_t ready) {
  const JournalPosition end = this->end();
  std::unique_lock lock(mutex_);
  const auto current = live_.find(segment_of(end));
  if (current == live_.end() || !current->second->ahead || offset_of(end) >= ready) return;
  ended_.wait_for(lock, time, [this] { return ends_; });
}

void Journal::end_preparing() {
  {
    const std::lock_guard lock(mutex_);
    ends_ = true;
  }
  ended_.notify_all();
}

bool Journal::ends() const {
  const std::lock_guard lock(mutex_);
  return ends_;
}

// Flushed piece by piece, with rests between: a single flush of all would hold up the journal's
// own, and so would one piece after the other.
Status Journal::write_ahead(Segment& segment) {
  const int fd = segment.file->fd();
  std::uint64_t at = segment.file->size_at_open() / kJournalPageBytes * kJournalPageBytes;
  while (at < segment.capacity && !ends()) {
    const auto started = std::chrono::steady_clock::now();
    const std::uint64_t piece = std::min(kAheadPieceBytes, segment.capacity - at);
    std::vector<iovec> parts;
    for (std::uint64_t done = 0; done < piece; done += kZeroBytes) {
      parts.push_back(part_of(kZeros.data(), std::min(kZeroBytes, piece - done)));
    }
    Status status = write_all(files_, fd, segment.path, parts, at);
    if (status.ok() && options_.flush) status = sync_data(files_, fd, segment.path);
    if (!status.ok()) return status;
    at += piece;
    if (options_.flush) rest(kAheadRest * (std::chrono::steady_clock::now() - started), at);
  }
  segment.ahead = at >= segment.capacity;
  return {};
}

Status Journal::prepare() {
  for (;;) {
    {
      const std::lock_guard lock(mutex_);
      if (next_ || ends_) return {};
    }
    SegmentPtr segment;
    Status status = make_segment(options_.segment_bytes, segment);
    if (!status.ok()) return status;
    status = write_ahead(*segment);
    if (!segment->ahead) {
      // Half a file would only take the room away from the segment in use.
      if (files_.unlink(segment->path.c_str()) != 0) {
        Status undeleted = io_failure("delete", segment->path, errno);
        return status.ok() ? undeleted : Status::failed(status.error() + "; " + undeleted.error());
      }
      return status;
    }
    const std::lock_guard lock(mutex_);
    if (segment->number > current_number_) {
      next_ = std::move(segment);
      return {};
    }
    free_.push_back(std::move(segment));  // overtaken: again, with a number above
  }
}

Status Journal::release(JournalPosition before) {
  {
    const std::lock_guard lock(mutex_);
    // The segment of `before` stays: the next start begins there.
    while (!live_.empty() && live_.begin()->first < segment_of(before) &&
           live_.begin()->first < current_number_) {
      free_.push_back(std::move(live_.begin()->second));
      live_.erase(live_.begin());
    }
  }
  return delete_surplus();
}

// A pinned file may go too: its bytes stay as long as they are mapped.
Status Journal::delete_surplus() {
  std::vector<SegmentPtr> surplus;
  {
    const std::lock_guard lock(mutex_);
    const auto useless = [this](const SegmentPtr& segment) {
      return segment->capacity > options_.segment_bytes;
    };
    const auto first = std::stable_partition(
        free_.begin(), free_.end(), [&](const auto& segment) { return !useless(segment); });
    surplus.assign(first, free_.end());
    free_.erase(first, free_.end());
    // Of the others the shortest go first.
    std::stable_sort(free_.begin(), free_.end(), [](const SegmentPtr& a, const SegmentPtr& b) {
      return a->capacity > b->capacity;
    });
    for (; free_.size() > options_.segments_kept; free_.pop_back()) surplus.push_back(free_.back());
  }
  for (const SegmentPtr& segment : surplus) {
    if (files_.unlink(segment->path.c_str()) != 0) {
      return io_failure("delete", segment->path, errno);
    }
  }
  return {};
}

Status Journal::read(JournalPosition at, std::size_t size, JournalBytes& out) const {
  SegmentPtr segment;
  {
    const std::lock_guard lock(mutex_);
    const auto found = live_.find(segment_of(at));
    if (found != live_.end()) segment = found->second;
  }
  const std::uint64_t offset = offset_of(at);
  if (!segment || offset < kJournalPageBytes || offset > segment->end ||
      size > segment->end - offset) {
    return Status::failed("the journal holds no " + std::to_string(size) + " bytes at segment " +
                          std::to_string(segment_of(at)) + ", offset " + std::to_string(offset));
  }
  out.bytes = segment->file->mapped().subspan(offset, size);
  out.pin = std::move(segment);
  return {};
}

std::uint64_t Journal::bytes_since(JournalPosition from) const {
  std::uint64_t bytes = 0;
  const std::lock_guard lock(mutex_);
  for (auto segment = live_.lower_bound(segment_of(from)); segment != live_.end(); ++segment) {
    const std::uint64_t start = segment->first == segment_of(from) ? offset_of(from) : 0;
    const std::uint64_t end = segment->second->end;
    bytes += end - std::min(start, end);
  }
  return bytes;
}

JournalStats Journal::stats() const {
  const std::lock_guard lock(mutex_);
  return stats_;
}

}  // namespace harrier::persistence
