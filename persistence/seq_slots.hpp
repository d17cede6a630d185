// SPDX-License-Identifier: Apache-2.0
//
// SeqSlots: one slot per message of a queue, by position. Made for what queues do: append at the
// end, erase near the front, both without an allocation per message; and for what delayed messages
// do: come at any position at all. The slots stand in chunks that are split when they are full, so
// an insertion in the middle moves a bounded number of them. Erasing leaves an empty slot; when
// more than half of a chunk's slots are empty they are closed up, so memory stays proportional to
// what is held. A Slot has a `seq`, and its `filled()` and `clear()` say whether it stands for a
// message. Not synchronised: its owner's lock guards it.
#pragma once

#include <algorithm>
#include <iterator>
#include <map>
#include <optional>
#include <utility>
#include <vector>

#include "persistence/write_batch.hpp"

namespace harrier::persistence {

template <class Slot>
class SeqSlots {
  struct Chunk {
    std::vector<Slot> slots;  // ascending
    std::size_t empty = 0;    // at most half of them
  };
  using Chunks = std::map<Seq, Chunk>;  // by a position that none of the chunk's is below

 public:
  class ConstIterator {
   public:
    const Slot& operator*() const { return chunk_->second.slots[index_]; }
    const Slot* operator->() const { return &**this; }
    ConstIterator& operator++() {
      if (++index_ == chunk_->second.slots.size()) {
        ++chunk_;
        index_ = 0;
      }
      return *this;
    }
    friend bool operator==(const ConstIterator&, const ConstIterator&) = default;

   private:
    friend class SeqSlots;
    ConstIterator(typename Chunks::const_iterator chunk, std::size_t index)
        : chunk_(chunk), index_(index) {}
    typename Chunks::const_iterator chunk_;
    std::size_t index_;
  };

  std::size_t size() const { return slot_count_ - empty_; }
  std::size_t slot_count() const { return slot_count_; }  // for tests of the memory bound
  std::optional<Seq> first() const {
    for (auto at = from(0); at != end(); ++at) {  // within the first chunk
      if (at->filled()) return at->seq;
    }
    return std::nullopt;
  }

  // Replaces the one at this position, which is returned.
  std::optional<Slot> insert(Slot slot) {
    const auto chunk = chunk_for(slot.seq);
    std::vector<Slot>& slots = chunk->second.slots;
    if (slots.empty() || slots.back().seq < slot.seq) {
      add(chunk, slots.end(), std::move(slot));
      return std::nullopt;
    }
    const auto at = std::lower_bound(slots.begin(), slots.end(), slot.seq, before);
    if (at->seq != slot.seq) {
      add(chunk, at, std::move(slot));
      return std::nullopt;
    }
    std::optional<Slot> replaced;
    if (at->filled()) {
      replaced = std::move(*at);
    } else {
      --chunk->second.empty;
      --empty_;
    }
    *at = std::move(slot);
    return replaced;
  }

  Slot* find(Seq seq) {
    auto chunk = chunks_.upper_bound(seq);
    if (chunk == chunks_.begin()) return nullptr;
    std::vector<Slot>& slots = (--chunk)->second.slots;
    const auto at = std::lower_bound(slots.begin(), slots.end(), seq, before);
    return at == slots.end() || at->seq != seq || !at->filled() ? nullptr : &*at;
  }

  // Empties those from `from` to `up_to`, both included; visit(Slot&) before each.
  template <class Visit>
  void erase(Seq from, Seq up_to, Visit&& visit) {
    auto chunk = chunks_.upper_bound(from);
    if (chunk != chunks_.begin()) --chunk;
    while (chunk != chunks_.end() && chunk->first <= up_to) {
      Chunk& held = chunk->second;
      auto at = std::lower_bound(held.slots.begin(), held.slots.end(), from, before);
      for (; at != held.slots.end() && at->seq <= up_to; ++at) {
        if (!at->filled()) continue;
        visit(*at);
        at->clear();
        ++held.empty;
        ++empty_;
      }
      chunk = close_up(chunk);
    }
  }

