// SPDX-License-Identifier: Apache-2.0
#include "tests/contract/faulty_store.hpp"

#include <algorithm>
#include <map>
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
  std::vector<Waiting> group;
  {
    const std::lock_guard lock(mutex_);
    group = take(whole(std::min<std::size_t>(1, waiting_.size())));
  }
  if (group.empty()) return false;
  const Status status = make_durable(group);
  for (Waiting& waiting : group) {
    if (waiting.done) waiting.done(status);
  }
  return true;
}

std::size_t FaultyStore::whole(std::size_t count) const {
  std::map<std::uint64_t, std::uint32_t> missing;  // parts, by transaction
  for (std::size_t at = 0; at < count; ++at) {
    for (const persistence::TransactionPart& part : waiting_[at].batch.joined()) {
      --missing.try_emplace(part.transaction, part.parts).first->second;
    }
    std::erase_if(missing, [](const auto& entry) { return entry.second == 0; });
    if (at + 1 < count || missing.empty()) continue;
    if (++count > waiting_.size()) return 0;
  }
  return count;
}

std::vector<FaultyStore::Waiting> FaultyStore::take(std::size_t count) {
  std::vector<Waiting> taken;
  for (; taken.size() < count; waiting_.pop_front()) taken.push_back(std::move(waiting_.front()));
  return taken;
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
  return queued_.wait(lock, stop, [this] { return !waiting_.empty() && whole(1) > 0; });
}

void FaultyStore::crash(std::size_t surviving) {
  const std::lock_guard releasing(release_mutex_);
  std::vector<std::vector<Waiting>> survivors;
  {
    const std::lock_guard lock(mutex_);
    surviving = std::min(surviving, waiting_.size());
    while (whole(surviving) != surviving) --surviving;
    while (surviving > 0) {
      survivors.push_back(take(whole(1)));
      surviving -= survivors.back().size();
    }
    waiting_.clear();
  }
  for (std::vector<Waiting>& group : survivors) {
    if (!make_durable(group).ok()) break;
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

Status FaultyStore::make_durable(std::vector<Waiting>& group) {
  bool survives = true;
  Status status;
  {
    const std::lock_guard lock(mutex_);
    if (failure_.ok() && group.back().number >= faults_.fail_from) {
      failure_ = Status::failed("injected: the disk failed");
      survives = faults_.first_failure_survives;
    } else {
      survives = failure_.ok();
    }
    status = failure_;
  }
  if (!survives) return status;
  for (Waiting& waiting : group) write(waiting);
  return status;
}

void FaultyStore::write(Waiting& waiting) {
  Status inner_status = Status::failed("the decorated store did not complete the commit");
  const auto completed = [&](const Status& result) { inner_status = result; };
  if (waiting.paged.empty()) {
    inner_.commit(std::move(waiting.batch), completed);
  } else {
    inner_.page_out(waiting.paged_queue, std::move(waiting.paged), completed);
  }
  HARRIER_CHECK(inner_status.ok());
}

}  // namespace harrier::store_tests
