// SPDX-License-Identifier: Apache-2.0
#include "persistence/lmdb_store.hpp"

#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <system_error>
#include <utility>

#include "persistence/crash_point.hpp"
#include "persistence/image_writer.hpp"
#include "persistence/page.hpp"

namespace harrier::persistence {

namespace {

// Positions of messages cost memory until the next checkpoint: about 32 bytes each.
constexpr std::size_t kSlotsMax = 400'000;

Status make_directory(const std::string& path) {
  if (::mkdir(path.c_str(), 0750) == 0 || errno == EEXIST) return {};
  return io_failure("create", path, errno);
}

// A new one is on disk before its journal is begun. Without it the journal would lack what it says
// was checkpointed, and an empty one in its place would hide that.
Status check_not_lost(const std::string& image, const std::string& journal) {
  std::error_code error;
  if (std::filesystem::exists(image, error) || error) return {};  // opening it tells the error
  if (!std::filesystem::exists(journal, error)) return {};
  std::filesystem::directory_iterator file(journal, error);
  for (; !error && file != std::filesystem::directory_iterator(); file.increment(error)) {
    if (!segment_number(file->path().filename().string())) continue;
    return Status::failed(image + " is missing, though there is a journal beside it" +
                          std::string(kRestoreRemedy));
  }
  return error ? io_failure("read", journal, error.value()) : Status();
}

}  // namespace

std::uint64_t store_of(const JournalId& id) {
  std::uint64_t store = 0;
  std::memcpy(&store, id.data(), sizeof store);
  return store | 1;
}

LmdbStore::LmdbStore(const StoreSettings& settings) : settings_(settings) {}

Status LmdbStore::open(const StoreSettings& settings, std::unique_ptr<LmdbStore>& out) {
  std::unique_ptr<LmdbStore> store;
  if (Status status = open_to_recover(settings, store); !status.ok()) return status;
  if (Status status = store->begin(); !status.ok()) return status;
  out = std::move(store);
  return {};
}

Status LmdbStore::open_to_recover(const StoreSettings& settings, std::unique_ptr<LmdbStore>& out) {
  std::unique_ptr<LmdbStore> store(new LmdbStore(settings));
  if (Status status = store->open_image(); !status.ok()) return status;
  if (Status status = store->open_journal(); !status.ok()) return status;
  out = std::move(store);
  return {};
}

Status LmdbStore::begin() {
  if (Status status = mark_in_use(); !status.ok()) return status;
  start();
  return {};
}

Status LmdbStore::open_image() {
  const std::string path = settings_.directory + "/store.mdb";
  Status status = check_not_lost(path, settings_.directory + "/journal");
  if (!status.ok()) return status;
  status = Image::open(path, settings_.map_bytes, image_);
  if (!status.ok()) return status;
  std::unique_ptr<Image::Snapshot> snapshot;
  if (status = image_->snapshot(snapshot); !status.ok()) return status;
  if (status = snapshot->meta(meta_); !status.ok()) return status;
  const std::string paged = settings_.directory + "/paged.mdb";
  if (status = PagedMessages::remove_left_over(paged); !status.ok()) return status;
  paged_ = std::make_unique<PagedMessages>(paged);
  return {};
}

// Replays what the image does not have.
Status LmdbStore::open_journal() {
  JournalOptions options;
  options.directory = settings_.directory + "/journal";
  options.segment_bytes = settings_.segment_bytes;
  options.flush = settings_.flush;
  options.may_be_missing = meta_.store == 0;
  options.files = settings_.files;
  Status status = make_directory(options.directory);
  if (!status.ok()) return status;
  layers_ = std::make_unique<Layers>(meta_.journal);
  const auto visit = [this](JournalPosition at, protocol::ByteView payload) {
    HARRIER_CRASH_POINT("replay-entry");
    return layers_->apply(at, payload, at + payload.size());
  };
  status = Journal::open(options, meta_.journal, visit, journal_, opened_.replay);
  if (!status.ok()) return status;
  layers_->replayed(journal_->end());
  if (!meta_.whole && opened_.replay.entries == 0) {
    return Status::failed(settings_.directory +
                          ": store.mdb is half of a checkpoint, and the journal has not the rest; "
                          "restore both from the same backup");
  }
  if (meta_.store == 0 && opened_.replay.entries > 0) {
    return Status::failed(settings_.directory +
                          ": store.mdb is a copy that was made without a journal, and the journal "
                          "beside it has entries; keep one of the two elsewhere");
  }
  if (meta_.store != 0 && meta_.store != store_of(journal_->id())) {
    return Status::failed(settings_.directory +
                          ": the journal belongs to another store.mdb, or is missing; restore "
                          "both from the same backup");
  }
  opened_.clean = meta_.clean && opened_.replay.entries == 0;
  return {};
}

// From now on the image says that deliveries may have been made which it does not know of, and
// which journal is its own.
Status LmdbStore::mark_in_use() {
  const std::uint64_t store = store_of(journal_->id());
  const bool marked = meta_.store == store && !meta_.clean;
  meta_.store = store;
  meta_.clean = false;
  meta_.next_content = std::max(meta_.next_content, layers_->content_max() + 1);
  Status status;
  if (!marked) {  // a crash left the mark; its disk may have no room for another page
    std::unique_ptr<Image::Writer> writer;
    if (status = image_->begin(writer); !status.ok()) return status;
    writer->set_meta(meta_);
    status = writer->commit();
  }
  HARRIER_CRASH_POINT("open-clear-clean");
  return status;
}

void LmdbStore::start() {
  CheckpointSettings checkpoints;
  checkpoints.interval = settings_.checkpoint_interval;
  checkpoints.slice_bytes = settings_.checkpoint_slice_bytes;
  checkpoints.directory = settings_.directory;
  checkpoints.disk_free_min = settings_.disk_free_min;
  CheckpointHooks checkpoint_hooks;
  checkpoint_hooks.covered = [this] { commits_->room_made(); };
  checkpoint_hooks.tick = [this] { reader_->give([this] { page_out_next(); }); };
  checkpoint_hooks.failed = [this](const Status& failure) {
    commits_->fail(failure);
    if (settings_.on_failed) settings_.on_failed(failure);
  };
  checkpoint_hooks.no_room = [this](bool full, const std::string& text) {
    set_full(kImageFull, full, text);
  };
  checkpoint_hooks.free_low = [this](bool low, const std::string& text) {
    set_full(kFreeLow, low, text);
  };
  CommitHooks commit_hooks;
  commit_hooks.begin_entry = [this] { layers_->begin_entry(); };
  commit_hooks.end_entry = [this] { layers_->end_entry(); };
  commit_hooks.known_content = [this](ContentId id) { return layers_->known_content(id); };
  commit_hooks.apply = [this](JournalPosition at, protocol::ByteView payload) {
    return apply(at, payload);
  };
  commit_hooks.uncovered_bytes = [this] {
    const std::uint64_t uncovered = journal_->bytes_since(layers_->covered());
    return uncovered - std::min(uncovered, checkpointer_->covered_bytes());
  };
  commit_hooks.disk_full = [this](bool full, const std::string& text) {
    set_full(kJournalFull, full, text);
  };
  reader_ = std::make_unique<TaskThread>();  // before the threads that give it work
  commits_ = std::make_unique<CommitLoop>(*journal_, meta_.next_content,
                                          settings_.uncovered_bytes_max, std::move(commit_hooks));
  checkpointer_ = std::make_unique<Checkpointer>(
      *image_, *journal_, *layers_, meta_, std::move(checkpoints), std::move(checkpoint_hooks));
}

LmdbStore::~LmdbStore() {
  if (!commits_) return;  // was not begun
  commits_->finish();
  if (commits_->failure().ok()) {
    const Status status = checkpointer_->finish(ends_clean());
    if (!status.ok() && settings_.on_failed) settings_.on_failed(status);
  }
  checkpointer_.reset();
  reader_.reset();
  for (const PageOut& left : paging_) left.done(Status());  // gone with this process anyway
}

// After a crash any message may have been delivered before, and that stays true of those which a
// stop in order leaves behind: only without messages is the next start a clean one again.
bool LmdbStore::ends_clean() const {
  if (opened_.clean) return true;
  std::vector<RecoveredQueue> queues;
  if (!settings_.delivers || !layers_->count(*image_, queues).ok()) return false;
  return std::ranges::all_of(queues,
                             [](const RecoveredQueue& queue) { return queue.messages == 0; });
}

Status LmdbStore::apply(JournalPosition at, protocol::ByteView payload) {
  const Status status = layers_->apply(at, payload, journal_->end());
  if (journal_->bytes_since(layers_->newest_covered()) > settings_.checkpoint_bytes ||
      layers_->slot_count() > kSlotsMax) {
    checkpointer_->request();
  }
  return status;
}

Status LmdbStore::recover(Recovery& out) {
  out.clean = opened_.clean;
  if (Status status = layers_->definitions(*image_, out.definitions); !status.ok()) return status;
  if (Status status = layers_->count(*image_, out.queues); !status.ok()) return status;
  if (out.head_bytes_max == 0) return {};
  for (RecoveredQueue& queue : out.queues) {
    Fetched head = read(queue.queue, 0, out.head_bytes_max);
    if (!head.status.ok()) return head.status;
    queue.head = std::move(head.messages);
    queue.next = head.next;
  }
  return {};
}

void LmdbStore::commit(WriteBatch batch, OnDurable done) {
  commits_->commit(std::move(batch), std::move(done));
}

void LmdbStore::fetch(QueueId queue, Seq from, std::size_t bytes_max, OnFetched done) {
  if (!reader_) return done(read(queue, from, bytes_max));  // not begun: nothing is paged out
  reader_->give([this, queue, from, bytes_max, done = std::move(done)] {
    Fetched fetched = read(queue, from, bytes_max);
    if (fetched.status.ok() && paged_->has(queue)) {
      Fetched paged = paged_->read(queue, from, bytes_max);
      fetched = paged.status.ok() ? merge(std::move(fetched), std::move(paged), bytes_max)
                                  : std::move(paged);
    }
    done(std::move(fetched));
  });
}

Fetched LmdbStore::read(QueueId queue, Seq from, std::size_t bytes_max) {
  QueueView view;
  const Status status = layers_->view(*image_, *journal_, queue, from, bytes_max, view);
  if (!status.ok()) return {status, {}, {}};
  return read_page(view, queue, from, bytes_max);
}

void LmdbStore::page_out(QueueId queue, std::vector<StoredMessage> messages, OnDurable done) {
  reader_->give([this, queue, messages = std::move(messages), done = std::move(done)]() mutable {
    paging_.push_back({queue, std::move(messages), std::move(done)});
    if (paging_.size() == 1) page_out_next();
  });
}

// On a full disk they stay where they are, and are tried again every checkpoint interval.
void LmdbStore::page_out_next() {
  while (!paging_.empty()) {
    const Status status = paged_->put(paging_.front().queue, paging_.front().messages);
    set_full(kPagedFull, status.is_full(), status.error());
    if (status.is_full()) return;
    const PageOut done = std::move(paging_.front());
    paging_.pop_front();
    done.done(status);
  }
}

void LmdbStore::drop_paged(QueueId queue, Seq from, Seq up_to) {
  reader_->give([this, queue, from, up_to] {
    const Status status = paged_->drop(queue, from, up_to);
    if (!status.ok() && !status.is_full() && settings_.on_failed) settings_.on_failed(status);
  });
}

StoreStats LmdbStore::stats() const {
  const CommitCounts counts = commits_->counts();
  StoreStats stats;
  stats.batches = counts.batches;
  stats.records = counts.records;
  stats.enqueued_bytes = counts.enqueued_bytes;
  stats.failure = commits_->failure();
  std::vector<RecoveredQueue> queues;
  std::vector<Define> definitions;
  Status status = layers_->count(*image_, queues);
  if (status.ok()) status = layers_->definitions(*image_, definitions);
  if (!status.ok() && stats.failure.ok()) stats.failure = status;
  stats.queues = queues.size();
  stats.definitions = definitions.size();
  for (const RecoveredQueue& queue : queues) {
    stats.messages += queue.messages;
    stats.message_bytes += queue.bytes;
  }
  return stats;
}

// One alarm for all that may lack room: it begins with the first and ends with the last.
void LmdbStore::set_full(unsigned what, bool full, const std::string& text) {
  const std::lock_guard lock(full_mutex_);
  const unsigned before = full_;
  full_ = full ? full_ | what : full_ & ~what;
  if ((before == 0) != (full_ == 0) && settings_.on_disk_full) {
    settings_.on_disk_full(full_ != 0, text);
  }
}

}  // namespace harrier::persistence
