// SPDX-License-Identifier: Apache-2.0
//
// Deduplication: which messages a queue has taken already, by the ids that their publishers gave
// them. Owned by its queue, on its thread; queues that nobody deduplicates have none. One window is
// the queue's own; for each exchange that deduplicates there is another, here as in every queue
// that the exchange leads to, so that an id is stored together with its message and needs no other
// shard. The ids of stored messages are messages of a part of the store of their own: they come and
// survive with theirs. No method fails.
//
// Stored id: exchange = the exchange that deduplicates, "" for the queue's own window; body = the
// digest, 16 bytes; expires-at = when it ceases to count, absent: never.
#pragma once

#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "broker/core/dedup_window.hpp"
#include "broker/core/outlet.hpp"
#include "broker/core/store_id.hpp"
#include "persistence/message_store.hpp"
#include "routing/topology.hpp"

namespace harrier::broker {

using routing::DedupRule;

// The id of a message as text: the header `x-deduplication-header` if it is a number, a text or
// another plain value, else the property message-id. Empty: it has none. It stands in the message
// or, if it is no text there, in `room`.
std::string_view dedup_id(const protocol::Message& message, std::string& room);

class Deduplication {
 public:
  explicit Deduplication(QueueId queue) : part_(store_id(queue, QueuePart::Dedup)) {}

  // What holds for the queue itself from now on.
  void set_own(DedupRule rule) { own_rule_ = rule; }
  // Before all else: ids from the store, in order. False: that is not an id.
  bool restore(std::span<const persistence::StoredMessage> ids);
  void restore(Seq seq_max) { last_seq_ = seq_max; }

  // Whether the message came before, to the queue or by its exchange. If not, and if the queue
  // takes it, accept() is next.
  bool came_before(const protocol::Message& message, DedupRule by_exchange, Millis now);
  // `stored`: the message is in the write batch that the outlet fills; its id joins it.
  void accept(bool stored, Outlet& outlet);
  // What came before is durable with this batch.
  std::uint64_t batch() const { return batch_; }

  // Gives up what the rule of the queue does not keep.
  void trim(Outlet& outlet);
  void close(Outlet& outlet) const;

  std::size_t size() const;

 private:
  struct Candidate {
    DedupWindow* window = nullptr;  // null: not deduplicated here
    const std::string* scope = nullptr;
    DedupRule rule;
    Millis until = 0;
  };

  Candidate candidate(std::string_view scope, DedupRule rule, Millis now);
  void add(const Candidate& candidate, bool stored, Outlet& outlet);
  void trim(DedupWindow& window, DedupRule rule, Outlet& outlet) const;

  const StoreId part_;
  DedupRule own_rule_;  // without ids: the queue itself does not deduplicate
  std::map<std::string, DedupWindow, std::less<>> windows_;  // by exchange; "": the queue's own
  Seq last_seq_ = 0;
  std::uint64_t batch_ = 0;
  // The message that came_before() was asked about.
  DedupWindow::Digest id_{};
  Candidate own_;
  Candidate by_exchange_;
};

}  // namespace harrier::broker
