// SPDX-License-Identifier: Apache-2.0
#include "persistence/paged_messages.hpp"

#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <optional>

#include "persistence/image_snapshot.hpp"
#include "persistence/image_writer.hpp"
#include "persistence/page.hpp"
#include "persistence/record_codec.hpp"

namespace harrier::persistence {

namespace {

constexpr std::size_t kSweepRows = 1'000'000;

}  // namespace

PagedMessages::~PagedMessages() {
  if (!image_) return;
  image_.reset();
  // What stays is removed by the next start.
  static_cast<void>(remove_left_over(path_));
}

Status PagedMessages::remove_left_over(const std::string& path) {
  for (const std::string& file : {path, path + "-lock"}) {
    if (::unlink(file.c_str()) == 0 || errno == ENOENT) continue;
    return Status::failed("cannot remove " + file + ": " + std::strerror(errno));
  }
  return {};
}

Status PagedMessages::open() {
  return image_ ? Status() : Image::open(path_, Image::kMapBytes, image_, Image::Flush::Never);
}

Status PagedMessages::put(QueueId queue, const std::vector<StoredMessage>& messages) {
  if (messages.empty()) return {};
  if (Status status = open(); !status.ok()) return status;
  std::unique_ptr<Image::Writer> writer;
  if (Status status = image_->begin(writer); !status.ok()) return status;
  for (const StoredMessage& message : messages) put_one(*writer, queue, message);
  writer->set_seq_max(queue, messages.back().seq);
  const Status status = writer->commit();
  if (status.ok()) queues_.insert(queue);
  return status;
}

void PagedMessages::put_one(Image::Writer& writer, QueueId queue, const StoredMessage& message) {
  Enqueue times;
  times.enqueued_at_ms = message.enqueued_at_ms;
  times.expires_at_ms = message.expires_at_ms;
  const protocol::Message& content = *message.message;
  const std::size_t times_size = encoded_times_size(times);
  const std::size_t head_size = encoded_head_size(content);
  const bool large = times_size + head_size + content.body().size() > kInlineTailMax;
  buffer_.resize(times_size + head_size + (large ? 0 : content.body().size()));
  std::uint8_t* const head = encode_times(times, buffer_.data());
  std::uint8_t* const body = encode_head(content, head);
  if (!large) {
    protocol::put_raw(body, content.body());
    writer.put(queue, message.seq, message.delivery_count, buffer_);
    return;
  }
  const ContentId id = next_content_++;
  writer.put_content(id, std::array{protocol::ByteView(head, head_size), content.body()});
  writer.put_large(queue, message.seq, message.delivery_count,
                   protocol::ByteView(buffer_.data(), times_size), id, content_size(content));
}

Status PagedMessages::drop(QueueId queue, Seq from, Seq up_to) {
  if (!has(queue)) return {};
  std::unique_ptr<Image::Writer> writer;
  if (Status status = image_->begin(writer); !status.ok()) return status;
  writer->erase(queue, from, up_to);
  if (Status status = writer->commit(); !status.ok()) return status;
  bool more = writer->garbage_left();
  writer.reset();
  while (more) {
    if (Status status = image_->sweep(kSweepRows, more); !status.ok()) return status;
  }
  std::unique_ptr<Image::Snapshot> snapshot;
  if (Status status = image_->snapshot(snapshot); !status.ok()) return status;
  std::optional<Image::Snapshot::Queue> left;
  if (Status status = snapshot->queue(queue, left); !status.ok()) return status;
  if (!left || left->messages == 0) queues_.erase(queue);
  return {};
}

Fetched PagedMessages::read(QueueId queue, Seq from, std::size_t bytes_max) {
  std::unique_ptr<Image::Snapshot> snapshot;
  if (Status status = image_->snapshot(snapshot); !status.ok()) return {status, {}, {}};
  return read_page(*snapshot, queue, from, bytes_max);
}

}  // namespace harrier::persistence
