// SPDX-License-Identifier: Apache-2.0
//
// MemoryStore: a MessageStore that survives nothing but its own lifetime, for tests and for running
// without durability. Batches are applied inside commit() under one mutex, and done is called there
// too, after the mutex is free; likewise fetch(). It never fails. recover() gives what the object
// holds, so that tests can restart a broker over it.
#pragma once

#include <map>
#include <mutex>
#include <string>
#include <tuple>
#include <unordered_map>
#include <vector>

#include "persistence/message_store.hpp"
#include "persistence/queue_contents.hpp"

namespace harrier::persistence {

class MemoryStore final : public MessageStore {
 public:
  Status recover(Recovery& out) override;
  void commit(WriteBatch batch, OnDurable done) override;
  void fetch(QueueId queue, Seq from, std::size_t bytes_max, OnFetched done) override;
  void page_out(QueueId queue, std::vector<StoredMessage> messages, OnDurable done) override;
  void drop_paged(QueueId queue, Seq from, Seq up_to) override;
  StoreStats stats() const override;

 private:
  using DefinitionKey = std::tuple<Kind, std::string, std::string>;  // kind, vhost, name

  void apply(Enqueue& record);
  void apply(const Settle& record);
  void apply(const Requeue& record);
  void apply(const DropQueue& record);
  void apply(const Purge& record);
  void apply(Define& record);
  void apply(Forget& record);
  QueueContents* find(QueueId queue);

  mutable std::mutex mutex_;
  std::unordered_map<QueueId, QueueContents> queues_;
  std::unordered_map<QueueId, QueueContents> paged_;
  std::map<DefinitionKey, Bytes> definitions_;
  std::vector<QueueContents> dropped_;  // during commit(): to be freed after the mutex
  StoreStats written_;  // batches, records, bytes; what is held now is counted when asked
};

}  // namespace harrier::persistence
