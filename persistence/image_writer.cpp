// SPDX-License-Identifier: Apache-2.0
#include "persistence/image_writer.hpp"

#include <algorithm>
#include <limits>
#include <utility>

#include "protocol/check.hpp"

namespace harrier::persistence {
namespace {

using lmdb::Code;
using protocol::as_bytes;
using protocol::ByteView;

// Parts that commit() deletes at once, of all contents together: 64 MiB.
constexpr std::size_t kPartsErasedAtOnceMax = 16'384;

}  // namespace

Status Image::Writer::begin() {
  if (!good(transaction_.begin_write(*image_.environment_), "a checkpoint cannot begin")) {
    return status_;
  }
  began_ = true;
  image_.writing_ = true;
  const std::pair<lmdb::Cursor*, lmdb::Database> cursors[] = {
      {&definitions_, image_.databases_.definitions},
      {&queues_, image_.databases_.queues},
      {&messages_, image_.databases_.messages},
      {&contents_, image_.databases_.contents},
      {&parts_, image_.databases_.parts},
      {&garbage_, image_.databases_.garbage}};
  for (const auto& [cursor, database] : cursors) {
    if (!good(cursor->open(transaction_, database), "a checkpoint cannot begin")) return status_;
  }
  const Code last = messages_.last();
  const auto key = last.ok() ? image::parse_message_key(messages_.key()) : std::nullopt;
  if (key) last_queue_ = key->queue;
  if (!last.not_found()) good(last, "a checkpoint cannot begin");
  return status_;
}

Image::Writer::~Writer() {
  if (!began_) return;
  close_cursors();
  transaction_.abort();
  image_.writing_ = false;
}

void Image::Writer::close_cursors() {
  for (lmdb::Cursor* const cursor :
       {&definitions_, &queues_, &messages_, &contents_, &parts_, &garbage_}) {
    cursor->close();
  }
}

Status Image::Writer::commit() {
  HARRIER_CHECK(began_);
  if (status_.ok()) flush_queues();
  if (status_.ok()) flush_contents();
  if (status_.ok()) {
    const Code code = garbage_.first();
    garbage_left_ = code.ok();
    if (!code.ok() && !code.not_found()) good(code, "garbage cannot be read");
  }
  close_cursors();
  if (status_.ok()) {
    good(transaction_.commit(), "a checkpoint cannot be committed");
  } else {
    transaction_.abort();
  }
  if (!status_.ok()) garbage_left_ = false;
  began_ = false;
  image_.writing_ = false;
  return status_;
}

bool Image::Writer::good(Code code, const char* what) {
  if (!status_.ok()) return false;
  if (code.ok()) return true;
  status_ = code.status(what);
  return false;
}

void Image::Writer::fail(std::string error) {
  if (status_.ok()) status_ = Status::failed(std::move(error));
}

// --- Queues and contents as this transaction has them ---

Image::Writer::QueueState* Image::Writer::queue_state(QueueId queue) {
  used_ = true;
  if (!status_.ok()) return nullptr;
  const auto known = queue_states_.find(queue);
  if (known != queue_states_.end()) return &known->second;
  QueueState state;
  const auto key = image::queue_key(queue);
  ByteView value;
  const Code code = transaction_.get(image_.databases_.queues, key, value);
  if (code.ok()) {
    const auto body = image::unseal(key, value);
    const auto counters = body ? image::parse_queue(*body) : std::nullopt;
    if (!counters) {
      fail("store.mdb is damaged: the counters of a queue");
      return nullptr;
    }
    state.known = true;
    state.counters = *counters;
  } else if (!code.not_found()) {
    good(code, "a queue's counters cannot be read");
    return nullptr;
  }
  if (!load_garbage(queue, state.garbage)) return nullptr;
  return &queue_states_.emplace(queue, std::move(state)).first->second;
}

bool Image::Writer::load_garbage(QueueId queue, SeqRanges& out) {
  Code code = garbage_.seek(image::garbage_rows_key(queue, 0));
  for (; code.ok(); code = garbage_.next()) {
    const auto key = image::parse_garbage_rows_key(garbage_.key());
    if (!key || key->queue != queue) return true;
    const auto body = image::unseal(garbage_.key(), garbage_.value());
    const auto up_to = body ? image::parse_u64(*body) : std::nullopt;
    if (!up_to || *up_to < key->seq) {
      fail("store.mdb is damaged: a range of garbage");
      return false;
    }
    out.add(key->seq, *up_to);
  }
  return code.not_found() || good(code, "garbage cannot be read");
}

Image::Writer::ContentState* Image::Writer::content_state(std::uint64_t id) {
  if (!status_.ok()) return nullptr;
  const auto known = content_states_.find(id);
  if (known != content_states_.end()) return &known->second;
  ContentState state;
  const auto key = image::id_key(id);
  ByteView value;
  const Code code = transaction_.get(image_.databases_.contents, key, value);
  if (code.ok()) {
    const auto body = image::unseal(key, value);
    const auto row = body ? image::parse_content(*body) : std::nullopt;
    if (!row) {
      fail("store.mdb is damaged: the references of content " + std::to_string(id));
      return nullptr;
    }
    state = {true, true, row->references, row->size};
  } else if (!code.not_found()) {
    good(code, "a content's references cannot be read");
    return nullptr;
  }
  return &content_states_.emplace(id, state).first->second;
}

// --- Messages ---

void Image::Writer::put(QueueId queue, Seq seq, std::uint32_t delivery_count, ByteView tail) {
  const auto content_bytes = image::content_bytes_of_tail(tail);
  HARRIER_CHECK(content_bytes);
  image::MessageRow row;
  row.delivery_count = delivery_count;
  row.bytes = tail;
  row.content_bytes = *content_bytes;
  put_row(queue, seq, row);
}

void Image::Writer::put_large(QueueId queue, Seq seq, std::uint32_t delivery_count, ByteView head,
                              std::uint64_t content, std::uint64_t content_bytes) {
  if (ContentState* const state = content_state(content)) ++state->references;
  put_row(queue, seq, {delivery_count, true, head, content, content_bytes});
}

void Image::Writer::put_row(QueueId queue, Seq seq, const image::MessageRow& row) {
  constexpr const char* kWhat = "a message cannot be written";
  QueueState* const state = queue_state(queue);
  if (state == nullptr) return;
  const auto key = image::message_key(queue, seq);
  const std::size_t body_bytes = image::message_body_bytes(row);
  const auto fill = [&row](std::uint8_t* out) { image::put_message_body(out, row); };
  // Most rows are new ones, so a row is looked for by trying to insert.
  std::uint8_t* out = nullptr;
  const std::size_t size = image::kChecksumBytes + body_bytes;
  const Code inserted = insert_row(*state, queue, seq, key, size, out);
  if (inserted.exists()) {
    account_replaced(*state, seq, messages_.value());
    if (!good(image::put_row(messages_, key, body_bytes, fill), kWhat)) return;
  } else {
    if (!good(inserted, kWhat)) return;
    fill(out + image::kChecksumBytes);
    protocol::put_u32(out, image::checksum(key, {out + image::kChecksumBytes, body_bytes}));
  }
  if (!state->garbage.empty() && state->garbage.end_of(seq)) {
    state->garbage.remove(seq);
    state->garbage_changed = true;
  }
  state->known = true;
  state->row_changed = true;
  state->counters.seq_max = std::max(state->counters.seq_max, seq);
  ++state->counters.messages;
  state->counters.bytes += row.content_bytes;
}

// LMDB leaves the last row of a page out when it splits it for a higher one, which wastes a third
// where three fit. It does not for the highest key of all, so the last queue is spared that.
Code Image::Writer::insert_row(const QueueState& state, QueueId queue, Seq seq, ByteView key,
                               std::size_t size, std::uint8_t*& out) {
  if (queue == last_queue_ && seq > state.counters.seq_max) {
    const Code appended = messages_.append(key, size, out);
    if (!appended.exists()) return appended;
    last_queue_.reset();  // others have come behind it
  }
  return messages_.insert(key, size, out);
}

void Image::Writer::account_replaced(QueueState& state, Seq seq, ByteView old_value) {
  const auto old = image::parse_message(old_value);
  if (!old) {
    fail("store.mdb is damaged: a message that is to be replaced");
  } else if (state.garbage.end_of(seq)) {
    release(*old);  // counted out when it became garbage
  } else {
    discount(state, *old);
  }
}

void Image::Writer::set_delivery_count(QueueId queue, Seq seq, std::uint32_t delivery_count) {
  constexpr const char* kWhat = "a delivery count cannot be written";
  const QueueState* const state = queue_state(queue);
  if (state == nullptr || state->garbage.end_of(seq)) return;
  const auto key = image::message_key(queue, seq);
  const Code found = messages_.find(key);
  if (found.not_found() || !good(found, kWhat)) return;
  // Out of the way of its own replacement.
  const Bytes old(messages_.value().begin(), messages_.value().end());
  const auto row = image::unseal(key, old) ? image::parse_message(old) : std::nullopt;
  if (!row) {
    fail("store.mdb is damaged: a message that is to be redelivered");
    return;
  }
  image::MessageRow changed = *row;
  changed.delivery_count = delivery_count;
  good(image::put_row(messages_, key, image::message_body_bytes(changed),
                      [&changed](std::uint8_t* out) { image::put_message_body(out, changed); }),
       kWhat);
}

void Image::Writer::set_seq_max(QueueId queue, Seq seq) {
  QueueState* const state = queue_state(queue);
  if (state == nullptr) return;
  state->known = true;
  state->row_changed = true;
  state->counters.seq_max = std::max(state->counters.seq_max, seq);
}

// --- Contents ---

void Image::Writer::put_content(std::uint64_t id, std::span<const ByteView> pieces) {
  constexpr const char* kWhat = "a content cannot be written";
  used_ = true;
  ContentState* const state = content_state(id);
  if (state == nullptr) return;
  if (state->there) return;
  std::uint64_t left = 0;
  for (const ByteView piece : pieces) left += piece.size();
  state->there = true;
  state->size = left;
  auto piece = pieces.begin();
  std::size_t piece_at = 0;
  for (std::uint32_t part = 0; left > 0; ++part) {
    const auto size = static_cast<std::size_t>(std::min<std::uint64_t>(left, image::kPartBytesMax));
    const auto fill = [&](std::uint8_t* out) {
      for (std::size_t missing = size; missing > 0;) {
        if (piece_at == piece->size()) {
          ++piece;
          piece_at = 0;
          continue;
        }
        const std::size_t taken = std::min(missing, piece->size() - piece_at);
        out = protocol::put_raw(out, piece->subspan(piece_at, taken));
        piece_at += taken;
        missing -= taken;
      }
    };
    if (!good(image::put_row(parts_, image::part_key(id, part), size, fill), kWhat)) return;
    left -= size;
  }
}

// --- Definitions, meta ---

// Where the definition is, or where it would go.
bool Image::Writer::definition_place(const Define& definition, Bytes& key, bool& found) {
  const auto text = image::definition_text_key(definition.kind, definition.vhost, definition.name);
  if (text) {
    key = *text;
    const Code code = definitions_.find(key);
    found = code.ok();
    return code.not_found() || good(code, "a definition cannot be read");
  }
  found = false;
  std::uint32_t nth = 0;
  const auto place = [&] {
    const auto digest =
        image::definition_digest_key(definition.kind, definition.vhost, definition.name, nth);
    key.assign(digest.begin(), digest.end());
  };
  place();
  Code code = definitions_.seek(key);
  for (; code.ok(); code = definitions_.next()) {
    const ByteView at = definitions_.key();
    if (at.size() != key.size() ||
        !std::ranges::equal(at.first(image::kDigestPrefixBytes),
                            ByteView(key).first(image::kDigestPrefixBytes))) {
      break;
    }
    const auto body = image::unseal(at, definitions_.value());
    const auto other = body ? image::parse_definition(at, *body) : std::nullopt;
    if (!other) {
      fail("store.mdb is damaged: a definition");
      return false;
    }
    const std::uint32_t ordinal = protocol::ByteReader(at.subspan(image::kDigestPrefixBytes)).u32();
    if (other->vhost == definition.vhost && other->name == definition.name) {
      nth = ordinal;
      found = true;
      break;
    }
    nth = ordinal + 1;
  }
  place();
  return code.ok() || code.not_found() || good(code, "a definition cannot be read");
}

void Image::Writer::define(const Define& definition) {
  used_ = true;
  Bytes key;
  bool found = false;
  if (!status_.ok() || !definition_place(definition, key, found)) return;
  good(image::put_row(definitions_, key, image::definition_body(definition)),
       "a definition cannot be written");
}

void Image::Writer::forget(const Forget& definition) {
  used_ = true;
  Bytes key;
  bool found = false;
  const Define named{definition.kind, definition.vhost, definition.name, {}};
  if (!status_.ok() || !definition_place(named, key, found) || !found) return;
  good(transaction_.erase(image_.databases_.definitions, key), "a definition cannot be erased");
}

void Image::Writer::set_meta(const Meta& meta) {
  constexpr const char* kWhat = "the store's state cannot be written";
  used_ = true;
  if (!status_.ok()) return;
  lmdb::Cursor cursor;
  if (!good(cursor.open(transaction_, image_.databases_.meta), kWhat)) return;
  good(image::put_row(cursor, as_bytes(image::kStateKey), image::meta_body(meta)), kWhat);
}

// --- Commit ---

void Image::Writer::flush_queues() {
  constexpr const char* kWhat = "a queue's counters cannot be written";
  for (const auto& [queue, state] : queue_states_) {
    if (!status_.ok()) return;
    if (state.garbage_changed) flush_garbage(queue, state);
    if (!state.row_changed) continue;
    const auto key = image::queue_key(queue);
    if (state.known) {
      good(image::put_row(queues_, key, image::kQueueBodyBytes,
                          [&counters = state.counters](std::uint8_t* out) {
                            image::put_queue_body(out, counters);
                          }),
           kWhat);
      continue;
    }
    const Code code = transaction_.erase(image_.databases_.queues, key);
    if (!code.not_found()) good(code, kWhat);
  }
}

void Image::Writer::flush_garbage(QueueId queue, const QueueState& state) {
  constexpr const char* kWhat = "garbage cannot be written";
  Code code = garbage_.seek(image::garbage_rows_key(queue, 0));
  for (; code.ok(); code = garbage_.next()) {
    const auto key = image::parse_garbage_rows_key(garbage_.key());
    if (!key || key->queue != queue) break;
    if (!good(garbage_.erase(), kWhat)) return;
  }
  if (!code.not_found() && !good(code, kWhat)) return;
  for (const auto& [from, up_to] : state.garbage.ranges()) {
    if (!good(image::put_row(garbage_, image::garbage_rows_key(queue, from), image::id_key(up_to)),
              kWhat)) {
      return;
    }
  }
}

void Image::Writer::flush_contents() {
  constexpr const char* kWhat = "a content's references cannot be written";
  for (const auto& [id, state] : content_states_) {
    if (!status_.ok()) return;
    const auto key = image::id_key(id);
    if (state.references > 0) {
      if (!state.there) return fail("content " + std::to_string(id) + " is referred to, not there");
      if (state.references > std::numeric_limits<std::uint32_t>::max()) {
        return fail("content " + std::to_string(id) + " has too many references");
      }
      const image::ContentRow row{static_cast<std::uint32_t>(state.references), state.size};
      good(image::put_row(contents_, key, image::kContentBodyBytes,
                          [&row](std::uint8_t* out) { image::put_content_body(out, row); }),
           kWhat);
      continue;
    }
    if (state.stored) good(transaction_.erase(image_.databases_.contents, key), kWhat);
    if (!state.there || !status_.ok()) continue;
    if (parts_erased_ + image::part_count(state.size) <= kPartsErasedAtOnceMax) {
      parts_erased_ += erase_parts(id, kPartsErasedAtOnceMax);
    } else {
      good(image::put_row(garbage_, image::garbage_parts_key(id), image::id_key(state.size)),
           kWhat);
    }
  }
}

}  // namespace harrier::persistence
