// SPDX-License-Identifier: Apache-2.0
#include "tests/crash/power/workload.hpp"

#include <dlfcn.h>

#include <algorithm>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <random>
#include <stdexcept>
#include <utility>

#include "tests/contract/store_model.hpp"
#include "tests/crash/power/log_format.hpp"
#include "tests/crash/power/make_store.hpp"

namespace harrier::power {
namespace {

using namespace harrier::persistence;
using store_tests::BatchDice;
using store_tests::StoreModel;

constexpr std::uint64_t kBigQueue = 1'000'000;  // beside those of the dice: bodies of many pages
constexpr Seq kBigKept = 6;
constexpr std::size_t kInFlightMax = 24;

using MarkFunction = void(std::uint64_t);

MarkFunction& mark_function() {
  void* const found = ::dlsym(RTLD_DEFAULT, kMarkSymbol);
  if (found == nullptr) throw std::runtime_error("the recorder is not loaded");
  return *reinterpret_cast<MarkFunction*>(found);
}

// Counts steps under way, and the dones of the parts of each.
class Progress {
 public:
  explicit Progress(std::size_t confirmed) : mark_(mark_function()), confirmed_(confirmed) {}

  void started(std::size_t parts) {
    const std::lock_guard lock(mutex_);
    parts_left_.push_back(parts);
  }
  void done(const Status& status) {
    const std::lock_guard lock(mutex_);
    if (!status.ok() && error_.empty()) error_ = status.error();
    // In submission order, so this is a part of the oldest step.
    if (error_.empty() && --parts_left_.front() == 0) {
      parts_left_.erase(parts_left_.begin());
      mark_(++confirmed_);
    }
    changed_.notify_all();
  }
  void wait_for_at_most(std::size_t in_flight) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return !error_.empty() || parts_left_.size() <= in_flight; });
    if (!error_.empty()) throw std::runtime_error("the store failed: " + error_);
  }

 private:
  MarkFunction& mark_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::size_t confirmed_;
  std::vector<std::size_t> parts_left_;
  std::string error_;
};

// Two parts with the records in their order, as two shards would have them.
Step split(WriteBatch batch, std::uint64_t transaction) {
  Step step(2);
  std::vector<Record> records = std::move(batch).take_records();
  for (std::size_t i = 0; i < records.size(); ++i) {
    step[i < records.size() / 2 ? 0 : 1].add(std::move(records[i]));
  }
  for (WriteBatch& part : step) part.join({transaction, 2});
  return step;
}

}  // namespace

std::vector<Step> make_steps(std::uint64_t seed, std::size_t count) {
  BatchDice dice(seed);
  std::vector<Step> steps;
  Seq big = 0;
  for (std::size_t i = 0; i < count; ++i) {
    WriteBatch batch = dice.roll();
    if (dice.below(3) == 0) {
      const std::string body(dice.below(dice.below(5) == 0 ? 60'000 : 6'000),
                             static_cast<char>('a' + dice.below(26)));
      batch.add(store_tests::enqueue(kBigQueue, ++big, body));
      if (big > kBigKept) batch.add(Settle{QueueId{kBigQueue}, big - kBigKept});
    }
    if (batch.size() > 1 && dice.below(5) == 0) {
      steps.push_back(split(std::move(batch), i + 1));
    } else {
      steps.emplace_back().push_back(std::move(batch));
    }
  }
  return steps;
}

Prefixes::Prefixes(std::vector<Step> steps) : steps_(std::move(steps)) {
  StoreModel model;
  hashes_.push_back(std::hash<std::string>()(to_text(known_for_certain(model.contents()))));
  for (const Step& step : steps_) {
    for (const WriteBatch& batch : step) model.apply(batch);
    hashes_.push_back(std::hash<std::string>()(to_text(known_for_certain(model.contents()))));
  }
}

long Prefixes::find(const std::string& contents) const {
  const auto at = std::find(hashes_.rbegin(), hashes_.rend(), std::hash<std::string>()(contents));
  return static_cast<long>(hashes_.rend() - at) - 1;
}

std::string Prefixes::text(std::size_t prefix) const {
  StoreModel model;
  for (std::size_t i = 0; i < prefix; ++i) {
    for (const WriteBatch& batch : steps_[i]) model.apply(batch);
  }
  return to_text(known_for_certain(model.contents()));
}

void drive(const Drive& drive) {
  std::vector<Step> steps = make_steps(drive.seed, drive.end);
  std::mt19937_64 random(drive.seed + drive.first);
  Progress progress(drive.first);
  std::size_t next = drive.first;
  for (std::size_t life = 1; life <= drive.lives; ++life) {
    const std::size_t end = drive.first + (drive.end - drive.first) * life / drive.lives;
    const auto store = make_store(drive.store, drive.directory);
    Recovery recovery;
    if (const Status status = store->recover(recovery); !status.ok()) {
      throw std::runtime_error("recover: " + status.error());
    }
    for (; next < end; ++next) {
      progress.started(steps[next].size());
      for (WriteBatch& batch : steps[next]) {
        store->commit(std::move(batch), [&](const Status& status) { progress.done(status); });
      }
      progress.wait_for_at_most(random() % kInFlightMax);
    }
    progress.wait_for_at_most(0);
  }
}

}  // namespace harrier::power
