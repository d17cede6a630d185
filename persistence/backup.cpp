// SPDX-License-Identifier: Apache-2.0
#include "persistence/backup.hpp"

#include <poll.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <memory>
#include <system_error>

#include "persistence/crash_point.hpp"
#include "persistence/directory_lock.hpp"
#include "persistence/file.hpp"
#include "persistence/fold_journal.hpp"
#include "persistence/image_snapshot.hpp"
#include "persistence/image_writer.hpp"
#include "persistence/journal_end.hpp"
#include "persistence/journal_replay.hpp"

namespace harrier::persistence {
namespace {

using Outcome = DirectoryLock::Outcome;
using std::filesystem::copy_options;

// Another process's progress tells nobody here: it is looked at so often.
constexpr int kPauseMs = 20;
// A checkpoint may begin between the look and the copy, and then the copy is worth nothing.
constexpr int kCopiesMax = 10;
constexpr unsigned kLooksPerSecond = 1'000 / kPauseMs;

Status system_failure(const char* action, const std::string& path, const std::error_code& error) {
  return io_failure(action, path, error.value());
}

std::string parent_of(const std::string& path) {
  const auto parent = std::filesystem::path(path).parent_path();
  return parent.empty() ? "." : parent.string();
}

Status meta_of(const std::string& path, Image::Meta& out) {
  std::unique_ptr<Image> image;
  Status status = Image::open_to_read(path, Image::Access::Reading, image);
  if (!status.ok()) return status;
  std::unique_ptr<Image::Snapshot> snapshot;
  if (status = image->snapshot(snapshot); !status.ok()) return status;
  return snapshot->meta(out);
}

class Backup {
 public:
  Backup(const BackupOptions& options, BackupResult& result)
      : options_(options),
        result_(result),
        source_image_(options.directory + "/store.mdb"),
        target_(without_slashes(options.target)),
        draft_(target_ + ".partial"),
        draft_image_(draft_ + "/store.mdb") {}

  Status run();

 private:
  static std::string without_slashes(std::string path);
  Status check_source() const;
  Status check_target() const;
  Status make_draft();
  Status remove_draft() const;
  Status copy();
  Status copy_running(bool& ended);
  Status wait_until_covered(Image& image, bool& ended);
  Status copy_stopped();
  Status copy_journal(const Image::Meta& meta, bool& needed) const;
  Status finish_image();
  Status publish();

