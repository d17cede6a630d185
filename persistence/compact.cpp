// SPDX-License-Identifier: Apache-2.0
#include "persistence/compact.hpp"

#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <memory>
#include <system_error>

#include "persistence/crash_point.hpp"
#include "persistence/directory_lock.hpp"
#include "persistence/file.hpp"
#include "persistence/fold_journal.hpp"
#include "persistence/image_snapshot.hpp"
#include "persistence/journal_replay.hpp"

namespace harrier::persistence {
namespace {

constexpr std::size_t kSweepRows = 20'000;
// Pages that a checkpoint of the journal rewrites without filling them.
constexpr std::uint64_t kCheckpointSlack = std::uint64_t{1} << 20;

class Compactor {
 public:
  explicit Compactor(const std::string& directory)
      : directory_(directory), image_(directory + "/store.mdb"), draft_(image_ + ".compact") {}

  Status run(const std::function<void(const CompactPlan&)>& planned, CompactSizes& after);

 private:
  Status lock();
  Status remove_draft();
  Status plan(CompactPlan& out);
  Status count_entries(Image& image, Replay& out);
  Status checkpoint();
  Status copy();
  static Status verify(const std::string& path, const Image::Stats& wanted);
  Status swap();
  Status sizes(std::uint64_t& image_bytes, std::uint64_t& journal_bytes);

