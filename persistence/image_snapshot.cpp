// SPDX-License-Identifier: Apache-2.0
#include "persistence/image_snapshot.hpp"

#include <algorithm>
#include <limits>
#include <tuple>
#include <utility>

#include "persistence/image_reader.hpp"

namespace harrier::persistence {
namespace {

using lmdb::Code;
using protocol::as_bytes;
using protocol::ByteView;

constexpr Seq kSeqMax = std::numeric_limits<Seq>::max();
constexpr std::string_view kUnreadable = "the store cannot be read";

Status damaged(const std::string& what) {
  return Status::failed("store.mdb is damaged: " + what + std::string(kRestoreRemedy));
}

std::string name_of(QueueId queue) {
  return "queue " + std::to_string(static_cast<std::uint64_t>(queue));
}

std::string name_of(const image::MessageKey& key) {
  return "message " + std::to_string(key.seq) + " of " + name_of(key.queue);
}

Image::Snapshot::Row to_row(Seq seq, const image::MessageRow& row) {
  return {seq, row.delivery_count, row.large, row.bytes, row.content, row.content_bytes};
}

}  // namespace

Image::Snapshot::Snapshot(Image& image, std::unique_ptr<Reader> reader)
    : image_(image), reader_(std::move(reader)) {}

Image::Snapshot::~Snapshot() { image_.give_back(std::move(reader_)); }

Status Image::Snapshot::get(lmdb::Database database, const char* what, ByteView key,
                            std::optional<ByteView>& body) {
  body.reset();
  ByteView value;
  const Code code = reader_->transaction.get(database, key, value);
  if (code.not_found()) return {};
  if (!code.ok()) return code.status(kUnreadable);
  body = image::unseal(key, value);
  return body ? Status() : damaged(std::string("a row of ") + what);
}

template <class Visit>  // Status(ByteView key, ByteView body, bool& go_on)
Status Image::Snapshot::visit_all(lmdb::Database database, const char* what, const Visit& visit) {
  lmdb::Cursor cursor;
  if (const Code code = cursor.open(reader_->transaction, database); !code.ok()) {
    return code.status(kUnreadable);
  }
  Code code = cursor.first();
  for (bool go_on = true; go_on && code.ok(); code = cursor.next()) {
    const std::optional<ByteView> body = image::unseal(cursor.key(), cursor.value());
    if (!body) return damaged(std::string("a row of ") + what);
    if (Status status = visit(cursor.key(), *body, go_on); !status.ok()) return status;
  }
  return code.ok() || code.not_found() ? Status() : code.status(kUnreadable);
}

Status Image::Snapshot::meta(Meta& out) {
  std::optional<ByteView> body;
  Status status = get(image_.databases_.meta, "meta", as_bytes(image::kStateKey), body);
  if (!status.ok()) return status;
  const std::optional<Meta> found = body ? image::parse_meta(*body) : std::nullopt;
  if (!found) return damaged("its state is missing");
  out = *found;
  return {};
}

Status Image::Snapshot::definitions(std::vector<Define>& out) {
  out.clear();
  Status status = visit_all(image_.databases_.definitions, "definitions",
                            [&out](ByteView key, ByteView body, bool&) {
                              std::optional<Define> found = image::parse_definition(key, body);
                              if (!found) return damaged("a definition");
                              out.push_back(std::move(*found));
                              return Status();
                            });
  // Keys have lengths and digests in front of the text.
  std::sort(out.begin(), out.end(), [](const Define& a, const Define& b) {
    return std::tie(a.kind, a.vhost, a.name) < std::tie(b.kind, b.vhost, b.name);
  });
  return status;
}

Status Image::Snapshot::queues(const std::function<bool(const Queue&)>& visit) {
  return visit_all(image_.databases_.queues, "queues",
                   [&visit](ByteView key, ByteView body, bool& go_on) {
                     const std::optional<std::uint64_t> id = image::parse_u64(key);
                     const std::optional<image::QueueCounters> row = image::parse_queue(body);
                     if (!id || !row) return damaged("a queue's counters");
                     go_on = visit({QueueId{*id}, row->seq_max, row->messages, row->bytes});
                     return Status();
                   });
}

Status Image::Snapshot::queue(QueueId queue, std::optional<Queue>& out) {
  out.reset();
  std::optional<ByteView> body;
  Status status = get(image_.databases_.queues, "queues", image::queue_key(queue), body);
  if (!status.ok() || !body) return status;
  const std::optional<image::QueueCounters> row = image::parse_queue(*body);
  if (!row) return damaged("the counters of " + name_of(queue));
  out = Queue{queue, row->seq_max, row->messages, row->bytes};
  return {};
}

Status Image::Snapshot::garbage_of(QueueId queue, SeqRanges& out) {
  lmdb::Cursor cursor;
  if (const Code code = cursor.open(reader_->transaction, image_.databases_.garbage); !code.ok()) {
    return code.status(kUnreadable);
  }
  Code code = cursor.seek(image::garbage_rows_key(queue, 0));
  for (; code.ok(); code = cursor.next()) {
    const auto key = image::parse_garbage_rows_key(cursor.key());
    if (!key || key->queue != queue) return {};
    const std::optional<ByteView> body = image::unseal(cursor.key(), cursor.value());
    const auto up_to = body ? image::parse_u64(*body) : std::nullopt;
    if (!up_to || *up_to < key->seq) return damaged("a range of garbage of " + name_of(queue));
    out.add(key->seq, *up_to);
  }
  return code.not_found() ? Status() : code.status(kUnreadable);
}

Status Image::Snapshot::visit_live(QueueId queue, Seq from, Seq up_to, const RowVisitor& visit) {
  SeqRanges garbage;
  if (Status status = garbage_of(queue, garbage); !status.ok()) return status;
  lmdb::Cursor& cursor = reader_->messages;
  Code code = cursor.seek(image::message_key(queue, from));
  while (code.ok()) {
    const std::optional<image::MessageKey> key = image::parse_message_key(cursor.key());
    if (!key) return damaged("a key of messages");
    if (key->queue != queue || key->seq > up_to) return {};
    if (const std::optional<Seq> end = garbage.end_of(key->seq)) {
      if (*end >= up_to) return {};
      code = cursor.seek(image::message_key(queue, *end + 1));
      continue;
    }
    const bool intact = image::unseal(cursor.key(), cursor.value()).has_value();
    const auto row = intact ? image::parse_message(cursor.value()) : std::nullopt;
    if (!row) return damaged(name_of(*key));
    if (!visit(to_row(key->seq, *row))) return {};
    code = cursor.next();
  }
  return code.not_found() ? Status() : code.status(kUnreadable);
}

Status Image::Snapshot::read(QueueId queue, Seq from, const RowVisitor& visit) {
  return visit_live(queue, from, kSeqMax, visit);
}

Status Image::Snapshot::find(QueueId queue, Seq seq, std::optional<Row>& out) {
  out.reset();
  const auto key = image::message_key(queue, seq);
  ByteView value;
  const Code code = reader_->transaction.get(image_.databases_.messages, key, value);
  if (code.not_found()) return {};
  if (!code.ok()) return code.status(kUnreadable);
  SeqRanges garbage;
  if (Status status = garbage_of(queue, garbage); !status.ok()) return status;
  if (garbage.end_of(seq)) return {};
  const auto row = image::unseal(key, value) ? image::parse_message(value) : std::nullopt;
  if (!row) return damaged(name_of({queue, seq}));
  out = to_row(seq, *row);
  return {};
}

Status Image::Snapshot::count(QueueId queue, Seq from, Seq up_to, Count& out) {
  out = {};
  std::optional<Queue> counters;
  if (Status status = this->queue(queue, counters); !status.ok()) return status;
  if (!counters || counters->messages == 0 || from > up_to) return {};
  if (from == 0 && up_to >= counters->seq_max) {
    out = {counters->messages, counters->bytes};
    return {};
  }
  return visit_live(queue, from, up_to, [&out](const Row& row) {
    ++out.messages;
    out.bytes += row.content_bytes;
    return true;
  });
}

Status Image::Snapshot::content(std::uint64_t id, const std::function<void(ByteView)>& visit) {
  const std::string name = "content " + std::to_string(id);
  std::optional<ByteView> body;
  Status status = get(image_.databases_.contents, "contents", image::id_key(id), body);
  if (!status.ok()) return status;
  const auto row = body ? image::parse_content(*body) : std::nullopt;
  if (!row) return damaged(name + " is missing");
  lmdb::Cursor cursor;
  if (const Code code = cursor.open(reader_->transaction, image_.databases_.parts); !code.ok()) {
    return code.status(kUnreadable);
  }
  std::uint64_t left = row->size;
  Code code = cursor.seek(image::part_key(id, 0));
  for (std::uint32_t part = 0; left > 0; ++part, code = cursor.next()) {
    if (!code.ok() && !code.not_found()) return code.status(kUnreadable);
    const auto key = image::part_key(id, part);
    if (code.not_found() || !std::ranges::equal(cursor.key(), key)) {
      return damaged(name + " lacks part " + std::to_string(part));
    }
    const std::optional<ByteView> bytes = image::unseal(key, cursor.value());
    if (!bytes || bytes->size() != std::min<std::uint64_t>(left, image::kPartBytesMax)) {
      return damaged("part " + std::to_string(part) + " of " + name);
    }
    visit(*bytes);
    left -= bytes->size();
  }
  return {};
}

Status Image::Snapshot::content(std::uint64_t id, Bytes& out) {
  out.clear();
  return content(id, [&out](ByteView bytes) { out.insert(out.end(), bytes.begin(), bytes.end()); });
}

// --- Comparing everything with everything ---

Status Image::Snapshot::check() {
  Meta found;
  if (Status status = meta(found); !status.ok()) return status;
  std::vector<Define> defined;
  if (Status status = definitions(defined); !status.ok()) return status;
  Contents contents;
  if (Status status = check_queues(contents); !status.ok()) return status;
  if (Status status = check_contents(contents); !status.ok()) return status;
  return check_parts();
}

Status Image::Snapshot::check_queues(Contents& contents) {
  std::map<QueueId, SeqRanges> garbage;
  Status status = visit_all(image_.databases_.garbage, "garbage",
                            [&garbage](ByteView key, ByteView body, bool&) {
                              const auto up_to = image::parse_u64(body);
                              if (!up_to) return damaged("a range of garbage");
                              if (const auto rows = image::parse_garbage_rows_key(key)) {
                                if (*up_to < rows->seq || garbage[rows->queue].end_of(rows->seq)) {
                                  return damaged("ranges of garbage of " + name_of(rows->queue));
                                }
                                garbage[rows->queue].add(rows->seq, *up_to);
                              }
                              return Status();
                            });
  if (!status.ok()) return status;

  std::map<QueueId, image::QueueCounters> seen;
  status = visit_all(
      image_.databases_.messages, "messages", [&](ByteView key_bytes, ByteView body, bool&) {
        const auto key = image::parse_message_key(key_bytes);
        const auto row = image::parse_message(
            {body.data() - image::kChecksumBytes, body.size() + image::kChecksumBytes});
        if (!key || !row) return damaged("a row of messages");
        if (row->large) ++contents[row->content];
        const auto dead = garbage.find(key->queue);
        if (dead != garbage.end() && dead->second.end_of(key->seq)) return Status();
        image::QueueCounters& counters = seen[key->queue];
        counters.seq_max = key->seq;
        ++counters.messages;
        counters.bytes += row->content_bytes;
        return Status();
      });
  if (!status.ok()) return status;

  status = queues([&](const Queue& queue) {
    const image::QueueCounters& counted = seen[queue.queue];
    if (queue.messages != counted.messages || queue.bytes != counted.bytes ||
        queue.seq_max < counted.seq_max) {
      status = damaged(name_of(queue.queue) + " counts " + std::to_string(queue.messages) +
                       " messages of " + std::to_string(queue.bytes) + " bytes up to " +
                       std::to_string(queue.seq_max) + ", and has " +
                       std::to_string(counted.messages) + " of " + std::to_string(counted.bytes) +
                       " up to " + std::to_string(counted.seq_max));
    }
    seen.erase(queue.queue);
    return true;
  });
  if (!status.ok()) return status;
  if (!seen.empty())
    return damaged(name_of(seen.begin()->first) + " has messages, but no counters");
  return {};
}

Status Image::Snapshot::check_contents(const Contents& contents) {
  std::size_t found = 0;
  Status status =
      visit_all(image_.databases_.contents, "contents", [&](ByteView key, ByteView body, bool&) {
        const auto id = image::parse_u64(key);
        const auto row = image::parse_content(body);
        if (!id || !row) return damaged("a row of contents");
        const auto at = contents.find(*id);
        const std::uint32_t references = at == contents.end() ? 0 : at->second;
        if (references == 0 || row->references != references) {
          return damaged("content " + std::to_string(*id) + " counts " +
                         std::to_string(row->references) + " references, and has " +
                         std::to_string(references));
        }
        ++found;
        std::uint64_t size = 0;
        Status read = content(*id, [&size](ByteView bytes) { size += bytes.size(); });
        if (read.ok() && size != row->size) return damaged("content " + std::to_string(*id));
        return read;
      });
  if (!status.ok()) return status;
  return found == contents.size() ? Status() : damaged("a message whose content is missing");
}

Status Image::Snapshot::check_parts() {
  return visit_all(image_.databases_.parts, "parts", [this](ByteView key, ByteView, bool&) {
    protocol::ByteReader reader(key);
    const std::uint64_t id = reader.u64();
    const std::uint32_t part = reader.u32();
    if (!reader.ok()) return damaged("a key of parts");
    std::optional<ByteView> body;
    Status status = get(image_.databases_.contents, "contents", image::id_key(id), body);
    if (!status.ok()) return status;
    if (body) {
      const auto row = image::parse_content(*body);
      if (row && part < image::part_count(row->size)) return Status();
    }
    status = get(image_.databases_.garbage, "garbage", image::garbage_parts_key(id), body);
    if (status.ok() && !body) {
      return damaged("part " + std::to_string(part) + " of content " + std::to_string(id) +
                     " belongs to nothing");
    }
    return status;
  });
}

}  // namespace harrier::persistence
