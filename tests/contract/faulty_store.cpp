// SPDX-License-Identifier: Apache-2.0
#include "tests/contract/faulty_store.hpp"

#include <algorithm>
#include <utility>

#include "protocol/check.hpp"

namespace harrier::store_tests {

using persistence::Status;

Status FaultyStore::recover(persistence::Recovery& out) {
  crash();
  return inner_.recover(out);
}

void FaultyStore::commit(persistence::WriteBatch batch, persistence::OnDurable done) {
  {
    const std::lock_guard lock(mutex_);
    waiting_.push_back({std::move(batch), std::move(done), committed_++, {}, {}});
  }
  queued_.notify_all();
}

void FaultyStore::fetch(persistence::QueueId queue, persistence::Seq from, std::size_t bytes_max,
                        persistence::OnFetched done) {
  inner_.fetch(queue, from, bytes_max, std::move(done));
}

void FaultyStore::page_out(persistence::QueueId queue,
                           std::vector<persistence::StoredMessage> messages,
                           persistence::OnDurable done) {
  if (messages.empty()) return inner_.page_out(queue, {}, std::move(done));
  {
    const std::lock_guard lock(mutex_);
    waiting_.push_back({{}, std::move(done), committed_++, queue, std::move(messages)});
  }
  queued_.notify_all();
}

void FaultyStore::drop_paged(persistence::QueueId queue, persistence::Seq from,
                             persistence::Seq up_to) {
  inner_.drop_paged(queue, from, up_to);
}

persistence::StoreStats FaultyStore::stats() const {
  persistence::StoreStats stats = inner_.stats();
  const std::lock_guard lock(mutex_);
  stats.failure = failure_;
  return stats;
}

bool FaultyStore::release_next() {
  const std::lock_guard releasing(release_mutex_);
  Waiting waiting;
  {
    const std::lock_guard lock(mutex_);
    if (waiting_.empty()) return false;
    waiting = std::move(waiting_.front());
    waiting_.pop_front();
  }
  const Status status = make_durable(waiting);
  if (waiting.done) waiting.done(status);
  return true;
}

void FaultyStore::release_all() {
  while (release_next()) {
  }
}

std::size_t FaultyStore::pending() const {
  const std::lock_guard lock(mutex_);
  return waiting_.size();
}

bool FaultyStore::await_pending(std::stop_token stop) const {
  std::unique_lock lock(mutex_);
  return queued_.wait(lock, stop, [this] { return !waiting_.empty(); });
}

void FaultyStore::crash(std::size_t surviving) {
  const std::lock_guard releasing(release_mutex_);
  std::deque<Waiting> lost;
  {
    const std::lock_guard lock(mutex_);
    lost.swap(waiting_);
  }
  lost.resize(std::min(surviving, lost.size()));
  for (Waiting& waiting : lost) {
    if (!make_durable(waiting).ok()) break;
  }
  const std::lock_guard lock(mutex_);
  failure_ = Status();
  faults_.fail_from = kNever;
  committed_ = 0;
}

void FaultyStore::fail_from(std::uint64_t batch) {
  const std::lock_guard lock(mutex_);
  faults_.fail_from = batch;
}

Status FaultyStore::make_durable(Waiting& waiting) {
  bool write = true;
  Status status;
  {
    const std::lock_guard lock(mutex_);
    if (failure_.ok() && waiting.number >= faults_.fail_from) {
      failure_ = Status::failed("injected: the disk failed");
      write = faults_.first_failure_survives;
    } else {
      write = failure_.ok();
    }
    status = failure_;
  }
  if (!write) return status;
  Status inner_status = Status::failed("the decorated store did not complete the commit");
  const auto completed = [&](const Status& result) { inner_status = result; };
  if (waiting.paged.empty()) {
    inner_.commit(std::move(waiting.batch), completed);
  } else {
    inner_.page_out(waiting.paged_queue, std::move(waiting.paged), completed);
  }
  HARRIER_CHECK(inner_status.ok());
  return status;
}

}  // namespace harrier::store_tests
