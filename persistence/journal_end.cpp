// SPDX-License-Identifier: Apache-2.0
#include "persistence/journal_end.hpp"

#include <algorithm>
#include <filesystem>
#include <optional>
#include <system_error>
#include <vector>

#include "persistence/crc32c.hpp"
#include "persistence/file.hpp"

namespace harrier::persistence {
namespace {

using protocol::ByteView;

// Segments change their names once in many megabytes; so often in a row is something else.
constexpr int kAttemptsMax = 100;

// Descending.
Status segment_numbers(const std::string& directory, std::vector<std::uint64_t>& out) {
  out.clear();
  std::error_code error;
  std::filesystem::directory_iterator entry(directory, error);
  for (; !error && entry != std::filesystem::directory_iterator(); entry.increment(error)) {
    const auto number = segment_number(entry->path().filename().string());
    if (number) out.push_back(*number);
  }
  if (error) return io_failure("read", directory, error.value());
  std::ranges::sort(out, std::ranges::greater());
  return {};
}

std::string path_of(const std::string& directory, std::uint64_t number) {
  return directory + '/' + segment_name(number);
}

bool exists(const std::string& directory, std::uint64_t number) {
  std::error_code error;
  return std::filesystem::exists(path_of(directory, number), error);
}

struct Seen {
  std::optional<SegmentHeader> header;  // none: it is not begun
  std::uint64_t end = kJournalPageBytes;
};

Status look_at(const std::string& directory, std::uint64_t number, Seen& out) {
  out = {};
  File file;
  Status status = File::open_to_read(Files::real(), path_of(directory, number), file);
  if (!status.ok()) return status;
  status = check_readable(file.fd(), path_of(directory, number), 0, file.size_at_open());
  if (!status.ok()) return status;
  const ByteView bytes = file.mapped();
  out.header = decode_segment_header(bytes);
  if (!out.header || out.header->number != number) {
    out.header.reset();
    return {};
  }
  const std::uint32_t seed = crc32c(out.header->id);
  std::uint32_t previous = out.header->crc;
  while (out.end < bytes.size()) {
    const auto entry = read_entry(bytes, number, out.end, seed);
    if (!entry || entry->header.previous != previous) break;  // or is being written right now
    previous = entry->header.crc;
    out.end += entry_disk_bytes(entry->payload.size());
  }
  return {};
}

// From the newest segment back to one with an entry. A start without entries begins one, too.
Status find_end(const std::string& directory, const std::vector<std::uint64_t>& numbers,
                JournalPosition& out) {
  out = 0;
  std::optional<std::uint64_t> wanted;  // the newest that has been begun, to start with
  for (const std::uint64_t number : numbers) {
    if (wanted && number != *wanted) continue;
    Seen seen;
    if (Status status = look_at(directory, number, seen); !status.ok()) return status;
    if (!seen.header) continue;
    if (seen.end > kJournalPageBytes) {
      out = journal_position(number, seen.end);
      return {};
    }
    const JournalPosition follows = seen.header->follows;
    if (offset_of(follows) > kJournalPageBytes) {
      out = follows;
      return {};
    }
    wanted = segment_of(follows);  // if it is not there any more a checkpoint has covered it
  }
  return {};
}

}  // namespace

Status last_entry_end(const std::string& journal_directory, JournalPosition& out) {
  Status status;
  for (int attempt = 0; attempt < kAttemptsMax; ++attempt) {
    std::vector<std::uint64_t> numbers;
    if (status = segment_numbers(journal_directory, numbers); !status.ok()) return status;
    status = find_end(journal_directory, numbers, out);
    // A file that got another name meanwhile was something else than what it was taken for.
    const auto gone = std::ranges::find_if(numbers, [&](std::uint64_t number) {
      return number >= segment_of(out) && !exists(journal_directory, number);
    });
    if (gone == numbers.end()) return status;
  }
  return status.ok() ? Status::failed("the files in " + journal_directory + " do not stand still")
                     : status;
}

}  // namespace harrier::persistence
