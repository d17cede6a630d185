// SPDX-License-Identifier: Apache-2.0
//
// PagedMessages: transient messages that memory had no room for, in an LMDB file of their own that
// is never flushed and gone at the next start. Owned by the store and used by its reading thread
// only. The file is made when the first message comes. Failure: a Status; nothing is kept then.
#pragma once

#include <memory>
#include <string>
#include <unordered_set>
#include <vector>

#include "persistence/image.hpp"
#include "persistence/message_store.hpp"

namespace harrier::persistence {

class PagedMessages {
 public:
  explicit PagedMessages(std::string path) : path_(std::move(path)) {}
  ~PagedMessages();
  PagedMessages(const PagedMessages&) = delete;
  PagedMessages& operator=(const PagedMessages&) = delete;

  static Status remove_left_over(const std::string& path);

  Status put(QueueId queue, const std::vector<StoredMessage>& messages);
  Status drop(QueueId queue, Seq from, Seq up_to);
  bool has(QueueId queue) const { return queues_.contains(queue); }
  Fetched read(QueueId queue, Seq from, std::size_t bytes_max);

 private:
  Status open();
  void put_one(Image::Writer& writer, QueueId queue, const StoredMessage& message);

  const std::string path_;
  std::unique_ptr<Image> image_;
  std::unordered_set<QueueId> queues_;  // that have messages here
  std::uint64_t next_content_ = 1;
  Bytes buffer_;
};

}  // namespace harrier::persistence