  // All slots from this position on, empty ones included.
  ConstIterator from(Seq seq) const {
    auto chunk = chunks_.upper_bound(seq);
    if (chunk != chunks_.begin()) --chunk;
    if (chunk == chunks_.end()) return end();
    const std::vector<Slot>& slots = chunk->second.slots;
    const auto at = std::lower_bound(slots.begin(), slots.end(), seq, before);
    if (at == slots.end()) return ConstIterator(std::next(chunk), 0);
    return ConstIterator(chunk, static_cast<std::size_t>(at - slots.begin()));
  }
  ConstIterator end() const { return ConstIterator(chunks_.end(), 0); }

 private:
  using ChunkAt = typename Chunks::iterator;
  static constexpr std::size_t kChunkSlots = 256;
  static constexpr std::size_t kKeptSlotsMax = 16;

  static bool before(const Slot& slot, Seq seq) { return slot.seq < seq; }

  // Where that position belongs; the chunk may be new, and empty then.
  ChunkAt chunk_for(Seq seq) {
    if (chunks_.empty()) return chunks_.try_emplace(seq).first;
    auto chunk = std::prev(chunks_.end());
    if (seq < chunk->first) {
      chunk = chunks_.upper_bound(seq);
      if (chunk == chunks_.begin()) {  // below all there is
        if (chunk->second.slots.size() >= kChunkSlots) return chunks_.try_emplace(seq).first;
        auto node = chunks_.extract(chunk);
        node.key() = seq;
        return chunks_.insert(std::move(node)).position;
      }
      --chunk;
    }
    if (chunk->second.slots.size() < kChunkSlots) return chunk;
    std::vector<Slot>& slots = chunk->second.slots;
    if (slots.back().seq < seq) return chunks_.try_emplace(seq).first;
    // Full: in two.
    const auto middle = slots.begin() + kChunkSlots / 2;
    Chunk& upper = chunks_.try_emplace(middle->seq).first->second;
    upper.slots.assign(std::make_move_iterator(middle), std::make_move_iterator(slots.end()));
    slots.erase(middle, slots.end());
    upper.empty = count_empty(upper.slots);
    chunk->second.empty -= upper.empty;
    close_up(chunks_.find(upper.slots.front().seq));
    close_up(chunk);
    return chunk_for(seq);
  }

  static std::size_t count_empty(const std::vector<Slot>& slots) {
    return static_cast<std::size_t>(
        std::ranges::count_if(slots, [](const Slot& slot) { return !slot.filled(); }));
  }

  void add(ChunkAt chunk, typename std::vector<Slot>::iterator at, Slot slot) {
    chunk->second.slots.insert(at, std::move(slot));
    ++slot_count_;
  }

  // Each such pass is paid for by the erasures since the last one: constant time per message.
  // Returns the chunk behind it.
  ChunkAt close_up(ChunkAt at) {
    Chunk& chunk = at->second;
    if (chunk.empty * 2 <= chunk.slots.size()) return std::next(at);
    empty_ -= chunk.empty;
    slot_count_ -= chunk.empty;
    if (chunk.empty == chunk.slots.size()) return drop_empty(at);
    std::erase_if(chunk.slots, [](const Slot& slot) { return !slot.filled(); });
    chunk.empty = 0;
    if (chunk.slots.capacity() > 4 * chunk.slots.size()) chunk.slots.shrink_to_fit();
    return std::next(at);
  }

  // A small one stays if it is the only one: what comes and goes one by one costs no allocation.
  ChunkAt drop_empty(ChunkAt at) {
    if (chunks_.size() > 1 || at->second.slots.capacity() > kKeptSlotsMax) return chunks_.erase(at);
    at->second.slots.clear();
    at->second.empty = 0;
    return std::next(at);
  }

  Chunks chunks_;
  std::size_t slot_count_ = 0;
  std::size_t empty_ = 0;
};

}  // namespace harrier::persistence