  const std::string directory_;
  const std::string image_;
  const std::string draft_;
  DirectoryLock lock_;
  DirectoryLock copy_lock_;
};

Status Compactor::lock() {
  std::error_code error;
  if (!std::filesystem::exists(image_, error)) {
    return Status::failed("'" + directory_ + "' holds no store");
  }
  // The new files are this user's; the broker could not open them.
  struct ::stat owner {};
  if (::stat(image_.c_str(), &owner) != 0) return io_failure("examine", image_, errno);
  if (owner.st_uid != ::geteuid()) {
    return Status::failed(image_ + " belongs to user " + std::to_string(owner.st_uid) +
                          "; run this command as that user");
  }
  DirectoryLock::Outcome outcome{};
  Status status = lock_.take(directory_, DirectoryLock::Create::Yes, outcome);
  if (status.ok() && outcome == DirectoryLock::Outcome::InUse) {
    return Status::failed("'" + directory_ +
                          "' is in use by a running broker, or by another "
                          "command; stop that first");
  }
  if (status.ok()) status = copy_lock_.take_for_copy(directory_, true, outcome);
  if (status.ok() && outcome == DirectoryLock::Outcome::InUse) {
    return Status::failed("a backup of '" + directory_ + "' is being made; wait for its end");
  }
  return status;
}

// What an interrupted run left behind.
Status Compactor::remove_draft() {
  std::error_code error;
  std::filesystem::remove(draft_, error);
  return error ? io_failure("delete", draft_, error.value()) : Status();
}

Status Compactor::sizes(std::uint64_t& image_bytes, std::uint64_t& journal_bytes) {
  std::error_code error;
  image_bytes = std::filesystem::file_size(image_, error);
  if (error) return io_failure("examine", image_, error.value());
  journal_bytes = 0;
  const std::string journal = directory_ + "/journal";
  if (!std::filesystem::exists(journal, error)) return {};
  std::filesystem::directory_iterator entry(journal, error);
  for (; !error && entry != std::filesystem::directory_iterator(); entry.increment(error)) {
    const std::uintmax_t bytes = entry->file_size(error);
    if (error) break;
    journal_bytes += bytes;
  }
  return error ? io_failure("examine", journal, error.value()) : Status();
}

Status Compactor::count_entries(Image& image, Replay& out) {
  std::unique_ptr<Image::Snapshot> snapshot;
  if (Status status = image.snapshot(snapshot); !status.ok()) return status;
  Image::Meta meta;
  if (Status status = snapshot->meta(meta); !status.ok()) return status;
  JournalOptions options;
  options.directory = directory_ + "/journal";
  options.may_be_missing = meta.store == 0;
  std::error_code error;
  if (options.may_be_missing && !std::filesystem::exists(options.directory, error)) return {};
  const auto pass = [](JournalPosition, protocol::ByteView) { return Status(); };
  ReplayedJournal journal;
  return read_journal(options, meta.journal, pass, journal, out);
}

// The copy has no more pages than are in use now, and those that the journal's entries will take;
// these the checkpoint needs first, before the copy is made.
Status Compactor::plan(CompactPlan& out) {
  Status status = sizes(out.image_bytes, out.journal_bytes);
  if (!status.ok()) return status;
  std::unique_ptr<Image> image;
  status = Image::open_to_read(image_, Image::Access::Reading, image);
  if (!status.ok()) return status;
  Image::Stats stats;
  if (status = image->stats(stats); !status.ok()) return status;
  Replay replay;
  if (status = count_entries(*image, replay); !status.ok()) return status;
  out.needed_bytes = (stats.pages - stats.free_pages) * stats.page_bytes +
                     2 * (replay.bytes + replay.bytes / 2 + kCheckpointSlack);
  struct statvfs disk {};
  if (::statvfs(directory_.c_str(), &disk) != 0) return io_failure("examine", directory_, errno);
  out.free_bytes = std::uint64_t{disk.f_bavail} * disk.f_frsize;
  return {};
}

// The journal goes into the image; then all that is garbage goes.
Status Compactor::checkpoint() {
  if (Status status = fold_journal(directory_); !status.ok()) return status;
  HARRIER_CRASH_POINT("compact-checkpointed");
  std::unique_ptr<Image> image;
  Status status = Image::open(image_, Image::kMapBytes, image);
  for (bool more = true; status.ok() && more;) status = image->sweep(kSweepRows, more);
  return status;
}

Status Compactor::copy() {
  std::unique_ptr<Image> image;
  Status status = Image::open_to_read(image_, Image::Access::Reading, image);
  if (!status.ok()) return status;
  Image::Stats before;
  if (status = image->stats(before); !status.ok()) return status;
  if (status = image->copy_to(draft_, true); !status.ok()) return status;
  HARRIER_CRASH_POINT("compact-copied");
  return verify(draft_, before);
}

Status Compactor::verify(const std::string& path, const Image::Stats& wanted) {
  std::unique_ptr<Image> image;
  Status status = Image::open_to_read(path, Image::Access::Reading, image);
  if (!status.ok()) return status;
  Image::Stats found;
  if (status = image->stats(found); !status.ok()) return status;
  if (found.definitions != wanted.definitions || found.queues != wanted.queues ||
      found.message_rows != wanted.message_rows || found.contents != wanted.contents ||
      found.parts != wanted.parts || found.garbage != wanted.garbage) {
    return Status::failed(path + " has not all rows of what it was copied from");
  }
  std::unique_ptr<Image::Snapshot> snapshot;
  if (status = image->snapshot(snapshot); !status.ok()) return status;
  return snapshot->check();
}

// The copy is on disk, under its own name. One rename puts it in the image's place: before it the
// directory has the old image, after it the new one, and the journal suits both.
Status Compactor::swap() {
  HARRIER_CRASH_POINT("compact-before-swap");
  Files& files = Files::real();
  if (files.rename(draft_.c_str(), image_.c_str()) != 0) {
    return io_failure("rename", draft_, errno);
  }
  HARRIER_CRASH_POINT("compact-swapped");
  return sync_directory(files, directory_);
}

Status Compactor::run(const std::function<void(const CompactPlan&)>& planned, CompactSizes& after) {
  if (Status status = lock(); !status.ok()) return status;
  if (Status status = remove_draft(); !status.ok()) return status;
  CompactPlan needs;
  if (Status status = plan(needs); !status.ok()) return status;
  planned(needs);
  if (needs.free_bytes < needs.needed_bytes) {
    return Status::failed("the disk of '" + directory_ + "' has " +
                          std::to_string(needs.free_bytes) + " bytes free, and " +
                          std::to_string(needs.needed_bytes) + " may be needed");
  }
  if (Status status = checkpoint(); !status.ok()) return status;
  Status status = copy();
  if (status.ok()) status = swap();
  if (!status.ok()) {
    const Status removed = remove_draft();
    return removed.ok() ? status : Status::failed(status.error() + "; " + removed.error());
  }
  return sizes(after.image_bytes, after.journal_bytes);
}

}  // namespace

Status compact(const std::string& directory, const std::function<void(const CompactPlan&)>& planned,
               CompactSizes& after) {
  return Compactor(directory).run(planned, after);
}

}  // namespace harrier::persistence
