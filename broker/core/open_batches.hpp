// SPDX-License-Identifier: Apache-2.0
//
// OpenBatches: the write batches with messages of one queue that are not durable yet, with the
// first position of each: from there on a page of the store may lack something. A value inside its
// owner. As long as there is none it has no memory but a few entries' that were there before.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "broker/core/ids.hpp"

namespace harrier::broker {

class OpenBatches {
 public:
  bool empty() const { return batches_.empty(); }
  Seq first() const { return batches_.front().first; }  // of all that is not durable

  // Batches come in order, and so do positions.
  void add(std::uint64_t batch, Seq seq) {
    if (batches_.empty() || batches_.back().number != batch) batches_.push_back({batch, seq});
  }
  void forget(std::uint64_t durable_through) {
    if (batches_.empty() || batches_.front().number > durable_through) return;
    const auto open = std::ranges::find_if(
        batches_, [&](const Batch& batch) { return batch.number > durable_through; });
    batches_.erase(batches_.begin(), open);
    if (batches_.empty() && batches_.capacity() > kKeptMax) batches_ = {};
  }

 private:
  struct Batch {
    std::uint64_t number = 0;
    Seq first = 0;
  };
  static constexpr std::size_t kKeptMax = 8;

  std::vector<Batch> batches_;
};

}  // namespace harrier::broker