  const BackupOptions& options_;
  BackupResult& result_;
  const std::string source_image_;
  const std::string target_;
  const std::string draft_;
  const std::string draft_image_;
  DirectoryLock lock_;        // no broker starts
  DirectoryLock copy_lock_;   // nobody compacts
  DirectoryLock draft_lock_;  // nobody else makes this backup
};

std::string Backup::without_slashes(std::string path) {
  while (path.size() > 1 && path.back() == '/') path.pop_back();
  return path;
}

Status Backup::check_source() const {
  std::error_code error;
  if (std::filesystem::exists(source_image_, error)) return {};
  return Status::failed("'" + options_.directory +
                        "' holds no store; a broker with `store.level = \"memory\"` has none");
}

Status Backup::check_target() const {
  std::error_code error;
  if (!std::filesystem::exists(target_, error)) {
    return error ? system_failure("examine", target_, error) : Status();
  }
  const bool empty =
      std::filesystem::is_directory(target_, error) && std::filesystem::is_empty(target_, error);
  if (error) return system_failure("examine", target_, error);
  return empty ? Status()
               : Status::failed("'" + target_ + "' is there already and not an empty directory");
}

Status Backup::make_draft() {
  if (::mkdir(draft_.c_str(), 0750) != 0 && errno != EEXIST) {
    return io_failure("create", draft_, errno);
  }
  Outcome outcome{};
  Status status = draft_lock_.take_for_copy(draft_, true, outcome);
  if (!status.ok()) return status;
  if (outcome == Outcome::InUse) {
    return Status::failed("another backup is being made to '" + target_ + "'");
  }
  // What an interrupted one left.
  std::error_code error;
  for (const char* const name : {"store.mdb", "store.mdb-lock", "paged.mdb", "journal"}) {
    std::filesystem::remove_all(draft_ + '/' + name, error);
    if (error) return system_failure("delete", draft_ + '/' + name, error);
  }
  const bool empty = std::filesystem::is_empty(draft_, error);
  if (error) return system_failure("examine", draft_, error);
  return empty ? Status()
               : Status::failed("'" + draft_ + "' holds files that no backup has made; move them");
}

Status Backup::remove_draft() const {
  std::error_code error;
  std::filesystem::remove_all(draft_, error);
  return error ? system_failure("delete", draft_, error) : Status();
}

// A broker that ends while we wait for it leaves a directory like any other stopped one.
Status Backup::copy() {
  Outcome outcome{};
  Status status = copy_lock_.take_for_copy(options_.directory, false, outcome);
  if (!status.ok()) return status;
  if (outcome == Outcome::InUse) {
    return Status::failed("'" + options_.directory + "' is being compacted; wait for its end");
  }
  status = lock_.take(options_.directory, DirectoryLock::Create::No, outcome);
  if (!status.ok()) return status;
  bool ended = outcome != Outcome::InUse;
  result_.running = !ended;
  if (!ended) status = copy_running(ended);
  if (!status.ok() || !ended) return status;
  status = copy_stopped();
  if (status.ok() && !lock_.held() && DirectoryLock::file_exists(options_.directory)) {
    status = Status::failed("a broker was started on '" + options_.directory +
                            "' meanwhile; make the backup again");
  }
  return status;
}

Status Backup::copy_running(bool& ended) {
  Status status = last_entry_end(options_.directory + "/journal", result_.confirmed);
  if (!status.ok()) return status;
  std::unique_ptr<Image> image;
  status = Image::open_to_read(source_image_, Image::Access::ReadingBeside, image);
  if (!status.ok()) return status;
  for (int copies = 0; copies < kCopiesMax; ++copies) {
    if (status = wait_until_covered(*image, ended); !status.ok() || ended) return status;
    if (status = image->copy_to(draft_image_, true); !status.ok()) return status;
    Image::Meta meta;
    if (status = meta_of(draft_image_, meta); !status.ok() || meta.whole) return status;
    std::error_code error;
    std::filesystem::remove(draft_image_, error);
    if (error) return system_failure("delete", draft_image_, error);
  }
  return Status::failed("the broker was in the middle of a checkpoint " +
                        std::to_string(kCopiesMax) + " times; try again when it has less to do");
}

Status Backup::wait_until_covered(Image& image, bool& ended) {
  for (unsigned looks = 0; looks <= options_.patience_s * kLooksPerSecond; ++looks) {
    {
      std::unique_ptr<Image::Snapshot> snapshot;
      if (Status status = image.snapshot(snapshot); !status.ok()) return status;
      Image::Meta meta;
      if (Status status = snapshot->meta(meta); !status.ok()) return status;
      if (meta.whole && meta.journal >= result_.confirmed) return {};
    }
    Outcome outcome{};
    Status status = lock_.take(options_.directory, DirectoryLock::Create::No, outcome);
    if (!status.ok()) return status;
    ended = outcome == Outcome::Taken;
    if (ended) return {};
    ::poll(nullptr, 0, kPauseMs);  // a signal only makes it shorter
  }
  return Status::failed("the broker has made no checkpoint of what it had confirmed for " +
                        std::to_string(options_.patience_s) +
                        " s; is its disk full? see `store.checkpoint_interval`, and its log");
}

Status Backup::copy_stopped() {
  {
    std::unique_ptr<Image> image;
    Status status = Image::open_to_read(source_image_, Image::Access::Reading, image);
    if (!status.ok()) return status;
    if (status = image->copy_to(draft_image_, true); !status.ok()) return status;
  }
  Image::Meta meta;
  if (Status status = meta_of(draft_image_, meta); !status.ok()) return status;
  bool needed = false;
  if (Status status = copy_journal(meta, needed); !status.ok()) return status;
  return needed ? fold_journal(draft_) : Status();
}

// The files that a start would replay. As copies: a journal writes its old files over.
Status Backup::copy_journal(const Image::Meta& meta, bool& needed) const {
  JournalOptions options;
  options.directory = options_.directory + "/journal";
  options.may_be_missing = meta.store == 0;
  std::error_code error;
  if (options.may_be_missing && !std::filesystem::exists(options.directory, error)) return {};
  ReplayedJournal journal;
  Replay replay;
  const auto pass = [](JournalPosition, protocol::ByteView) { return Status(); };
  Status status = read_journal(options, meta.journal, pass, journal, replay);
  if (!status.ok()) return status;
  needed = replay.entries > 0;
  if (!needed && !meta.whole) {
    return Status::failed(source_image_ +
                          " is half of a checkpoint, and the journal has not the rest");
  }
  if (!needed) return {};
  const std::string folder = draft_ + "/journal";
  if (::mkdir(folder.c_str(), 0750) != 0) return io_failure("create", folder, errno);
  for (const ReplayedSegment& segment : journal.chain) {
    const std::string copy = folder + '/' + segment_name(segment.number);
    std::filesystem::copy_file(segment.path, copy, copy_options::none, error);
    if (error) return system_failure("create", copy, error);
    std::filesystem::permissions(copy, std::filesystem::perms::owner_write,
                                 std::filesystem::perm_options::add, error);
    if (error) return system_failure("change", copy, error);
  }
  return {};
}

// The copy has no journal from now on, and says so.
Status Backup::finish_image() {
  std::error_code error;
  std::filesystem::remove_all(draft_ + "/journal", error);
  if (error) return system_failure("delete", draft_ + "/journal", error);
  std::unique_ptr<Image> image;
  Status status = Image::open(draft_image_, Image::kMapBytes, image);
  if (!status.ok()) return status;
  std::unique_ptr<Image::Snapshot> snapshot;
  if (status = image->snapshot(snapshot); !status.ok()) return status;
  Image::Meta meta;
  if (status = snapshot->meta(meta); !status.ok()) return status;
  snapshot.reset();
  result_.journal = meta.journal;
  meta.store = 0;
  std::unique_ptr<Image::Writer> writer;
  if (status = image->begin(writer); !status.ok()) return status;
  writer->set_meta(meta);
  if (status = writer->commit(); !status.ok()) return status;
  writer.reset();
  if (options_.verify) {
    if (status = image->snapshot(snapshot); !status.ok()) return status;
    if (status = snapshot->check(); !status.ok()) return status;
  }
  return {};
}

Status Backup::publish() {
  std::error_code error;
  std::filesystem::remove(draft_image_ + "-lock", error);
  if (error) return system_failure("delete", draft_image_ + "-lock", error);
  result_.bytes = std::filesystem::file_size(draft_image_, error);
  if (error) return system_failure("examine", draft_image_, error);
  Files& files = Files::real();
  if (Status status = sync_directory(files, draft_); !status.ok()) return status;
  HARRIER_CRASH_POINT("backup-before-rename");
  if (files.rename(draft_.c_str(), target_.c_str()) != 0) {
    return io_failure("create", target_, errno);
  }
  return sync_directory(files, parent_of(target_));
}

Status Backup::run() {
  if (Status status = check_source(); !status.ok()) return status;
  if (Status status = check_target(); !status.ok()) return status;
  if (Status status = make_draft(); !status.ok()) return status;
  Status status = copy();
  if (status.ok()) status = finish_image();
  if (status.ok()) status = publish();
  if (status.ok()) return {};
  const Status removed = remove_draft();
  return removed.ok() ? status : Status::failed(status.error() + "; " + removed.error());
}

}  // namespace

Status backup(const BackupOptions& options, BackupResult& result) {
  result = {};
  return Backup(options, result).run();
}

}  // namespace harrier::persistence
