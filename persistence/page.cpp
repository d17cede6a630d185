// SPDX-License-Identifier: Apache-2.0
#include "persistence/page.hpp"

#include <algorithm>
#include <functional>
#include <utility>

#include "persistence/record_codec.hpp"

namespace harrier::persistence {

using protocol::ByteReader;
using protocol::ByteView;

namespace {

using Row = Image::Snapshot::Row;

std::string place(QueueId queue, Seq seq) {
  return "message " + std::to_string(seq) + " of queue " +
         std::to_string(static_cast<std::uint64_t>(queue));
}

// `times` then the message, in one piece or two.
Status decode(QueueId queue, StoredMessage& out, ByteView tail, ByteView content) {
  ByteReader reader(tail);
  decode_times(reader, out);
  if (content.empty()) {
    out.message = decode_message(reader);
  } else {
    ByteReader content_reader(content);
    out.message = decode_message(content_reader);
  }
  if (reader.ok() && out.message) return {};
  return Status::failed("store: " + place(queue, out.seq) + " cannot be read");
}

// Takes messages as long as they fit.
class Page {
 public:
  Page(QueueId queue, std::size_t bytes_max) : queue_(queue), bytes_max_(bytes_max) {}

  // False: it is full, and `seq` is what comes next.
  bool wants(Seq seq, std::uint64_t content_bytes) {
    const bool fits =
        fetched_.messages.empty() || (bytes_ < bytes_max_ && content_bytes <= bytes_max_ - bytes_);
    if (!fits) fetched_.next = seq;
    return fits;
  }
  bool add(StoredMessage message, ByteView tail, ByteView content) {
    fetched_.status = decode(queue_, message, tail, content);
    if (!fetched_.status.ok()) return false;
    bytes_ += content_size(*message.message);
    fetched_.messages.push_back(std::move(message));
    return true;
  }
  bool add(Image::Snapshot& snapshot, const Row& row) {
    Bytes content;
    if (row.large) {
      fetched_.status = snapshot.content(row.content, content);
      if (!fetched_.status.ok()) return false;
    }
    StoredMessage message;
    message.seq = row.seq;
    message.delivery_count = row.delivery_count;
    return add(std::move(message), row.bytes, content);
  }
  Fetched& fetched() { return fetched_; }

 private:
  const QueueId queue_;
  const std::size_t bytes_max_;
  std::size_t bytes_ = 0;
  Fetched fetched_;
};

Fetched read_rows(Image::Snapshot& snapshot, QueueId queue, Seq from, std::size_t bytes_max,
                  const std::function<bool(Row&)>& shown) {
  Page page(queue, bytes_max);
  const Status status = snapshot.read(queue, from, [&](const Row& found) {
    Row row = found;
    if (!shown(row)) return true;
    return page.wants(row.seq, row.content_bytes) && page.add(snapshot, row);
  });
  if (page.fetched().status.ok()) page.fetched().status = status;
  return std::move(page.fetched());
}

Fetched read_added(const QueueView& view, QueueId queue, std::size_t bytes_max) {
  Page page(queue, bytes_max);
  page.fetched().next = view.next;
  for (const QueueView::Tail& tail : view.added) {
    if (view.next && tail.seq >= *view.next) break;
    StoredMessage message;
    message.seq = tail.seq;
    message.delivery_count = tail.delivery_count;
    const std::size_t message_size =
        tail.content ? tail.content->bytes.size() : tail.bytes.bytes.size() - tail.times_size;
    if (!page.wants(tail.seq, message_size - kMessageFraming)) break;
    if (!page.add(std::move(message), tail.bytes.bytes,
                  tail.content ? tail.content->bytes : ByteView())) {
      break;
    }
  }
  return std::move(page.fetched());
}

}  // namespace

Fetched read_page(QueueView& view, QueueId queue, Seq from, std::size_t bytes_max) {
  Fetched added = read_added(view, queue, bytes_max);
  if (view.image_hidden || !added.status.ok()) return added;
  const auto shown = [&view](Row& row) {
    if (view.gone.contains(row.seq)) return false;
    // A checkpoint that was just done has brought it to the image as well.
    const auto same = std::ranges::lower_bound(view.added, row.seq, {}, &QueueView::Tail::seq);
    if (same != view.added.end() && same->seq == row.seq) return false;
    const auto count = view.delivery_counts.find(row.seq);
    if (count != view.delivery_counts.end()) row.delivery_count = count->second;
    return true;
  };
  Fetched rows = read_rows(*view.snapshot, queue, from, bytes_max, shown);
  if (!rows.status.ok()) return rows;
  return merge(std::move(rows), std::move(added), bytes_max);
}

Fetched read_page(Image::Snapshot& snapshot, QueueId queue, Seq from, std::size_t bytes_max) {
  return read_rows(snapshot, queue, from, bytes_max, [](Row&) { return true; });
}

}  // namespace harrier::persistence
