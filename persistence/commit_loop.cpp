// SPDX-License-Identifier: Apache-2.0
#include "persistence/commit_loop.hpp"

#include <chrono>
#include <unordered_map>
#include <utility>

#include "persistence/crash_point.hpp"

namespace harrier::persistence {

namespace {

// One flush takes a few of these without getting slower; beyond, those who wait wait longer.
constexpr std::size_t kGroupBytesMax = 4 * 1024 * 1024;
// What a committing thread flushes itself: more would hold up its other work for longer than
// handing it over costs.
constexpr std::size_t kLedRecordsMax = 64;
constexpr std::size_t kLedBytesMax = 64 * 1024;
constexpr std::chrono::milliseconds kFullRetry{100};

std::size_t message_bytes(const WriteBatch& batch) {
  std::size_t bytes = 0;
  for (const Record& record : batch.records()) {
    if (const auto* const enqueue = std::get_if<Enqueue>(&record)) {
      bytes += content_size(*enqueue->message);
    }
  }
  return bytes;
}

}  // namespace

CommitLoop::CommitLoop(Journal& journal, ContentId next_content, std::uint64_t uncovered_bytes_max,
                       CommitHooks hooks)
    : journal_(journal),
      uncovered_bytes_max_(uncovered_bytes_max),
      hooks_(std::move(hooks)),
      next_content_(next_content),
      thread_([this] { run(); }) {}

CommitLoop::~CommitLoop() { finish(); }

void CommitLoop::finish() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_all();
  if (thread_.joinable()) thread_.join();
}

void CommitLoop::commit(WriteBatch batch, OnDurable done) {
  const std::size_t bytes = message_bytes(batch);
  Lock lock(mutex_);
  joined_pending_ = joined_pending_ || !batch.joined().empty();
  pending_.push_back({std::move(batch), std::move(done), bytes});
  if (leader_ == Leader::Committer) return;  // who looks again before it stops leading
  if (leader_ == Leader::None && may_lead()) {
    leader_ = Leader::Committer;
    lead(lock);
    leader_ = Leader::None;
    if (pending_.empty()) return;
  }
  if (leader_ == Leader::None) wake_.notify_all();
}

void CommitLoop::run() {
  Lock lock(mutex_);
  for (;;) {
    wake_.wait(lock, [this] { return leader_ == Leader::None && (stopping_ || ready()); });
    if (pending_.empty() && stopping_) return;
    leader_ = Leader::Thread;
    if (!lead(lock)) {  // stopping, and a transaction that will never be whole
      failure_ = Status::failed("the broker stopped in the middle of a transaction");
    }
    leader_ = Leader::None;
  }
}

// Only what neither takes long nor has to wait.
bool CommitLoop::may_lead() const {
  if (pending_.size() != 1 || stopping_ || disk_full_ || !failure_.ok()) return false;
  const WriteBatch& batch = pending_.front().batch;
  return batch.joined().empty() && batch.records().size() <= kLedRecordsMax &&
         pending_.front().bytes <= kLedBytesMax && hooks_.uncovered_bytes() < uncovered_bytes_max_;
}

// How many of the pending batches go together: as many as one flush takes well, and no transaction
// without all its parts.
std::size_t CommitLoop::group_size() const {
  if (!failure_.ok()) return pending_.size();
  std::unordered_map<std::uint64_t, std::uint32_t> missing;  // parts, by transaction
  std::size_t bytes = 0;
  std::size_t size = 0;
  for (std::size_t i = 0; i < pending_.size(); ++i) {
    for (const TransactionPart& part : pending_[i].batch.joined()) {
      const auto at = missing.try_emplace(part.transaction, part.parts).first;
      if (--at->second == 0) missing.erase(at);
    }
    bytes += pending_[i].bytes;
    if (missing.empty()) size = i + 1;
    if (size > 0 && bytes > kGroupBytesMax) break;
  }
  return size;
}

bool CommitLoop::ready() const {
  return !pending_.empty() && (!joined_pending_ || group_size() > 0);
}

