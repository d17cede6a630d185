// SPDX-License-Identifier: Apache-2.0
#include "persistence/entry.hpp"

#include <algorithm>
#include <tuple>
#include <utility>
#include <variant>

#include "persistence/record_codec.hpp"
#include "protocol/check.hpp"

namespace harrier::persistence {

using protocol::ByteReader;
using protocol::ByteView;
using protocol::Message;

namespace {

constexpr std::uint8_t kEnqueueTag = 1;
constexpr std::uint8_t kContentTag = 8;
constexpr std::uint8_t kEnqueueLargeTag = 9;
constexpr std::size_t kEnqueueHead = 1 + 8 + 8;   // tag, queue, seq
constexpr std::size_t kContentHead = 1 + 8;       // tag, id
constexpr std::size_t kContentReference = 8 + 8;  // id, size
// Below this a body is copied: a piece of its own costs about as much (architecture section 3).
constexpr std::size_t kReferencedBodyMin = 16 * 1024;
constexpr std::size_t kBufferKept = 4 * 1024 * 1024;

std::uint8_t* put_position(std::uint8_t* out, std::uint8_t tag, const Enqueue& record) {
  out = protocol::put_u8(out, tag);
  out = protocol::put_u64(out, static_cast<std::uint64_t>(record.queue));
  return protocol::put_u64(out, record.seq);
}

void skip_times(ByteReader& reader) {
  reader.u64();
  const std::uint8_t expires = reader.u8();
  if (expires == 1) reader.u64();
  if (expires > 1) reader.fail();
}

void skip_message(ByteReader& reader) {
  reader.shortstr();
  reader.shortstr();
  reader.longstr();
  reader.longstr();
}

// Walks over the tail without making a message of it.
void read_enqueue(ByteReader& reader, const std::uint8_t* start, bool large,
                  EntryVisitor& visitor) {
  reader.u8();
  const QueueId queue{reader.u64()};
  const Seq seq = reader.u64();
  const std::uint8_t* const at = reader.position();
  skip_times(reader);
  const std::uint8_t* const behind_times = reader.position();
  TailPlace tail;
  if (large) {
    tail.content = reader.u64();
    reader.u64();
    if (tail.content == 0) reader.fail();
  } else {
    skip_message(reader);
  }
  const auto size = static_cast<std::size_t>(reader.position() - at);
  if (size > kInlineTailMax) reader.fail();
  if (!reader.ok()) return;
  tail.offset = static_cast<std::size_t>(at - start);
  tail.size = static_cast<std::uint16_t>(size);
  tail.times_size = static_cast<std::uint16_t>(behind_times - at);
  visitor.on_enqueue(queue, seq, tail);
}

void read_content(ByteReader& reader, const std::uint8_t* start, EntryVisitor& visitor) {
  reader.u8();
  const ContentId id = reader.u64();
  const std::uint8_t* const message = reader.position();
  skip_message(reader);
  if (!reader.ok()) return;
  visitor.on_content(id, static_cast<std::size_t>(message - start),
                     static_cast<std::size_t>(reader.position() - message));
}

}  // namespace

bool read_entry(ByteView payload, EntryVisitor& visitor) {
  ByteReader reader(payload);
  const std::uint8_t* const start = payload.data();
  while (reader.remaining() > 0) {
    switch (*reader.position()) {
      case kEnqueueTag:
        read_enqueue(reader, start, false, visitor);
        break;
      case kEnqueueLargeTag:
        read_enqueue(reader, start, true, visitor);
        break;
      case kContentTag:
        read_content(reader, start, visitor);
        break;
      default: {
        Record record = decode_record(reader);
        if (!reader.ok()) return false;
        std::visit(
            [&visitor](auto& value) {
              if constexpr (!std::is_same_v<std::decay_t<decltype(value)>, Enqueue>) {
                visitor.on(value);
              }
            },
            record);
      }
    }
  }
  return reader.ok();
}

void EntryWriter::begin(ContentId next_content, Known known) {
  batches_.clear();
  settled_.clear();
  left_out_ = 0;
  contents_.clear();
  next_content_ = next_content;
  known_ = std::move(known);
  if (buffer_.size() > kBufferKept) std::vector<std::uint8_t>().swap(buffer_);
  used_ = 0;
  cuts_.clear();
  pieces_.clear();
  size_ = 0;
  enqueued_bytes_ = 0;
}

void EntryWriter::add(const WriteBatch& batch) { batches_.push_back(&batch); }

// Without an Enqueue before it a Settle has nothing to be left out with.
void EntryWriter::collect_settled() {
  bool enqueues = false;
  std::size_t order = 0;
  for (const WriteBatch* const batch : batches_) {
    for (const Record& record : batch->records()) {
      ++order;
      if (std::holds_alternative<Enqueue>(record)) {
        enqueues = true;
      } else if (const auto* const settle = std::get_if<Settle>(&record); settle && enqueues) {
        settled_.push_back({settle->queue, settle->seq, order, false});
      }
    }
  }
  const auto position = [](const Settled& s) { return std::tuple(s.queue, s.seq, ~s.order); };
  std::ranges::sort(settled_, {}, position);
}

// The last Settle of this position.
EntryWriter::Settled* EntryWriter::find_settled(QueueId queue, Seq seq) {
  const auto position = [](const Settled& s) { return std::tuple(s.queue, s.seq); };
  const std::tuple wanted(queue, seq);
  if (settled_.empty() || position(settled_.back()) < wanted) return nullptr;
  const auto at = std::ranges::lower_bound(settled_, wanted, {}, position);
  return at != settled_.end() && position(*at) == wanted ? &*at : nullptr;
}

bool EntryWriter::leave_out(const Enqueue& record, std::size_t order) {
  Settled* const settled = find_settled(record.queue, record.seq);
  if (settled == nullptr || settled->order < order) return false;
  settled->left_out = true;
  ++left_out_;
  return true;
}

bool EntryWriter::left_out(const Settle& record) {
  if (left_out_ == 0) return false;
  const Settled* const settled = find_settled(record.queue, record.seq);
  return settled != nullptr && settled->left_out;
}

std::span<const ByteView> EntryWriter::finish() {
  collect_settled();
  std::size_t order = 0;
  for (const WriteBatch* const batch : batches_) {
    for (const Record& record : batch->records()) {
      ++order;
      if (const auto* const enqueue = std::get_if<Enqueue>(&record)) {
        enqueued_bytes_ += content_size(*enqueue->message);
        if (!leave_out(*enqueue, order)) write(*enqueue);
      } else if (const auto* const settle = std::get_if<Settle>(&record);
                 settle == nullptr || !left_out(*settle)) {
        encode(record, make_room(encoded_size(record)));
      }
    }
  }
  std::size_t from = 0;
  for (const Cut& cut : cuts_) {
    pieces_.push_back({buffer_.data() + from, cut.end - from});
    pieces_.push_back(cut.referenced);
    from = cut.end;
  }
  if (used_ > from) pieces_.push_back({buffer_.data() + from, used_ - from});
  for (const ByteView piece : pieces_) size_ += piece.size();
  return pieces_;
}

void EntryWriter::write(const Enqueue& record) {
  const std::size_t times = encoded_times_size(record);
  const std::size_t tail = times + encoded_size(*record.message);
  if (tail > kInlineTailMax) {
    write_large(record, times);
  } else {
    std::uint8_t* out = put_position(make_room(kEnqueueHead + tail), kEnqueueTag, record);
    out = encode_head(*record.message, encode_times(record, out));
    protocol::put_raw(out, record.message->body());
  }
}

void EntryWriter::write_large(const Enqueue& record, std::size_t times_size) {
  const ContentId content = content_of(record.message);
  std::uint8_t* out = make_room(kEnqueueHead + times_size + kContentReference);
  out = encode_times(record, put_position(out, kEnqueueLargeTag, record));
  protocol::put_u64(protocol::put_u64(out, content), content_size(*record.message));
}

// The id under which the message is known already, or the one under which it is written now.
ContentId EntryWriter::content_of(const protocol::MessagePtr& message) {
  const ContentId noted = message->store_note();
  if (noted != 0 && (contents_.contains(noted) || known_(noted))) return noted;
  const ContentId id = next_content_++;
  message->set_store_note(id);
  contents_.insert(id);
  const ByteView body = message->body();
  const bool referenced = body.size() >= kReferencedBodyMin;
  std::uint8_t* out =
      make_room(kContentHead + encoded_head_size(*message) + (referenced ? 0 : body.size()));
  out = protocol::put_u64(protocol::put_u8(out, kContentTag), id);
  out = encode_head(*message, out);
  if (referenced) {
    cuts_.push_back({used_, body});
  } else {
    protocol::put_raw(out, body);
  }
  return id;
}

std::uint8_t* EntryWriter::make_room(std::size_t size) {
  if (buffer_.size() - used_ < size) buffer_.resize(std::max(2 * buffer_.size(), used_ + size));
  std::uint8_t* const at = buffer_.data() + used_;
  used_ += size;
  return at;
}

}  // namespace harrier::persistence
