// SPDX-License-Identifier: Apache-2.0
//
// ScratchSet: a set of integers that is filled, asked and cleared once per publish. Clearing is one
// increment, and the memory stays, so that it allocates nothing once it has grown to its use.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "routing/text.hpp"

namespace harrier::routing {

class ScratchSet {
 public:
  void clear() {
    ++round_;
    size_ = 0;
  }

  bool insert(std::uint64_t value) {  // false if it was there
    if ((size_ + 1) * 2 > slots_.size()) grow();
    return place(value);
  }

 private:
  struct Slot {
    std::uint64_t value = 0;
    std::uint64_t round = 0;  // holds a value only if it is the current round
  };

  bool place(std::uint64_t value) {
    const std::size_t mask = slots_.size() - 1;
    for (std::size_t i = hash_id(value) & mask;; i = (i + 1) & mask) {
      Slot& slot = slots_[i];
      if (slot.round != round_) {
        slot = {value, round_};
        ++size_;
        return true;
      }
      if (slot.value == value) return false;
    }
  }

  void grow() {
    constexpr std::size_t kSlotsMin = 64;
    std::vector<Slot> old(slots_.empty() ? kSlotsMin : slots_.size() * 2);
    old.swap(slots_);
    size_ = 0;
    for (const Slot& slot : old) {
      if (slot.round == round_) place(slot.value);
    }
  }

  std::vector<Slot> slots_;
  std::uint64_t round_ = 1;
  std::size_t size_ = 0;
};

}  // namespace harrier::routing
