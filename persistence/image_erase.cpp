// SPDX-License-Identifier: Apache-2.0
//
// The part of Image::Writer that takes away: few rows at once, many by way of garbage, and
// sweeping.
#include <algorithm>
#include <limits>

#include "persistence/image_writer.hpp"
#include "protocol/check.hpp"

namespace harrier::persistence {
namespace {

using lmdb::Code;
using protocol::ByteView;

constexpr Seq kSeqMax = std::numeric_limits<Seq>::max();
// Of one range so many rows are deleted at once, the others become garbage: a checkpoint does not
// wait for a purge, and no transaction grows with a queue.
constexpr std::uint64_t kErasedAtOnceMax = 1'024;

std::uint64_t minus(std::uint64_t a, std::uint64_t b) { return a > b ? a - b : 0; }

}  // namespace

void Image::Writer::discount(QueueState& state, const image::MessageRow& row) {
  state.row_changed = true;
  state.counters.messages = minus(state.counters.messages, 1);
  state.counters.bytes = minus(state.counters.bytes, row.content_bytes);
  release(row);
}

void Image::Writer::release(const image::MessageRow& row) {
  if (!row.large) return;
  ContentState* const state = content_state(row.content);
  if (state == nullptr) return;
  if (state->references == 0) {
    fail("store.mdb is damaged: content " + std::to_string(row.content) +
         " has fewer references than there are");
    return;
  }
  --state->references;
}

void Image::Writer::erase(QueueId queue, Seq from, Seq up_to) {
  QueueState* const state = queue_state(queue);
  if (state == nullptr || state->counters.messages == 0) return;
  // Never garbage where messages are yet to come.
  up_to = std::min(up_to, state->counters.seq_max);
  if (from > up_to) return;
  if (from == up_to) {
    erase_one(*state, queue, from);
  } else {
    erase_range(*state, queue, from, up_to);
  }
}

void Image::Writer::erase_one(QueueState& state, QueueId queue, Seq seq) {
  constexpr const char* kWhat = "a message cannot be erased";
  if (state.garbage.end_of(seq)) return;
  const Code found = messages_.find(image::message_key(queue, seq));
  if (found.not_found() || !good(found, kWhat)) return;
  const auto row = image::parse_message(messages_.value());
  if (row) {
    discount(state, *row);
  } else {
    fail("store.mdb is damaged: a message that is to be erased");
  }
  if (status_.ok()) good(messages_.erase(), kWhat);
}

bool Image::Writer::seek_live(QueueState& state, QueueId queue, Seq& seq) {
  Code code = messages_.seek(image::message_key(queue, seq));
  while (code.ok()) {
    const auto key = image::parse_message_key(messages_.key());
    if (!key || key->queue != queue) return false;
    const std::optional<Seq> dead_up_to = state.garbage.end_of(key->seq);
    if (!dead_up_to) {
      seq = key->seq;
      return true;
    }
    if (*dead_up_to == kSeqMax) return false;
    code = messages_.seek(image::message_key(queue, *dead_up_to + 1));
  }
  if (!code.not_found()) good(code, "messages cannot be read");
  return false;
}

bool Image::Writer::is_whole(QueueState& state, QueueId queue, Seq from, Seq up_to) {
  Seq first = 0;
  if (seek_live(state, queue, first) && first < from) return false;
  if (up_to >= state.counters.seq_max) return status_.ok();
  Seq beyond = up_to + 1;
  return !seek_live(state, queue, beyond) && status_.ok();
}

void Image::Writer::erase_range(QueueState& state, QueueId queue, Seq from, Seq up_to) {
  constexpr const char* kWhat = "messages cannot be erased";
  const bool many = state.counters.messages > kErasedAtOnceMax;
  if (many && is_whole(state, queue, from, up_to)) {
    state.garbage.add(from, up_to);
    state.counters.messages = 0;
    state.counters.bytes = 0;
    state.garbage_changed = true;
    state.row_changed = true;
    return;
  }
  Seq seq = from;
  for (std::uint64_t erased = 0; erased < kErasedAtOnceMax; ++erased) {
    if (!status_.ok() || !seek_live(state, queue, seq) || seq > up_to) return;
    const auto row = image::parse_message(messages_.value());
    if (!row) return fail("store.mdb is damaged: a message that is to be erased");
    discount(state, *row);
    if (!status_.ok() || !good(messages_.erase(), kWhat) || seq == kSeqMax) return;
    ++seq;
  }
  // Count out the others without a change to them; sweeping releases what they refer to.
  const Seq garbage_from = seq;
  bool any = false;
  while (status_.ok() && seek_live(state, queue, seq) && seq <= up_to) {
    const auto row = image::parse_message(messages_.value());
    if (!row) return fail("store.mdb is damaged: a message that is to be erased");
    state.counters.messages = minus(state.counters.messages, 1);
    state.counters.bytes = minus(state.counters.bytes, row->content_bytes);
    any = true;
    if (seq == kSeqMax) break;
    ++seq;
  }
  if (!any) return;
  state.garbage.add(garbage_from, up_to);
  state.garbage_changed = true;
}

void Image::Writer::drop(QueueId queue) {
  QueueState* const state = queue_state(queue);
  if (state == nullptr) return;
  if (state->counters.messages > 0) erase_range(*state, queue, 0, state->counters.seq_max);
  state->known = false;
  state->counters = {};
  state->row_changed = true;
}

std::size_t Image::Writer::erase_parts(std::uint64_t content, std::size_t parts_max) {
  constexpr const char* kWhat = "a content cannot be erased";
  std::size_t erased = 0;
  Code code = parts_.seek(image::part_key(content, 0));
  while (code.ok() && erased < parts_max) {
    const ByteView key = parts_.key();
    if (!std::ranges::equal(key.first(std::min<std::size_t>(key.size(), sizeof content)),
                            image::id_key(content))) {
      return erased;
    }
    if (!good(parts_.erase(), kWhat)) return erased;
    ++erased;
    code = parts_.next();
  }
  if (!code.ok() && !code.not_found()) good(code, kWhat);
  return erased;
}

// --- Sweeping ---

void Image::Writer::sweep(std::size_t rows_max) {
  HARRIER_CHECK(!used_);  // works on what is stored, beside what the other calls remember
  constexpr const char* kWhat = "garbage cannot be read";
  std::size_t budget = rows_max;
  while (status_.ok() && budget > 0) {
    const Code code = garbage_.first();
    if (code.not_found() || !good(code, kWhat)) return;
    --budget;  // for the range itself: also a lot of empty ones must not take long
    if (image::parse_garbage_rows_key(garbage_.key())) {
      if (!sweep_rows(budget)) return;
    } else if (!sweep_parts(budget)) {
      return;
    }
  }
}

// Of the range at the cursor; whether it is done.
bool Image::Writer::sweep_rows(std::size_t& budget) {
  constexpr const char* kWhat = "garbage cannot be swept";
  const auto range = *image::parse_garbage_rows_key(garbage_.key());
  const auto body = image::unseal(garbage_.key(), garbage_.value());
  const auto up_to = body ? image::parse_u64(*body) : std::nullopt;
  if (!up_to) {
    fail("store.mdb is damaged: a range of garbage");
    return false;
  }
  Code code = messages_.seek(image::message_key(range.queue, range.seq));
  std::optional<Seq> left_from;
  for (; code.ok(); code = messages_.next()) {
    const auto key = image::parse_message_key(messages_.key());
    if (!key || key->queue != range.queue || key->seq > *up_to) break;
    if (budget == 0) {
      left_from = key->seq;
      break;
    }
    const auto row = image::parse_message(messages_.value());
    if (!row) {
      fail("store.mdb is damaged: a message that is to be swept");
      return false;
    }
    release(*row);
    if (!status_.ok() || !good(messages_.erase(), kWhat)) return false;
    --budget;
  }
  if (!code.ok() && !code.not_found() && !good(code, kWhat)) return false;
  if (!good(garbage_.erase(), kWhat)) return false;
  if (!left_from) return true;
  good(image::put_row(garbage_, image::garbage_rows_key(range.queue, *left_from),
                      image::id_key(*up_to)),
       kWhat);
  return false;
}

bool Image::Writer::sweep_parts(std::size_t& budget) {
  const auto id = image::parse_garbage_parts_key(garbage_.key());
  if (!id) {
    fail("store.mdb is damaged: garbage of an unknown kind");
    return false;
  }
  const std::size_t erased = erase_parts(*id, budget);
  const bool done = erased < budget;
  budget -= erased;
  if (!status_.ok() || !done) return false;
  return good(garbage_.erase(), "garbage cannot be swept");
}

}  // namespace harrier::persistence