bool CommitLoop::lead(Lock& lock) {
  const std::size_t size = group_size();
  std::vector<Pending> group;
  group.reserve(size);
  for (std::size_t i = 0; i < size; ++i) {
    group.push_back(std::move(pending_.front()));
    pending_.pop_front();
  }
  if (group.empty()) return false;
  if (pending_.empty()) joined_pending_ = false;
  const Status status = failure_.ok() ? write(lock, group) : failure_;
  if (status.is_full()) {  // the loop's thread waits for room: a committer has other things to do
    for (; !group.empty(); group.pop_back()) pending_.push_front(std::move(group.back()));
    return true;
  }
  if (!status.ok()) failure_ = status;
  answer(lock, group, status);
  return true;
}

// On the loop's own thread it waits while the disk is full.
Status CommitLoop::write(Lock& lock, const std::vector<Pending>& group) {
  for (;;) {
    // While the checkpoints are behind: before the entry is begun, because they wait for its end.
    wake_.wait(lock, [this] {
      return !failure_.ok() || stopping_ || hooks_.uncovered_bytes() < uncovered_bytes_max_;
    });
    if (!failure_.ok()) return failure_;
    const Status status = write_entry(lock, group);
    if (!status.is_full() || leader_ == Leader::Committer) return status;
    if (stopping_) return Status::failed(status.error() + "; stopped before there was room for it");
    wake_.wait_for(lock, kFullRetry);
  }
}

Status CommitLoop::write_entry(Lock& lock, const std::vector<Pending>& group) {
  writer_.begin(next_content_, hooks_.known_content);
  lock.unlock();
  hooks_.begin_entry();
  for (const Pending& pending : group) writer_.add(pending.batch);
  const std::span<const protocol::ByteView> pieces = writer_.finish();
  JournalPosition at = 0;
  Status status;
  if (!pieces.empty()) {
    status = journal_.append(pieces, at);
    if (status.is_full() != disk_full_) hooks_.disk_full(status.is_full(), status.error());
    HARRIER_CRASH_POINT("journal-after-append");
    if (status.ok()) status = journal_.flush();
    HARRIER_CRASH_POINT("journal-after-flush");
    if (status.ok()) status = apply(at, pieces);
  }
  hooks_.end_entry();
  lock.lock();
  next_content_ = writer_.next_content();
  if (pieces.empty()) return status;
  disk_full_ = status.is_full();
  if (status.ok()) ++counts_.entries;
  return status;
}

// What is in one piece is read where it was encoded. The journal's mapping says the same, but a
// page of it that is touched counts as memory from then on, and a small entry has a page of its
// own.
Status CommitLoop::apply(JournalPosition at, std::span<const protocol::ByteView> pieces) {
  if (pieces.size() == 1) return hooks_.apply(at, pieces.front());
  JournalBytes payload;
  const Status status = journal_.read(at, writer_.size(), payload);
  return status.ok() ? hooks_.apply(at, payload.bytes) : status;
}

void CommitLoop::answer(Lock& lock, std::vector<Pending>& group, const Status& status) {
  if (status.ok()) {
    counts_.batches += group.size();
    for (const Pending& pending : group) counts_.records += pending.batch.records().size();
    counts_.enqueued_bytes += writer_.enqueued_bytes();
  }
  lock.unlock();
  for (Pending& pending : group) {
    if (pending.done) pending.done(status);
  }
  group.clear();  // lets go of the messages, without the lock
  lock.lock();
}

void CommitLoop::room_made() {
  // The room is not counted under the lock: whoever has just looked must be waiting before it is
  // told, or it would never look again.
  { const std::lock_guard lock(mutex_); }
  wake_.notify_all();
}

void CommitLoop::fail(const Status& failure) {
  {
    const std::lock_guard lock(mutex_);
    if (failure_.ok()) failure_ = failure;
  }
  wake_.notify_all();
}

CommitCounts CommitLoop::counts() const {
  const std::lock_guard lock(mutex_);
  return counts_;
}

Status CommitLoop::failure() const {
  const std::lock_guard lock(mutex_);
  return failure_;
}

ContentId CommitLoop::next_content() const {
  const std::lock_guard lock(mutex_);
  return next_content_;
}

}  // namespace harrier::persistence
