// SPDX-License-Identifier: Apache-2.0
//
// SeqRanges: a set of positions of one queue, held as disjoint ranges that do not touch. A plain
// value without thread; cost is by the number of ranges, never by their width.
#pragma once

#include <map>
#include <optional>

#include "persistence/write_batch.hpp"

namespace harrier::persistence {

class SeqRanges {
 public:
  bool empty() const { return ranges_.empty(); }
  void clear() { ranges_.clear(); }
  void add(Seq from, Seq up_to);  // both included, here and below
  void remove(Seq seq);
  // The last position of the range that holds `seq`; nullopt: none holds it.
  std::optional<Seq> end_of(Seq seq) const;
  const std::map<Seq, Seq>& ranges() const { return ranges_; }  // from -> up to

 private:
  std::map<Seq, Seq> ranges_;
};

}  // namespace harrier::persistence
