// SPDX-License-Identifier: Apache-2.0
//
// Vault: the store of a simulated broker. Batches wait in line, one line per shard, until the world
// makes the oldest of a line durable; only then does a MemoryStore get it, so that what that holds
// is what a crash would leave. What queues page out waits in the same lines and goes to a store of
// its own, which a crash would empty. Fetches wait too. It knows which persistent messages still
// wait, and with them which confirms would be lies.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <variant>
#include <vector>

#include "broker/core/backlog.hpp"
#include "broker/core/shard_message.hpp"
#include "persistence/memory_store.hpp"

namespace harrier::simulation {

class Vault {
 public:
  explicit Vault(unsigned shards) : lines_(shards) {}

  void commit(broker::ShardId shard, persistence::WriteBatch batch, std::uint64_t number);
  void page_out(broker::ShardId shard, broker::PagedOut answer,
                std::vector<persistence::StoredMessage> messages);
  void drop_paged(broker::QueueId queue, persistence::Seq from, persistence::Seq up_to);
  void fetch(broker::ShardId shard, broker::QueueId queue, const broker::FetchRequest& request);
  // Stores the oldest of the shard's line, or makes its oldest fetch, and returns the answer;
  // nullopt if none waits.
  std::optional<broker::ShardMessage> write_next(broker::ShardId shard);
  std::optional<broker::ShardMessage> read_next(broker::ShardId shard);
  bool idle(broker::ShardId shard) const {
    return lines_[shard].waiting.empty() && lines_[shard].reads.empty();
  }

  // A client has read a confirm (or a commit-ok) of a message that at least `copies` stored queues
  // must have got.
  void confirmed(std::uint64_t message, std::size_t copies);
  bool defines_queue(const std::string& name);
  persistence::Recovery recover();
  std::uint64_t stored_count() const { return stored_; }
  std::uint64_t fetch_count() const { return fetches_; }
  std::uint64_t paged_out_count() const { return paged_out_; }
  // Every message that was paged out has been dropped again.
  bool nothing_paged_out();

 private:
  struct PageOut {
    broker::PagedOut answer;
    std::vector<persistence::StoredMessage> messages;
  };
  struct Read {
    broker::QueueId queue{};
    broker::FetchRequest request;
  };
  struct Line {
    std::deque<std::variant<persistence::WriteBatch, PageOut>> waiting;
    std::deque<Read> reads;
    std::uint64_t committed = 0;
    std::uint64_t written = 0;
  };
  struct Copies {
    std::size_t waiting = 0;
    std::size_t durable = 0;
    bool confirmed = false;
  };

  broker::ShardMessage write(Line& line, persistence::WriteBatch batch);
  broker::ShardMessage write(Line& line, PageOut page_out);
  persistence::Fetched read(persistence::QueueId queue, persistence::Seq from,
                            std::size_t bytes_max);

  persistence::MemoryStore store_;
  persistence::MemoryStore paged_;
  std::set<persistence::QueueId> paging_;  // queues that have ever paged out
  std::uint64_t fetches_ = 0;
  std::uint64_t paged_out_ = 0;
  std::vector<Line> lines_;
  std::map<std::uint64_t, Copies> messages_;
  std::set<persistence::QueueId> defined_;  // queues whose definition has ever been durable
  std::uint64_t stored_ = 0;
};

}  // namespace harrier::simulation
