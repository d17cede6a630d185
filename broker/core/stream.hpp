// SPDX-License-Identifier: Apache-2.0
//
// Stream: a queue that is a log (x-queue-type: stream): nothing is removed by consuming, and every
// consumer reads all of it from where it wants to, at its own pace (conformance 8.10). Owned by its
// Queue, which hands on what concerns messages and consumers; used on the queue's thread only. No
// method fails. All messages are in the store, whatever their delivery mode; in memory are the last
// ones and a few pages, however long the stream is and however many read it. Readers are given what
// is durable only, so that an offset means the same message after a crash. To a client the message
// at position n has offset n - 1. The last message always stays, so offsets never begin anew.
#pragma once

#include <algorithm>
#include <deque>
#include <list>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "broker/core/arguments.hpp"
#include "broker/core/info.hpp"
#include "broker/core/open_batches.hpp"
#include "broker/core/outlet.hpp"
#include "broker/core/residents.hpp"
#include "broker/core/stream_index.hpp"
#include "broker/core/stream_offsets.hpp"
#include "broker/core/stream_pages.hpp"
#include "broker/core/stream_reader.hpp"
#include "broker/core/stream_tail.hpp"

namespace harrier::broker {

class Stream {
 public:
  // Without `residents` there is no store: everything stays in memory and counts as durable.
  Stream(const routing::QueueEntryPtr& entry, const std::string& vhost, UnsentLimits limits,
         Residents* residents);
  ~Stream();
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;

  void set_retention(const QueueSettings& settings);
  void restore(std::uint64_t messages, std::uint64_t bytes, Seq seq_max);
  bool restore_offset(std::string tag, const persistence::Bytes& value) {
    return offsets_.restore(std::move(tag), value);
  }

  std::uint64_t count() const { return next_seq_ - first_seq_; }
  // As methods show it: they have room for 32 bits.
  std::uint32_t shown_count() const {
    return static_cast<std::uint32_t>(std::min<std::uint64_t>(count(), ~std::uint32_t{0}));
  }
  std::uint64_t bytes() const { return index_.bytes(); }  // their content_size
  std::uint32_t consumer_count() const { return static_cast<std::uint32_t>(consumers_.size()); }
  void describe(QueueInfo& info) const;

  void publish(MessagePtr message, Outlet& outlet);
  void settle(const Settle& settle, Outlet& outlet);
  std::optional<Refused> consume(const Consume& request);  // then deliver(), as for a queue
  void cancel(const ConsumerRef& consumer);
  void set_prefetch(const SetPrefetch& change, Outlet& outlet);
  void sent(const Sent& sent, Outlet& outlet);
  void deliver(Outlet& outlet);
  void release(const ChannelRef& channel);
  void cancel_all(Outlet& outlet);
  void close(Outlet& outlet) { offsets_.forget_all(entry_->id, outlet); }

  // ---- retention: stream_retention.cpp ----
  bool ages() const { return max_age_ms_.has_value(); }
  Millis next_due() const;
  void retain(Outlet& outlet);

  // ---- the store ----
  void fetched(Fetched& page, Outlet& outlet);
  void store_moved(Outlet& outlet);
  void write_offsets(Outlet& outlet) { offsets_.write(entry_->id, outlet); }
  bool used_since_last_asked() { return std::exchange(used_, false); }
  bool evict();

 private:
  StoreId stored_id() const { return store_id(entry_->id); }
  void note_batch(Seq seq, Outlet& outlet);
  bool note_durable(const Outlet& outlet);

  // ---- readers: stream_delivery.cpp ----
  StreamReader* at(std::uint32_t slot) {
    return slot < readers_.size() ? readers_[slot].get() : nullptr;
  }
  StreamReader* find(const ConsumerRef& ref);
  void detach(StreamReader& reader);
  void free_slot(StreamReader& reader);
  void make_due(StreamReader& reader);
  void serve_due(Outlet& outlet);
  void list(StreamReader& reader);
  void set_behind(StreamReader& reader, bool behind);
  void place(StreamReader& reader, Outlet& outlet);
  void start_at_time(StreamReader& reader, Millis ms);
  bool has_sought(StreamReader& reader, Outlet& outlet);
  static void narrow(StreamReader& reader, Seq middle, Seq seq, Millis enqueued_ms);
  void pump(StreamReader& reader, Outlet& outlet);
  void hand_over(StreamReader& reader, const StreamStretch& found, Outlet& outlet);
  std::optional<StreamStretch> look_up(Seq seq);
  void ask(StreamReader& reader, StreamFetch::Kind kind, Seq from, Outlet& outlet);
  void note_progress(StreamReader& reader, Outlet& outlet);

  bool limited() const { return bytes_max_ || max_age_ms_; }
  bool is_excess(const StreamChunk& chunk, Millis now) const;
  bool is_coarse(const StreamChunk& chunk, Millis now) const;
  std::uint64_t measure_bytes() const;
  void measure(Outlet& outlet);
  void measured(const Fetched& page, const StreamFetch& fetch);

  std::uint64_t window_now() const;
  std::size_t page_bytes() const;
  void trim();
  void account();

  const routing::QueueEntryPtr& entry_;
  const std::string& vhost_;
  const UnsentLimits limits_;
  Residents* const residents_;
  std::optional<std::uint64_t> bytes_max_;
  std::optional<Millis> max_age_ms_;

  Seq first_seq_ = 1;
  Seq next_seq_ = 1;
  Seq durable_to_ = 0;
  std::uint64_t last_bytes_ = 0;  // content_size of the last message
  OpenBatches open_;
  bool is_waiting_ = false;  // for more to be durable
  StreamIndex index_;
  StreamTail tail_;
  StreamPages pages_;
  StreamOffsets offsets_;

  std::vector<std::unique_ptr<StreamReader>> readers_;  // by slot
  std::vector<std::uint32_t> free_slots_;
  std::unordered_map<ConsumerRef, std::uint32_t> consumers_;
  std::vector<std::uint32_t> listed_;  // have all there is and want more
  std::vector<std::uint32_t> due_;
  std::deque<std::uint32_t> asking_;  // for a page, when fewer fetches are open
  std::size_t behind_count_ = 0;
  bool exclusive_consumer_ = false;
  bool used_ = false;

  std::uint64_t accounted_bytes_ = 0;  // our share of the residents
  std::optional<std::list<QueueId>::iterator> holder_;
};

}  // namespace harrier::broker
