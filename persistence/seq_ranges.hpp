// SPDX-License-Identifier: Apache-2.0
//
// SeqRanges: a set of positions of one queue, held as disjoint ranges that do not touch: what
// consumers settle in order is one range however much it is. A value inside its owner; cost is by
// the number of ranges, never by their width.
#pragma once

#include <map>
#include <optional>

#include "persistence/write_batch.hpp"

namespace harrier::persistence {

class SeqRanges {
 public:
  using Iterator = std::map<Seq, Seq>::const_iterator;

  bool empty() const { return ranges_.empty(); }
  std::size_t size() const { return ranges_.size(); }  // ranges
  void clear() { ranges_.clear(); }
  void add(Seq from, Seq up_to);  // both included, here and below
  void remove(Seq seq);
  // The last position of the range that holds `seq`; nullopt: none holds it.
  std::optional<Seq> end_of(Seq seq) const;
  bool contains(Seq seq) const { return end_of(seq).has_value(); }

  // Ranges as (from, up to), ascending: all, or those that reach `seq` or lie behind it.
  Iterator begin() const { return ranges_.begin(); }
  Iterator end() const { return ranges_.end(); }
  Iterator reaching(Seq seq) const;
  const std::map<Seq, Seq>& ranges() const { return ranges_; }

 private:
  std::map<Seq, Seq> ranges_;
};

}  // namespace harrier::persistence
